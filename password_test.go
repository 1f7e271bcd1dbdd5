package icloud_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/go-icloud/icloud"
)

// TestParsePassword: the forms in which people paste a password, and other texts that they paste.
func TestParsePassword(t *testing.T) {
	t.Parallel()
	const want = "abcd-efgh-ijkl-mnop"
	for _, s := range []string{
		want,
		"abcdefghijklmnop",
		"ABCD-EFGH-IJKL-MNOP",
		"Abcd-efgh-ijkl-mnop",
		"  abcd-efgh-ijkl-mnop\r\n",
		"abcd efgh ijkl mnop",
		"abcd - efgh - ijkl - mnop",
		"a b c d e f g h i j k l m n o p",
		"abcd\tefgh\nijkl\vmnop",
		"abcd\u00a0efgh\u2007ijkl\u202fmnop",          // non-breaking spaces
		"abcd\u3000efgh\u2003ijkl\u2009mnop",          // wide and thin ones
		"abcd\u2010efgh\u2011ijkl\u2012mnop",          // hyphens, figure dash
		"abcd\u2013efgh\u2014ijkl\u2015mnop",          // dashes
		"abcd\u2212efgh\uff0dijkl\ufe58mnop",          // minus, full-width and small ones
		"abcd\ufe63efgh\u2043ijkl-mnop",               // small hyphen-minus, bullet
		"\ufeffabcd-efgh-ijkl-mnop",                   // byte order mark
		"ab\u200bcd-ef\u200cgh-ij\u200dkl-mn\u2060op", // zero-width characters
		"\u200eabcd-efgh-ijkl-mnop\u200f",             // direction marks
		"\u202aabcd-efgh-ijkl-mnop\u202c",             //
		"ab\u00adcd\u00adefgh-ijkl-mnop",              // soft hyphens
		"abcdefgh-ijklmnop", "abcd-efghijklmnop",      // some of the dashes
		"abcd\u2028efgh\u2029ijkl\u0085mnop",             // separators
		strings.Repeat(" ", 100_000) + want, want + "\n", //
	} {
		p, err := icloud.ParsePassword(s)
		if err != nil || p.Reveal() != want {
			t.Errorf("ParsePassword(%.40q): got %q, %v, want %q", s, p.Reveal(), err, want)
		}
	}
	for _, s := range []string{
		"", " ", "-", "---", "hunter2", "correct horse battery staple", "Tr0ub4dor&3",
		"abcd-efgh-ijkl-mno", "abcd-efgh-ijkl-mnopq", "abcd-efgh-ijkl-mnop-qrst", "abcdefghijklmno", "abcdefghijklmnopq",
		"abcd-efgh-ijkl-mno1", "abcd-efgh-ijkl-mn0p", "abcd-efgh-ijkl-mnöp", "abcd-efgh-ijkl-mno\u0301p",
		"-abcd-efgh-ijkl-mnop", "abcd-efgh-ijkl-mnop-", "abcd--efgh-ijkl-mnop", "ab-cdef-ghij-klmn-op", "abc-defgh-ijkl-mnop",
		"abcd_efgh_ijkl_mnop", "abcd.efgh.ijkl.mnop", "abcd,efgh,ijkl,mnop", "abcd:efgh:ijkl:mnop", "abcd\u00b7efghijklmnop",
		`"abcd-efgh-ijkl-mnop"`, "'abcd-efgh-ijkl-mnop'", "<abcd-efgh-ijkl-mnop>", "password: abcd-efgh-ijkl-mnop",
		"abcd\x00efgh-ijkl-mnop", "abcd-efgh-ijkl-mno\xff", "\xef\xbb-abcd-efgh-ijkl-mnop", "abcd\ufffdefghijklmnop",
		"\u212abcd-efgh-ijkl-mnop", "ａｂｃｄ-efgh-ijkl-mnop", "аbcd-efgh-ijkl-mnop", // look-alikes
		strings.Repeat("abcd-", 1000), strings.Repeat("a", 1<<20),
	} {
		p, err := icloud.ParsePassword(s)
		if err != icloud.ErrNotAppSpecific || p.Reveal() != "" {
			t.Errorf("ParsePassword(%.40q): got %v, %v, want ErrNotAppSpecific", s, p.Reveal(), err)
		}
		if err != nil && len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("ParsePassword(%.40q): the error repeats it", s)
		}
	}
}

// FuzzParsePassword: an accepted password has Apple's form, is parsed again to itself, and has
// exactly the letters of the input in their order.
func FuzzParsePassword(f *testing.F) {
	for _, s := range []string{"abcd-efgh-ijkl-mnop", "ABCD EFGH IJKL MNOP", "abcd\u2013efgh", "hunter2", "\xff", "abcd-efgh-ijkl-mnop\u200b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := icloud.ParsePassword(s)
		if err != nil {
			if err != icloud.ErrNotAppSpecific || p.Reveal() != "" {
				t.Errorf("got %q, %v", p.Reveal(), err)
			}
			return
		}
		got := p.Reveal()
		letters := func(s string) string {
			return strings.Map(func(r rune) rune {
				if 'a' <= r && r <= 'z' {
					return r
				}
				return -1
			}, strings.ToLower(strings.Map(func(r rune) rune {
				if r > 127 {
					return -1
				}
				return r
			}, s)))
		}
		if len(got) != 19 || got[4] != '-' || got[9] != '-' || got[14] != '-' || letters(got) != letters(s) || len(letters(got)) != 16 {
			t.Errorf("got %q of %q", got, s)
		}
		if again, err := icloud.ParsePassword(got); err != nil || again.Reveal() != got {
			t.Errorf("%q again: got %q, %v", got, again.Reveal(), err)
		}
	})
}

func TestUncheckedPassword(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "x", "Tr0ub4dor&3", " spaces kept ", "pässword"} {
		if got := icloud.UncheckedPassword(s).Reveal(); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
	}
	if got := (icloud.Password{}).Reveal(); got != "" {
		t.Errorf("the zero Password reveals %q", got)
	}
}

// secret is searched in all output, in upper and lower case, as text, hexadecimal and numbers.
const secret = "qzxw-vjkq-zzxq-wwvj"

// leaks returns the form in which out gives secret away, or "".
func leaks(out string) string {
	forms := []string{secret, strings.ReplaceAll(secret, "-", ""), fmt.Sprintf("%x", secret), fmt.Sprintf("% x", secret), fmt.Sprintf("%d", []byte(secret)),
		strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"), fmt.Sprintf("%q", []rune(secret)), fmt.Sprintf("%U", []rune(secret)), fmt.Sprintf("%v", []byte(secret)),
		fmt.Sprintf("%#v", []byte(secret)), "cXp4dy12amtxLXp6eHEtd3d2ag", "qzxw", "wwvj"}
	out = strings.ToLower(out)
	for _, form := range forms {
		if strings.Contains(out, strings.ToLower(form)) {
			return form
		}
	}
	return ""
}

// hidden has an unexported field.
type hidden struct {
	cred icloud.Credential
	pass icloud.Password
	ptr  *icloud.Credential
	any  any
}

// containers are the values in which a Password may be printed.
func containers(t *testing.T) map[string]any {
	t.Helper()
	p := icloud.UncheckedPassword(secret)
	cred := icloud.Credential{AppleID: "ada@example.com", Password: p, Issued: time.Now()}
	client, err := icloud.New(cred, &icloud.Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, errors.New("no network")
	})})
	if err != nil {
		t.Fatal(err)
	}
	callErr := client.Authenticate(t.Context())
	_, parseErr := icloud.ParsePassword(secret + "!")
	badCred := cred
	badCred.Password = icloud.UncheckedPassword(secret + "\n")
	_, newErr := icloud.New(badCred, nil)
	badCred = cred
	badCred.AppleID = "other@example.com"
	reconnectErr := client.Reconnect(t.Context(), badCred)
	_, endpointErr := icloud.New(cred, &icloud.Options{Endpoint: "https://u:" + secret + "@dav.example.test/"})
	_, endpointErr2 := icloud.New(cred, &icloud.Options{Endpoint: "https://dav.example.test:" + secret})
	type exported struct {
		Cred icloud.Credential
		Pass icloud.Password
		Ptr  *icloud.Password
		Any  any
	}
	working, err := icloud.New(cred, &icloud.Options{Transport: new(watched)})
	if err != nil {
		t.Fatal(err)
	}
	book, err := working.CardDAV(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"Password":          p,
		"*Password":         &p,
		"**Password":        new(&p),
		"Credential":        cred,
		"*Credential":       &cred,
		"[]Password":        []icloud.Password{p},
		"[1]Credential":     [1]icloud.Credential{cred},
		"[]*Credential":     []*icloud.Credential{&cred},
		"[]any":             []any{p, cred, &cred},
		"map":               map[string]icloud.Password{"p": p},
		"map of Credential": map[string]icloud.Credential{"p": cred},
		"struct":            struct{ P icloud.Password }{p},
		"exported fields":   exported{cred, p, &p, cred},
		"unexported fields": hidden{cred, p, &cred, cred},
		"*unexported":       &hidden{cred, p, &cred, &p},
		"any":               any(cred),
		"func":              func() icloud.Password { return p },
		"chan":              make(chan icloud.Password, 1),
		"Client":            client,
		"**Client":          &client,
		"struct of Client":  struct{ C *icloud.Client }{client},
		"Status":            client.Status(),
		"carddav.Client":    book,
		"error of a call":   callErr,
		"ParsePassword":     parseErr,
		"New":               newErr,
		"Reconnect":         reconnectErr,
		"endpoint":          endpointErr,
		"endpoint's port":   endpointErr2,
		"joined errors":     errors.Join(callErr, parseErr, fmt.Errorf("of %v: %w", cred, newErr)),
		"Options":           icloud.Options{Store: icloud.DirStore("dir")},
	}
}

// TestPasswordDoesNotLeak: no verb of fmt, encoder, log handler or template prints a Password, in
// any container.
func TestPasswordDoesNotLeak(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, how, out string) {
		t.Helper()
		if form := leaks(out); form != "" {
			t.Errorf("%s leaks %q: %.200s", how, form, out)
		}
	}
	for name, v := range containers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range "vTtbcdoOqxXUeEfFgGspw%z!" {
				for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "40", ".3", "-40.30", "[1]"} {
					check(t, "%"+flags+string(verb), fmt.Sprintf("%"+flags+string(verb), v))
				}
			}
			check(t, "Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
			for _, format := range []string{"", "%[2]v", "%*d", "%.*d", "%[x]v", "%"} {
				// fmt's messages about wrong calls contain the arguments too.
				check(t, format, fmt.Sprintf(format, v, 1))
			}
			check(t, "Errorf", fmt.Errorf("it: %v %w", v, errors.New("x")).Error())

			for how, encode := range map[string]func(any) ([]byte, error){
				"json":        json.Marshal,
				"json indent": func(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") },
				"xml":         xml.Marshal,
				"gob": func(v any) ([]byte, error) {
					var b bytes.Buffer
					err := gob.NewEncoder(&b).Encode(v)
					return b.Bytes(), err
				},
			} {
				out, err := encode(v)
				check(t, how, fmt.Sprintf("%s %v", out, err))
			}

			var b bytes.Buffer
			for how, h := range map[string]slog.Handler{
				"slog text": slog.NewTextHandler(&b, nil),
				"slog json": slog.NewJSONHandler(&b, nil),
			} {
				logger := slog.New(h).With("with", v).WithGroup("group").With(slog.Group("nested", "v", v))
				logger.Info("plain", "v", v)
				logger.Info("any", slog.Any("v", v), slog.Group("a", slog.Group("b", "v", v)))
				logger.Info("pointer", "v", &v)
				logger.Info("list", "v", []any{v, map[string]any{"v": v}})
				logger.Error(fmt.Sprint(v), "err", fmt.Errorf("%v", v))
				check(t, how, b.String())
				b.Reset()
			}
			log.New(&b, "", 0).Println(v)
			check(t, "log", b.String())
			b.Reset()

			const page = `{{.}} {{printf "%v %s %d %x %q %#v" . . . . . .}} {{print .}} {{println .}} {{html .}} {{js .}} {{urlquery .}}`
			if err := template.Must(template.New("").Parse(page)).Execute(&b, v); err != nil {
				check(t, "text/template's error", err.Error())
			}
			check(t, "text/template", b.String())
			b.Reset()
			for _, page := range []string{`{{.}}`, `<a href="/?q={{.}}">{{.}}</a>`, `<script>var x = {{.}};</script>`, `<p title="{{.}}" style="width: {{.}}" onclick="f({{.}})">`} {
				if err := htmltemplate.Must(htmltemplate.New("").Parse(page)).Execute(&b, v); err != nil {
					check(t, "html/template's error", err.Error())
				}
			}
			check(t, "html/template", b.String())
		})
	}
}

// TestPasswordPrints: what is printed instead of a Password.
func TestPasswordPrints(t *testing.T) {
	t.Parallel()
	p := icloud.UncheckedPassword(secret)
	for _, p := range []icloud.Password{p, {}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			if got := fmt.Sprintf(format, p); got != "[redacted]" {
				t.Errorf("%s: got %q, want [redacted]", format, got)
			}
		}
		if got, err := json.Marshal(p); string(got) != `"[redacted]"` || err != nil {
			t.Errorf("json: got %s, %v", got, err)
		}
		if got, err := p.MarshalText(); string(got) != "[redacted]" || err != nil {
			t.Errorf("text: got %s, %v", got, err)
		}
	}
	if got := fmt.Sprintf("%v", icloud.Credential{AppleID: "ada@example.com", Password: p}); !strings.Contains(got, "[redacted]") {
		t.Errorf("got %q", got)
	}
	cred := icloud.Credential{Password: p}
	for _, v := range []reflect.Value{reflect.ValueOf(p), reflect.ValueOf(hidden{cred, p, &cred, p}).Field(1), reflect.ValueOf(hidden{cred, p, &cred, p})} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(format, v); leaks(got) != "" {
				t.Errorf("reflect.Value: %s gives %q", format, got)
			}
		}
	}
	// The redacted text cannot be unmarshalled into a Password.
	var back icloud.Credential
	if err := json.Unmarshal([]byte(`{"Password":"[redacted]"}`), &back); err == nil {
		t.Error("a redacted Password was unmarshaled without an error")
	}
}

// TestPanicDoesNotLeak runs programs that panic with each value, because the runtime prints the
// values of panics by itself.
func TestPanicDoesNotLeak(t *testing.T) {
	t.Parallel()
	if which := os.Getenv("ICLOUD_TEST_PANIC"); which != "" {
		panic(containers(t)[which])
	}
	for _, name := range []string{"Password", "*Password", "Credential", "*Credential", "unexported fields", "Client", "[]any", "joined errors", "error of a call"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicDoesNotLeak$", "-test.parallel=1")
		cmd.Env = append(os.Environ(), "ICLOUD_TEST_PANIC="+name, "GOTRACEBACK=all")
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panic:")) {
			t.Fatalf("%s: got %v and %s, want a panic", name, err, out)
		}
		if form := leaks(string(out)); form != "" {
			t.Errorf("%s: the panic leaks %q: %s", name, form, out)
		}
	}
}

// TestErrorsDoNotLeak collects the errors of all calls, with a server and a Store that put the
// password, the account and paths into all texts.
func TestErrorsDoNotLeak(t *testing.T) {
	t.Parallel()
	const account, path = "ada.secret@example.com", "/8034501234/"
	cred := icloud.Credential{AppleID: account, Password: icloud.UncheckedPassword(secret)}
	for status := 100; status < 600; status++ {
		if status == 101 || status > 103 && status < 200 {
			continue
		}
		store := &memoryStore{failSave: errors.New("save " + secret + account)}
		client, err := icloud.New(cred, &icloud.Options{Store: store, Dwell: -1, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			user, password, _ := r.BasicAuth()
			text := fmt.Sprintf("<html>%s %s %s %s %s</html>", user, password, account, r.URL, r.Header["Authorization"])
			return &http.Response{
				Status: text, StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: -1,
				Header: http.Header{"Www-Authenticate": {`Basic realm="MMCalDav"`, text}, "Location": {"https://" + password + ".test" + path + user}, "Retry-After": {"1"}, "Content-Type": {text}, "X-Text": {text}},
				Body:   io.NopCloser(strings.NewReader(text)),
			}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		contact := &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nPHOTO;VALUE=uri:https://gateway.icloud.com" + path + secret + "\r\nEND:VCARD\r\n")}
		errs := map[string]error{"Authenticate": client.Authenticate(t.Context())}
		for _, err := range client.Contacts(t.Context()) {
			errs["Contacts"] = err
		}
		_, errs["Sync"] = client.Sync(t.Context(), "", func(icloud.Change) error { return nil })
		_, errs["Contact"] = client.Contact(t.Context(), secret)
		_, errs["Put"] = client.Put(t.Context(), secret, []byte(secret), "")
		errs["Delete"] = client.Delete(t.Context(), secret, `"`+secret+`"`)
		_, _, errs["Photo"] = client.Photo(t.Context(), contact)
		_, errs["CardDAV"] = client.CardDAV(t.Context())
		errs["Reconnect"] = client.Reconnect(t.Context(), cred)
		for name, err := range errs {
			if err == nil {
				t.Errorf("%d: %s: got no error", status, name)
				continue
			}
			text := fmt.Sprintf("%v %+v %#v %q", err, err, err, err)
			if out, err := json.Marshal(err); err == nil {
				text += string(out)
			}
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).LogAttrs(context.Background(), 0, "x", slog.Any("err", err))
			text += b.String()
			if form := leaks(text); form != "" {
				t.Errorf("%d: %s: leaks %q: %s", status, name, form, text)
			}
			for _, other := range []string{account, path, "html", "8034501234"} {
				if strings.Contains(text, other) {
					t.Errorf("%d: %s: the error repeats %q: %s", status, name, other, text)
				}
			}
			if msg := err.Error(); !strings.HasPrefix(msg, "icloud: ") || strings.Count(msg, "\n") > strings.Count(msg, "icloud: ") {
				t.Errorf("%d: %s: got the text %q", status, name, msg)
			}
		}
	}
}

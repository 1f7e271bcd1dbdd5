package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// recordOf runs check with -record and returns the file.
func recordOf(t *testing.T, h *home, status int) (shapeRecord, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "record.json")
	if got := h.run(t.Context(), []string{"check", "-record", file}); got != status {
		t.Errorf("exit status %d, want %d: %s", got, status, h.err.take())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if shown := h.err.take(); !strings.Contains(shown, string(text)) {
		t.Errorf("it was written without being shown: %s", shown)
	}
	var record shapeRecord
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	return record, string(text)
}

// TestRecord: a record of the fake agrees with QUIRKS.md and does not identify the account,
// and only requests that read were sent.
func TestRecord(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	fill(h.srv, 120)
	h.srv.Put("ada-secret.vcf", vcf("UID:1\nFN:Ada\nPHOTO;VALUE=uri:"+h.srv.PutPhoto([]byte("\xff\xd8\xff"), "image/jpeg")))
	h.env["ICLOUD_APP_PASSWORD_ISSUED"] = time.Now().AddDate(0, 0, -100).Format(time.DateOnly)
	methods := make(map[string]bool)
	h.srv.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		methods[r.Method] = true
		return false
	}
	record, text := recordOf(t, h, ok)
	if got := slices.Sorted(maps.Keys(methods)); !slices.Equal(got, []string{"GET", "PROPFIND", "REPORT"}) {
		t.Errorf("methods: %q", got)
	}
	if record.Accepted == nil || !*record.Accepted || record.PasswordAge != "90 to 119 days" {
		t.Errorf("got %+v", record)
	}
	asked := make(map[string]*answerShape)
	for _, a := range record.Answers {
		if asked[a.Request] == nil {
			asked[a.Request] = a
		}
	}
	for _, request := range []string{
		"PROPFIND current-user-principal, Depth 0", "PROPFIND addressbook-home-set, Depth 0", "PROPFIND resourcetype, Depth 1",
		"REPORT addressbook-query, Depth 1", "REPORT sync-collection, from the start, Depth 0", "REPORT sync-collection, Depth 0",
		"REPORT addressbook-multiget, Depth 0", "GET",
	} {
		if asked[request] == nil {
			t.Fatalf("no %q in %q", request, slices.Sorted(maps.Keys(asked)))
		}
	}
	query := asked["REPORT addressbook-query, Depth 1"]
	if query.Status != 207 || !query.Body.Compressed || query.Body.Cut || query.Body.XML.Malformed ||
		query.Body.XML.Elements["DAV:response"] != "100 to 999" || query.Body.XML.Elements["other"] != "" || query.Body.XML.OwnRow != "with slash" {
		t.Errorf("the listing: %+v, %+v", query, query.Body.XML)
	}
	if !regexp.MustCompile(`^p9+-contacts\.icloud\.com(:443)?$`).MatchString(query.Host) || query.Path != "/<number>/carddavhome/card/" {
		t.Errorf("the listing is at %s %s", query.Host, query.Path)
	}
	if c := query.Body.Cards; c == nil || c.Versions["3.0"] != "100 to 999" || c.LineEnds["CRLF"] != "100 to 999" || c.Groups != "1" ||
		c.Photos["inline"] != "1" || c.Photos["URL on gateway.icloud.com/contacts/<number>/ck/card/<name>"] != "1" {
		t.Errorf("the cards: %+v", c)
	}
	home := asked["PROPFIND addressbook-home-set, Depth 0"].Body.XML
	if !slices.ContainsFunc(slices.Collect(maps.Keys(home.Hrefs)), func(s string) bool {
		return regexp.MustCompile(`https://p9+-contacts\.icloud\.com:443/<number>/carddavhome/$`).MatchString(s)
	}) {
		t.Errorf("the home: %+v", home)
	}
	for form := range asked["REPORT sync-collection, Depth 0"].Body.XML.Tokens {
		if !strings.HasPrefix(form, "begins with HwoQEgwA, then ") {
			t.Errorf("token: %q", form)
		}
	}
	for _, secret := range []string{h.cred.AppleID, "ada", "Ada", "example", "lovelace"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the record: %s", secret, text)
		}
	}
	if long := regexp.MustCompile(`[0-9]{5,}`).FindAllString(text, -1); slices.ContainsFunc(long, func(n string) bool { return strings.Trim(n, "019") != "" }) {
		t.Errorf("numbers in the record: %q", long)
	}
}

// TestRecordRefused: the record of a refused password has the headers of the 401.
func TestRecordRefused(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.srv.RevokeAll()
	record, _ := recordOf(t, h, dead)
	if record.Accepted == nil || *record.Accepted || len(record.Answers) != 2 /* it is asked about once more */ {
		t.Fatalf("got %+v", record)
	}
	a := record.Answers[0]
	const token, basic = `X-MobileMe-AuthToken realm="MMCalDav"`, `Basic realm="MMCalDav"`
	if got := strings.ReplaceAll(a.Headers["www-authenticate"], " | ", ", "); a.Status != 401 || got != basic+", "+token && got != token+", "+basic || a.Body.Kind != "empty" {
		t.Errorf("got %+v", a)
	}

	// An answer that is neither yes nor no is recorded too.
	h = newHome(t)
	h.srv.SetIntercept(icloudtest.BadGateway)
	if record, _ := recordOf(t, h, failed); record.Accepted != nil || record.Answers[0].Body.Kind != "html" {
		t.Errorf("got %+v", record)
	}
}

// TestRecordFile: an existing file is not overwritten, and then nothing is sent.
func TestRecordFile(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	file := filepath.Join(t.TempDir(), "record.json")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := h.run(t.Context(), []string{"check", "-record", file}); got != misused || h.srv.Requests() != 0 {
		t.Errorf("exit status %d, %d requests", got, h.srv.Requests())
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestRecordQuirks: each row of QUIRKS.md says what a record would do, and the issue
// template asks for one.
func TestRecordQuirks(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../QUIRKS.md")
	if err != nil {
		t.Fatal(err)
	}
	says := regexp.MustCompile(`^(both|raises|no)([,:] .+)?$`)
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		// The table at the end names repositories.
		if !strings.HasPrefix(line, "|") || len(cells) == 2 || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| What") {
			continue
		}
		rows++
		if len(cells) != 4 || !says.MatchString(strings.TrimSpace(cells[3])) {
			t.Errorf("this row does not say what a record would do: %s", line)
		}
	}
	if rows < 70 {
		t.Errorf("met %d rows", rows)
	}
	template, err := os.ReadFile("../../.github/ISSUE_TEMPLATE/record.yml")
	if err != nil || !strings.Contains(string(template), "check -issued 2026-01-31 -record record.json") {
		t.Errorf("the issue template: %v", err)
	}
}

func TestPattern(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "",
		`"lt1gqtev"`:             `"x{8}"`,
		`"C=4@U=cc792711-9684"`:  `"A{1}=9{1}@A{1}=x{8}-9{4}"`,
		"abc":                    "a{3}",
		"häß":                    "?{5}",
		strings.Repeat("a", 17):  "a{17-32}",
		strings.Repeat("a", 32):  "a{17-32}",
		strings.Repeat("1", 33):  "9{33-64}",
		strings.Repeat("a-", 99): "a{1}-a{1}-a{1}-a{1}-a{1}-a{1}-a{1}-a{1}-...",
	} {
		if got := pattern(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 9: "9", 10: "10 to 99", 99: "10 to 99", 100: "100 to 999", 50_000: "10000 to 99999"} {
		if got := count(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// TestMarks: marks are counted independently of where reads end.
func TestMarks(t *testing.T) {
	t.Parallel()
	const text = "<a>\n\n<![CDATA[x&#13;]]>y<![CDATA[z]]>&#13;\n&#13;</a>"
	for size := 1; size <= len(text); size++ {
		m := &marks{in: strings.NewReader(text)}
		for p := make([]byte, size); ; {
			if _, err := m.Read(p); err == io.EOF {
				break
			}
		}
		if m.cdata != 2 || m.crs != 3 || m.blank != 1 || m.n != len(text) {
			t.Errorf("reads of %d: %+v", size, m)
		}
	}
}

// answered is a RoundTripper that always returns one answer.
type answered struct{ resp *http.Response }

func (a answered) RoundTrip(*http.Request) (*http.Response, error) { return a.resp, nil }

// FuzzRecord: no part of an answer is in the record. A secret is put into every place of an
// answer, and into the texts of the fuzzer.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("<S/>"), uint8(0))
	f.Add([]byte(`<D:multistatus xmlns:D="DAV:"><D:S D:S="S">S</D:S></D:multistatus>`), uint8(1))
	f.Add([]byte("BEGIN:VCARD\r\nVERSION:S\r\nPHOTO;VALUE=uri:https://S/S\r\nS:S\r\nEND:VCARD\r\n"), uint8(2))
	f.Add([]byte("HTTP/1.1 S\nServer: S"), uint8(3))
	f.Add([]byte(`<?xml version="S" standalone="S"?><!DOCTYPE S><response xmlns="DAV:"><href>https://pS-contacts.icloud.com/S</href></response>`), uint8(4))
	f.Fuzz(func(t *testing.T, body []byte, kind uint8) {
		const secret = "Zq7Xw9Vk3J"
		body = bytes.ReplaceAll(body, []byte("S"), []byte(secret))
		const number = "8034509913"
		planted := map[string]string{
			"multistatus": `<?xml version="1.0" encoding="UTF-8"?><multistatus xmlns="DAV:" xmlns:S="S" S="S"><response><href>/N/carddavhome/card/S.vcf</href><href>https://pN-contacts.icloud.com:N/S?S#S</href><href>//S@S:N/</href>` +
				`<propstat><prop><S/><getetag>"S"</getetag><S:S/><x xmlns="S">S</x><address-data xmlns="urn:ietf:params:xml:ns:carddav">BEGIN:VCARD&#13;
VERSION:S&#13;
S:S&#13;
PHOTO;VALUE=URI;S=S:https://S.icloud.com/contacts/N/S&#13;
PHOTO:https://gateway.icloud.com/contacts/N/ck/card/S&#13;
END:VCARD</address-data><getctag xmlns="http://calendarserver.org/ns/">FT=-@RU=S@S=N</getctag></prop><status>HTTP/1.1 S</status></propstat>` +
				`<status>S</status><status>HTTP/1.1 200 S</status><error><S/></error><responsedescription>S</responsedescription></response><!-- S --><?S S?><![CDATA[S]]><sync-token>HwoQEgwAS</sync-token><sync-token>https://S/N</sync-token></multistatus>`,
		}
		text := strings.NewReplacer("S", secret, "N", number).Replace(planted["multistatus"])
		if kind%3 == 1 {
			text = string(body)
		} else if kind%3 == 2 {
			text = strings.Replace(text, "</prop>", string(body)+"</prop>", 1)
		}
		resp := &http.Response{
			StatusCode: 207, Status: secret, Proto: secret, TransferEncoding: []string{secret},
			Header: http.Header{secret: {secret}, "X-" + secret: {number}, "Content-Type": {"text/xml; charset=" + secret, secret + "/" + secret}},
			Body:   io.NopCloser(strings.NewReader(text)),
		}
		for name := range headerShapes {
			resp.Header.Add(name, secret)
			resp.Header.Add(name, number+", "+secret+";"+secret+"=\""+secret+"\"")
			resp.Header.Add(name, "https://"+secret+"@p"+number+"-contacts.icloud.com/"+number+"/"+secret)
			resp.Header.Add(name, "AppleHttpServer/"+secret)
			resp.Header.Add(name, `Basic realm="`+secret+`"`)
			resp.Header.Add(name, string(body))
		}
		if kind%2 == 1 {
			var b bytes.Buffer
			zip := gzip.NewWriter(&b)
			_, _ = io.WriteString(zip, text)
			_ = zip.Close()
			resp.Header.Set("Content-Encoding", "gzip")
			resp.Body = io.NopCloser(&b)
		}
		rec := &recorder{rt: answered{resp}}
		for _, url := range []string{"https://p" + number[:3] + "-contacts.icloud.com/" + number + "/" + secret, "https://" + strings.ToLower(secret) + ".example:8443/" + secret} {
			req, err := http.NewRequestWithContext(t.Context(), secret, url, strings.NewReader(secret))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Depth", secret)
			req.Header.Set("Authorization", secret)
			got, err := rec.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, got.Body); err != nil {
				t.Fatal(err)
			}
			if err := got.Body.Close(); err != nil {
				t.Fatal(err)
			}
			resp.Body = io.NopCloser(strings.NewReader(text))
		}
		out, err := json.MarshalIndent(rec.record(nil, time.Time{}), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		// The record has no part of the secret, in upper or lower case.
		low := strings.ToLower(string(out))
		for i := range len(secret) - 3 {
			if part := strings.ToLower(secret[i : i+4]); strings.Contains(low, part) {
				t.Fatalf("%q of the secret is in the record: %s", part, out)
			}
		}
		for i := range len(number) - 4 {
			if part := number[i : i+5]; strings.Contains(low, part) {
				t.Fatalf("%q of the number is in the record: %s", part, out)
			}
		}
		if fmt.Sprint(len(rec.answers)) != "2" {
			t.Fatalf("%d answers, want 2", len(rec.answers))
		}
	})
}

// TestRecorderPassesOn: the recorder does not change answers, and a body that was not read to
// its end is recorded as cut.
func TestRecorderPassesOn(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("<a>text</a>", 10_000)
	for _, read := range []int{0, 1, len(text)} {
		rec := &recorder{rt: answered{&http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(text))}}}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://contacts.icloud.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rec.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := io.CopyN(&b, resp.Body, int64(read)); err != nil {
			t.Fatal(err)
		}
		if b.String() != text[:read] {
			t.Errorf("got other text")
		}
		if read == len(text) {
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if got := rec.record(nil, time.Time{}).Answers[0].Body.Cut; got != (read < len(text)) {
			t.Errorf("%d bytes read: cut %t", read, got)
		}
	}
}

package main

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// visitor clicks through demo -web.
type visitor struct {
	t    *testing.T
	base string
	page string // the latest page
}

// visit starts the demo and opens its page.
func visit(t *testing.T) *visitor {
	t.Helper()
	h := newHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() { ended <- h.run(ctx, []string{"demo", "-web"}) }()
	t.Cleanup(func() {
		cancel()
		if got := <-ended; got != ok {
			t.Errorf("exit status %d", got)
		}
	})
	v := &visitor{t: t}
	for text := ""; v.base == ""; time.Sleep(time.Millisecond) {
		text += h.out.take()
		v.base = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/|$`).FindString(text)
	}
	v.get("")
	return v
}

// get opens a page.
func (v *visitor) get(path string) int {
	return v.answer(http.Get(v.base + strings.TrimPrefix(path, v.base)))
}

// post presses a button, or sends a form.
func (v *visitor) post(path string, values ...string) int {
	form := make(url.Values)
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return v.answer(http.PostForm(v.base+strings.TrimPrefix(path, v.base), form))
}

func (v *visitor) answer(resp *http.Response, err error) int {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.page = html.UnescapeString(string(body))
	return resp.StatusCode
}

// part returns the part of the dashboard about a customer.
func (v *visitor) part(id string) string {
	v.t.Helper()
	v.get("")
	part := regexp.MustCompile(`(?s)<section id="` + id + `".*?</section>`).FindString(v.page)
	if part == "" {
		v.t.Fatalf("nothing about %s: %s", id, v.page)
	}
	return part
}

// find returns what matches the group of a pattern.
func (v *visitor) find(pattern, text string) string {
	v.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		v.t.Fatalf("no %s in %s", pattern, text)
	}
	return m[1]
}

const (
	mailed = `<a href="([^"]*link=[^"]*)">Connect again`
	made   = `class="made">([a-z-]{19})<`
	state  = `<dt>State</dt><dd>([^<]*)<`
)

// TestDemoWebBegins: at the start each customer is in another situation.
func TestDemoWebBegins(t *testing.T) {
	t.Parallel()
	v := visit(t)
	for id, want := range map[string][]string{
		"ada":   {"active", "7, read at", "Nothing: no mail was sent", "at once"},
		"emmy":  {"expiring", "Your iCloud connection will end soon"},
		"pal":   {"signed out", "password expired (likely", "Please connect iCloud again", "in 24 hours"},
		"sofya": {"signed out", "password revoked (likely", "Please connect iCloud again"},
		"zu":    {"doubted", "Nothing: no mail was sent", "Can be final", "in 15 minutes", "in 60 seconds"},
		"grace": {"not connected", `/icloud/?as=grace`},
	} {
		part := v.part(id)
		for _, text := range want {
			if !strings.Contains(part, text) {
				t.Errorf("%s: no %q in %s", id, text, part)
			}
		}
	}
}

// TestDemoWebLoop: a password is revoked, a mail is sent, its link is opened, a new password
// is made and entered, and then the link no longer works.
func TestDemoWebLoop(t *testing.T) {
	t.Parallel()
	v := visit(t)
	for _, action := range []string{"revoke", "change", "expire"} {
		if status := v.post("do/" + action + "/ada"); status != http.StatusOK {
			t.Fatalf("%s: %d %s", action, status, v.page)
		}
		part := v.part("ada")
		if got := v.find(state, part); got != "signed out" {
			t.Errorf("%s: the state is %q", action, got)
		}
		link := v.find(mailed, part)
		if status := v.get(link); status != http.StatusOK || !strings.Contains(v.page, "Connect iCloud to Acme again") {
			t.Errorf("%s: %d %s", action, status, v.page)
		}
		v.post("do/make/ada")
		password := v.find(made, v.part("ada"))
		if status := v.post(link, "password", password); status != http.StatusOK || !strings.Contains(v.page, "Acme is connected to iCloud") {
			t.Errorf("%s: %d %s", action, status, v.page)
		}
		if status := v.post(link, "password", password); status != http.StatusGone {
			t.Errorf("%s: the link is used twice", action)
		}
		if got := v.find(state, v.part("ada")); got != "active" {
			t.Errorf("%s: the state is %q in the end", action, got)
		}
	}
}

// TestDemoWebOutage: an outage does not sign a customer out, and ends.
func TestDemoWebOutage(t *testing.T) {
	t.Parallel()
	v := visit(t)
	v.post("do/make/grace")
	values := []string{"apple_id", "grace@example.com", "password", v.find(made, v.part("grace"))}
	if status := v.post("icloud/?as=grace", values...); status != http.StatusOK {
		t.Fatalf("%d %s", status, v.page)
	}
	v.post("do/outage/grace")
	if part := v.part("grace"); v.find(state, part) != "active" || !strings.Contains(part, "503 Service") || !strings.Contains(part, "no mail was sent") {
		t.Error(part)
	}
	if status := v.post("icloud/?as=grace", values...); status != http.StatusServiceUnavailable || !strings.Contains(v.page, "It is not your password") {
		t.Errorf("%d %s", status, v.page)
	}
	v.post("do/mend/grace")
	if part := v.part("grace"); strings.Contains(part, "503 Service") {
		t.Error(part)
	}
	// Any number of passwords can be made, although an account can have only 25.
	for range 60 {
		if status := v.post("do/make/grace"); status != http.StatusOK {
			t.Fatalf("%d %s", status, v.page)
		}
	}
}

// TestDemoWebMisuse: unknown buttons and requests from other sites do nothing.
func TestDemoWebMisuse(t *testing.T) {
	t.Parallel()
	v := visit(t)
	for path, want := range map[string]int{"do/stray/ada": 400, "do/nothing/ada": 400, "do/revoke/nobody": 404, "do/revoke/grace": 400, "x": 404} {
		if got := v.post(path); got != want && !(path == "x" && got == http.StatusMethodNotAllowed) {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	r, err := http.NewRequest("POST", v.base+"do/revoke/ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://evil.example")
	if status := v.answer(http.DefaultClient.Do(r)); status != http.StatusForbidden {
		t.Errorf("got %d", status)
	}
	if got := v.find(state, v.part("ada")); got != "active" {
		t.Errorf("the state is %q", got)
	}
	h := newHome(t)
	for _, args := range []string{"demo -web -addr 0.0.0.0:0", "demo -web -addr nonsense", "demo -addr 127.0.0.1:0"} {
		if got := h.run(t.Context(), strings.Fields(args)); got != misused {
			t.Errorf("%s: exit status %d", args, got)
		}
	}
}

package icloudtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// raw sends one request over a connection of the Transport and returns every
// byte of the answer up to the body.
func raw(t *testing.T, s *icloudtest.Server, request string) string {
	t.Helper()
	dial := s.Transport().(*http.Transport).DialTLSContext
	conn, err := dial(context.Background(), "tcp", "contacts.icloud.com:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func(c net.Conn) { _, _ = io.WriteString(c, request) }(conn)
	var b strings.Builder
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

// TestOne401: no byte of a 401 depends on the cause. Servers that have answered the same number
// of requests give equal answers.
func TestOne401(t *testing.T) {
	t.Parallel()
	causes := map[string]func(*icloudtest.Server) (icloud.Credential, bool){
		"no credential": func(s *icloudtest.Server) (icloud.Credential, bool) { return icloud.Credential{}, false },
		"mistyped": func(s *icloudtest.Server) (icloud.Credential, bool) {
			cred := s.Issue()
			cred.Password = icloud.UncheckedPassword("aaaa-aaaa-aaaa-aaaa")
			return cred, true
		},
		"unknown user": func(s *icloudtest.Server) (icloud.Credential, bool) {
			cred := s.Issue()
			cred.AppleID = "alias@example.com"
			return cred, true
		},
		"revoked": func(s *icloudtest.Server) (icloud.Credential, bool) {
			cred := s.Issue()
			s.Revoke(cred.Password)
			return cred, true
		},
		"all revoked": func(s *icloudtest.Server) (icloud.Credential, bool) {
			cred := s.Issue()
			s.ChangeAccountPassword()
			return cred, true
		},
		"expired": func(s *icloudtest.Server) (icloud.Credential, bool) {
			return s.IssueAt(time.Now().Add(-2 * year)), true
		},
		"the account's own": func(s *icloudtest.Server) (icloud.Credential, bool) {
			cred := s.Issue()
			cred.Password = icloud.UncheckedPassword("Correct horse 1!")
			return cred, true
		},
		"a stray one": func(s *icloudtest.Server) (icloud.Credential, bool) {
			s.Intercept = icloudtest.Unauthorized
			return s.Issue(), true
		},
	}
	synctest.Test(t, func(t *testing.T) { // so that all Servers have the same time
		want := make([]string, 8)
		for cause, make := range causes {
			s := icloudtest.NewServer()
			cred, ok := make(s)
			for i := range want {
				req, err := http.NewRequest("PROPFIND", canonical+"/", strings.NewReader(askPrincipal))
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					req.SetBasicAuth(cred.AppleID, cred.Password.Reveal())
				}
				var b strings.Builder
				if err := req.Write(&b); err != nil {
					t.Fatal(err)
				}
				got := raw(t, s, b.String())
				if want[i] == "" {
					want[i] = got
				}
				if got != want[i] {
					t.Errorf("%s: the answer differs:\n%s\nwant\n%s", cause, got, want[i])
				}
				if !strings.HasPrefix(got, "HTTP/1.1 401 ") || !strings.Contains(got, "\r\nContent-Length: 0\r\n") ||
					!strings.Contains(got, "\r\nServer: AppleHttpServer/") {
					t.Errorf("%s: not iCloud's empty 401:\n%s", cause, got)
				}
			}
			s.Close()
		}
	})
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.cred = icloud.Credential{}
	const basic, token = `Basic realm="MMCalDav"`, `X-MobileMe-AuthToken realm="MMCalDav"`
	layouts := map[string]bool{
		basic + "|" + token:  true,
		token + "|" + basic:  true,
		basic + ", " + token: true,
		token + ", " + basic: true,
	}
	for range 3 {
		seen := make(map[string]bool)
		for range 4 {
			a := s.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
			layout := strings.Join(a.Header["Www-Authenticate"], "|")
			if !layouts[layout] {
				t.Fatalf("challenges %q", layout)
			}
			seen[layout] = true
		}
		if len(seen) != 4 {
			t.Errorf("%d layouts in four refusals, want all 4: %v", len(seen), seen)
		}
	}
	s.srv.Challenges = []string{basic}
	for range 4 {
		a := s.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
		equal(t, "Challenges as set", a.Header["Www-Authenticate"], []string{basic})
	}
}

// TestNoise: the headers without meaning exist, and differ between answers.
func TestNoise(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.cred = icloud.Credential{}
	seen := make(map[string]map[string]bool)
	for range 40 {
		a := s.do("PROPFIND", canonical+"/", askPrincipal)
		for name := range a.Header {
			if seen[name] == nil {
				seen[name] = make(map[string]bool)
			}
			seen[name][a.Header.Get(name)] = true
		}
		instance, edge := a.Header.Get("X-Responding-Instance"), a.Header.Get("X-Apple-Filtered-At-Edge")
		if (instance == "") != (edge == "true") {
			t.Errorf("instance %q, filtered at edge %q: want one of them", instance, edge)
		}
		// An answer of the edge has a response time of 0 and a short Via.
		h, lines := a.Header, len(a.Header["Www-Authenticate"])
		got := fmt.Sprintf("%v %v %v %q %d", h.Get("X-Apple-Edge-Response-Time") == "0", strings.Contains(h.Get("Via"), "xrail"),
			h.Get("Strict-Transport-Security") != "", h.Get("Alt-Svc"), lines)
		want := `false true true "" 2`
		if edge != "" {
			want = `true false false "clear" 1`
		}
		if got != want {
			t.Fatalf("filtered at edge %q: got %s, want %s in %v", edge, got, want, h)
		}
		if partition := h.Get("X-Apple-User-Partition"); edge == "" && !strings.Contains(instance, fmt.Sprintf(":p%02s-carddav", partition)) {
			t.Errorf("partition %s, instance %s", partition, instance)
		}
	}
	// On a partition host both partitions are that of the host, whatever the account is.
	for range 4 {
		h := s.do("PROPFIND", "https://p07-contacts.icloud.com/", askPrincipal).Header
		if instance := h.Get("X-Responding-Instance"); h.Get("X-Apple-User-Partition") != "7" || instance != "" && !strings.Contains(instance, ":p07-") {
			t.Errorf("a 401 of p07: %v", h)
		}
	}
	for _, name := range []string{"X-Responding-Instance", "X-Apple-Request-Uuid", "X-Apple-User-Partition", "X-Apple-Edge-Response-Time", "Via"} {
		if len(seen[name]) < 10 {
			t.Errorf("%s: %d values in 40 refusals, want noise", name, len(seen[name]))
		}
	}
	if len(seen["X-Apple-Filtered-At-Edge"]) == 0 || len(seen["X-Responding-Instance"]) == 40 {
		t.Error("want both kinds of 401, from the edge and from an instance")
	}
}

// TestAuthEverywhere: every host and every path requires the password, also those of photos.
func TestAuthEverywhere(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	photo := s.srv.PutPhoto([]byte("jpeg"), "image/jpeg")
	home := strings.TrimSuffix(s.bookPath(), "card/")
	urls := []string{photo}
	for _, host := range []string{"contacts.icloud.com", "p07-contacts.icloud.com:443", "p180-contacts.icloud.com", "contacts.icloud.com.cn", "p01-contacts.icloud.com.cn"} {
		for _, path := range []string{"/", "/.well-known/carddav", s.principal(), "/principal/", home, home + "card/", home + "card/a.vcf", "/1/carddavhome/", "/nothing"} {
			urls = append(urls, "https://"+host+path)
		}
	}
	stranger := *s
	stranger.cred = icloud.Credential{}
	for _, url := range urls {
		for _, method := range []string{"PROPFIND", "REPORT", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "MKCOL"} {
			a := stranger.want(http.StatusUnauthorized, method, url, "")
			if a.body != "" {
				t.Errorf("%s %s: the 401 has a body", method, url)
			}
		}
	}
	s.want(http.StatusOK, "GET", canonical+home+"card/a.vcf", "")
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	s := start(t)
	alias := *s
	alias.cred.AppleID = "alias@example.com"
	principal := s.principal()
	alias.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
	s.srv.ForbidUnknownUser = true
	for _, path := range []string{"/", "/.well-known/carddav"} {
		a := alias.want(http.StatusForbidden, "PROPFIND", canonical+path, askPrincipal)
		if a.Header["Www-Authenticate"] != nil {
			t.Error("the 403 has a challenge")
		}
	}
	alias.want(http.StatusUnauthorized, "PROPFIND", canonical+principal, askHome)
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
	wrong := *s
	wrong.cred.Password = icloud.UncheckedPassword("aaaa-aaaa-aaaa-aaaa")
	wrong.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
	none := *s
	none.cred = icloud.Credential{}
	none.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)

	s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal, "User-Agent", "")
	s.srv.RequireUserAgent = true
	s.want(http.StatusForbidden, "PROPFIND", canonical+"/", askPrincipal, "User-Agent", "")
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)

	s.want(http.StatusForbidden, "PROPFIND", canonical+"/principal/", askHome)
	s.want(http.StatusForbidden, "PROPFIND", canonical+"/1234/carddavhome/card/", askETags)
}

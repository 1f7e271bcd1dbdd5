package icloudtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, url := range []string{
		"https://contacts.icloud.com/", "https://contacts.icloud.com:443/", "https://CONTACTS.iCloud.com/", "https://contacts.icloud.com./",
		"https://p01-contacts.icloud.com/", "https://p72-contacts.icloud.com:443/", "https://p180-contacts.icloud.com/",
		"https://contacts.icloud.com.cn/", "https://p12-contacts.icloud.com.cn:443/",
	} {
		s.want(http.StatusMultiStatus, "PROPFIND", url, askPrincipal)
	}
	before := s.srv.Requests()
	for _, url := range []string{
		"https://icloud.com/", "https://www.icloud.com/", "https://caldav.icloud.com/", "https://p1-contacts.icloud.com/", "https://p1234-contacts.icloud.com/",
		"https://contacts.icloud.com.attacker.test/", "https://evilicloud.com/", "https://xcontacts.icloud.com/", "https://p07-contacts.icloud.com.attacker.test/",
		"https://contacts.icloud.com:8443/", "http://contacts.icloud.com/", "http://contacts.icloud.com:443/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://contacts.icloud.com../",
	} {
		if a, err := s.try("PROPFIND", url, askPrincipal); err == nil {
			t.Errorf("%s: %s, want an error", url, a.Status)
		}
	}
	equal(t, "requests by these", s.srv.Requests(), before)
	if s.srv.Transport() != s.srv.Transport() {
		t.Error("two Transports, want one, so that connections are used again")
	}
	other := start(t)
	other.cred = s.cred
	other.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	s := start(t)
	equal(t, "at first", s.srv.Requests(), 0)
	s.do("PROPFIND", canonical+"/", askPrincipal)
	s.srv.Intercept = icloudtest.Status(503)
	s.do("GET", canonical+"/nothing", "")
	equal(t, "an answer and an interception", s.srv.Requests(), 2)
}

func TestIntercept(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/teapot" {
			w.WriteHeader(http.StatusTeapot)
			return true
		}
		return false
	}
	s.want(http.StatusTeapot, "GET", canonical+"/teapot", "")
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
	s.srv.Intercept = nil
	s.want(http.StatusBadRequest, "GET", canonical+"/teapot", "")
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 307, 308} {
		s := start(t)
		principal := s.principal()
		s.srv.Redirect = status
		url := canonical + principal + "?x=%20"
		a := s.want(status, "PROPFIND", url, askHome)
		location := a.Header.Get("Location")
		host, path, _ := strings.Cut(strings.TrimPrefix(location, "https://"), "/")
		if !strings.HasSuffix(host, "-contacts.icloud.com:443") || "/"+path != principal+"?x=%20" {
			t.Fatalf("%d: Location %q", status, location)
		}
		s.want(http.StatusMultiStatus, "PROPFIND", location, askHome)
		a = s.want(status, "PROPFIND", strings.Replace(url, ".com", ".com.cn", 1), askHome)
		if location := a.Header.Get("Location"); !strings.Contains(location, ".icloud.com.cn:443/") {
			t.Errorf("%d: Location in China %q", status, location)
		}
		// net/http drops the password at a redirect to another host, and at 301 and
		// 302 also the method. So a client must follow redirects by itself.
		var hops []string
		s.srv.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
			_, _, ok := r.BasicAuth()
			hops = append(hops, fmt.Sprint(r.Method, " ", ok))
			return false
		}
		req, err := http.NewRequestWithContext(t.Context(), "PROPFIND", canonical+"/", strings.NewReader(askPrincipal))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
		resp, err := (&http.Client{Transport: s.srv.Transport()}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		method := "GET"
		if status >= 307 {
			method = "PROPFIND"
		}
		equal(t, fmt.Sprint(status, ": hops"), hops, []string{"PROPFIND true", method + " false"})
		equal(t, fmt.Sprint(status, ": at the end"), resp.StatusCode, http.StatusUnauthorized)
	}
}

// TestBubble: in a bubble a year passes while connections are open, and Close ends everything.
func TestBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		if now := time.Now().UTC(); now.Year() != 2000 || now.YearDay() != 1 {
			t.Errorf("a bubble begins at %v, and the package's documentation says 2000-01-01", now)
		}
		s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
		time.Sleep(year)
		s.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)

		// Requests that wait for each other take no time in the bubble.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.srv.Intercept = icloudtest.Stall
		begin := time.Now()
		req, err := http.NewRequestWithContext(ctx, "PROPFIND", canonical+"/", strings.NewReader(askPrincipal))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.via.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a stalled request ends with %v, want its deadline", err)
		}
		equal(t, "after", time.Since(begin), time.Minute)
	})
}

// TestClose: Close ends all requests, whatever they wait for, and leaves no goroutine.
func TestClose(t *testing.T) {
	// A bubble fails if goroutines are left.
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.srv.Put("a.vcf", strings.Repeat("x", 1<<20))
		book := s.book()
		// An answer that was not read to its end.
		req, err := http.NewRequest("GET", book+"a.vcf", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
		resp, err := s.via.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		// A request without an answer.
		s.srv.Intercept = icloudtest.Stall
		failed := make(chan error)
		go func() {
			_, err := s.try("PROPFIND", canonical+"/", askPrincipal)
			failed <- err
		}()
		synctest.Wait()
		s.srv.Close()
		if err := <-failed; err == nil {
			t.Error("a stalled request has an answer after Close")
		}
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("a half-read answer came to its end after Close")
		}
		resp.Body.Close()
		s.srv.Close()
		if _, err := s.try("PROPFIND", canonical+"/", askPrincipal); err == nil {
			t.Error("an answer after Close")
		}
	})
	// Close works outside of bubbles too.
	before := runtime.NumGoroutine()
	for range 20 {
		srv := icloudtest.NewServer()
		s := &session{t, srv, srv.Issue(), srv.Transport()}
		s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
		srv.Close()
	}
	for i := 0; runtime.NumGoroutine() > before+5; i++ {
		if i == 100 {
			t.Fatalf("%d goroutines, were %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestCloseWhileDialling: connections that are being made while the Server closes end too.
func TestCloseWhileDialling(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			s := start(t)
			for range 5 {
				go func() {
					// The call must return, with an answer or not.
					_, _ = s.try("PROPFIND", canonical+"/", askPrincipal)
				}()
			}
			s.srv.Close()
		})
	}
}

// TestGiveUp: a client that gives up during a listing leaves no goroutine.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		for i := range 1000 { // more than HTTP/2 buffers without a reader
			s.srv.Put(fmt.Sprint(i), strings.Repeat("x", 10_000))
		}
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "REPORT", s.book(), strings.NewReader(askQuery))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
		resp, err := s.via.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 10000); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("the rest: %v, want context.Canceled", err)
		}
		resp.Body.Close()
		s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
	})
}

// TestConcurrent uses everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := start(t)
	book := s.book()
	s.srv.Intercept = icloudtest.Times(10, icloudtest.Unauthorized)
	var wg sync.WaitGroup
	for i := range 8 {
		id := fmt.Sprintf("%d.vcf", i)
		wg.Go(func() {
			for range 5 {
				s.srv.Put(id, cardNamed(id))
				s.do("REPORT", book, askQuery)
				s.do("REPORT", book, askSync(""))
				s.do("PUT", book+id, cardNamed("other"))
				cred := s.srv.Issue()
				s.do("GET", book+id, "")
				s.srv.Revoke(cred.Password)
				s.srv.ForgetTokens()
				s.srv.Throttle(0)
				s.srv.PutPhoto([]byte(id), "image/jpeg")
				s.srv.Delete(id)
				s.srv.Requests()
			}
		})
	}
	wg.Wait()
	equal(t, "rows at the end", len(s.rows("REPORT", book, askQuery)), 1)
}

// TestLargeBook: a listing of a large book is complete and stable.
func TestLargeBook(t *testing.T) {
	t.Parallel()
	s := start(t)
	const n = 2_000
	for i := range n {
		s.srv.Put(fmt.Sprintf("%d.vcf", i), cardNamed("x"))
	}
	a := s.do("REPORT", s.book(), askQuery)
	equal(t, "rows", strings.Count(a.body, "<response "), n+1)
	again := s.do("REPORT", s.book(), askQuery, "Accept-Encoding", "identity")
	equal(t, "the same in the second listing", again.body == a.body, true)
}

// TestDeadline: the connections support deadlines, which http.Client.Timeout and servers need.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		conn, err := s.via.(*http.Transport).DialTLSContext(t.Context(), "tcp", "contacts.icloud.com:443")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

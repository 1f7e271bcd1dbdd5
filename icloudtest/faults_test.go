package icloudtest_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

func (s *session) statuses(n int) []int {
	s.t.Helper()
	list := make([]int, n)
	for i := range list {
		list[i] = s.do("PROPFIND", canonical+"/", askPrincipal).StatusCode
	}
	return list
}

func TestTimesAfter(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
	equal(t, "Times(2)", s.statuses(4), []int{401, 401, 207, 207})
	s.srv.Intercept = icloudtest.After(2, icloudtest.Status(503))
	equal(t, "After(2)", s.statuses(4), []int{207, 207, 503, 503})
	s.srv.Intercept = icloudtest.After(1, icloudtest.Times(2, icloudtest.Status(503)))
	equal(t, "After(1, Times(2))", s.statuses(4), []int{207, 503, 503, 207})
	// A request to which the Fault does not apply does not count.
	s.srv.Intercept = icloudtest.Times(1, func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == "REPORT" && icloudtest.Unauthorized(w, r)
	})
	equal(t, "others", s.statuses(2), []int{207, 207})
	s.want(http.StatusUnauthorized, "REPORT", canonical+"/", askQuery)
	s.want(http.StatusForbidden, "REPORT", canonical+"/", askQuery)
}

// TestTimesConcurrently: of many concurrent requests exactly n meet the Fault.
func TestTimesConcurrently(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Intercept = icloudtest.Times(7, icloudtest.Unauthorized)
	var (
		wg      sync.WaitGroup
		refused atomic.Int64
	)
	for range 30 {
		wg.Go(func() {
			if s.do("PROPFIND", canonical+"/", askPrincipal).StatusCode == 401 {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	equal(t, "refused", refused.Load(), 7)
}

func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.srv.Intercept = icloudtest.For(time.Hour, icloudtest.Status(503))
		equal(t, "at first", s.statuses(2), []int{503, 503})
		time.Sleep(time.Hour - time.Nanosecond)
		equal(t, "at last", s.statuses(1), []int{503})
		time.Sleep(time.Nanosecond)
		equal(t, "afterwards", s.statuses(2), []int{207, 207})
	})
}

func TestFaultAnswers(t *testing.T) {
	t.Parallel()
	s := start(t)
	ask := func(fault icloudtest.Fault) answer {
		t.Helper()
		s.srv.Intercept = fault
		return s.do("PROPFIND", canonical+"/", askPrincipal)
	}
	a := ask(icloudtest.Unauthorized)
	if a.StatusCode != 401 || !strings.Contains(strings.Join(a.Header["Www-Authenticate"], ","), `Basic realm="MMCalDav"`) || a.body != "" {
		t.Errorf("Unauthorized: %s %v %q", a.Status, a.Header, a.body)
	}
	a = ask(icloudtest.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`, "X-Twice", "1", "X-Twice", "2"))
	if a.StatusCode != 407 || a.Header.Get("Proxy-Authenticate") != `Basic realm="proxy"` || len(a.Header["X-Twice"]) != 2 ||
		a.Header.Get("Server") != "" || a.body != "" || a.ContentLength != 0 {
		t.Errorf("Status: %s %v %q", a.Status, a.Header, a.body)
	}
	equal(t, "Status(204)", ask(icloudtest.Status(204)).StatusCode, 204)
	a = ask(icloudtest.BadGateway)
	if a.StatusCode != 502 || !strings.Contains(a.body, "<center>Apple</center>") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("BadGateway: %s %v %q", a.Status, a.Header, a.body)
	}
	a = ask(icloudtest.CaptivePortal)
	if a.StatusCode != 200 || !strings.Contains(a.body, "<html>") || strings.Contains(fmt.Sprint(a.Header), "pple") || strings.Contains(fmt.Sprint(a.Header), "MMCalDav") {
		t.Errorf("CaptivePortal: %s %v %q", a.Status, a.Header, a.body)
	}
	s.srv.Intercept = icloudtest.Reset
	if a, err := s.try("PROPFIND", canonical+"/", askPrincipal); err == nil {
		t.Errorf("Reset: %s, want an error", a.Status)
	}
	s.srv.Intercept = nil
	equal(t, "afterwards", s.statuses(1), []int{207})
	for what, f := range map[string]func(){
		"a header without a value": func() { icloudtest.Status(503, strings.Fields("Retry-After")...) },
		"a Fault outside of a Server": func() {
			req, _ := http.NewRequest("GET", "/", nil)
			icloudtest.Unauthorized(nil, req)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", what)
				}
			}()
			f()
		}()
	}
}

func TestMissingDSID(t *testing.T) {
	t.Parallel()
	s := start(t)
	book := s.book()
	right := s.principal()
	s.srv.Intercept = icloudtest.Times(2, icloudtest.MissingDSID)
	s.want(http.StatusMultiStatus, "REPORT", book, askQuery) // does not count
	for range 2 {
		equal(t, "principal", s.principal(), "/principal/")
		s.want(http.StatusForbidden, "PROPFIND", canonical+"/principal/", askHome)
	}
	equal(t, "principal afterwards", s.principal(), right)
	// The fault does not accept a wrong password.
	s.srv.Intercept = icloudtest.MissingDSID
	s.srv.RevokeAll()
	s.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
}

// TestThrottle: a client that waits exactly as long as Retry-After says is throttled again.
// One that waits longer is not.
func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.srv.Throttle(time.Minute)
		end := time.Now().Add(time.Minute)
		forms := make(map[bool]int)
		for trips := 0; ; trips++ {
			a := s.do("PROPFIND", canonical+"/", askPrincipal)
			if a.StatusCode == 207 {
				if trips < 3 {
					t.Errorf("through after %d waits, want some more", trips)
				}
				break
			}
			retry := a.Header.Get("Retry-After")
			equal(t, "status", a.StatusCode, 503)
			seconds, err := strconv.Atoi(retry)
			wait := time.Duration(seconds) * time.Second
			if err != nil {
				at, err := http.ParseTime(retry)
				if err != nil {
					t.Fatalf("Retry-After %q: %v", retry, err)
				}
				wait = time.Until(at)
			}
			forms[err != nil]++
			if left := time.Until(end); wait <= 0 || left > time.Second && wait >= left {
				t.Fatalf("Retry-After %q with %v left: want less, and more than nothing", retry, left)
			}
			time.Sleep(wait)
		}
		if forms[true] == 0 || forms[false] == 0 {
			t.Errorf("forms %v, want seconds and dates", forms)
		}
		s.srv.Throttle(time.Hour)
		equal(t, "for an hour", s.statuses(1), []int{503})
		s.srv.Throttle(0)
		equal(t, "after Throttle(0)", s.statuses(1), []int{207})
		// The account is throttled, whatever the password is.
		s.srv.Throttle(time.Hour)
		s.srv.RevokeAll()
		equal(t, "with a revoked password", s.statuses(1), []int{503})
		for _, status := range []int{403, 429} {
			s.srv.ThrottleStatus = status
			a := s.do("PROPFIND", canonical+"/", askPrincipal)
			if a.StatusCode != status || a.Header.Get("Retry-After") == "" {
				t.Errorf("ThrottleStatus %d: %s, Retry-After %q", status, a.Status, a.Header.Get("Retry-After"))
			}
		}
	})
}

// TestCut: Cut can end an answer after every byte.
func TestCut(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	book := s.book()
	for what, ask := range map[string]func() answer{
		"a multistatus": func() answer { return s.do("REPORT", book, askSync("")) },
		"a card":        func() answer { return s.do("GET", book+"a.vcf", "") },
	} {
		s.srv.Intercept = nil
		whole := ask()
		for n := range len(whole.body) {
			s.srv.Intercept = icloudtest.Cut(n)
			a := ask()
			if a.err == nil || a.body != whole.body[:n] {
				t.Fatalf("%s cut after %d bytes: got %d bytes, %v", what, n, len(a.body), a.err)
			}
		}
		for n := range 2 {
			s.srv.Intercept = icloudtest.Cut(len(whole.body) + n)
			if a := ask(); a.err != nil || a.body != whole.body {
				t.Errorf("%s with room for all: %d bytes, %v", what, len(a.body), a.err)
			}
		}
	}
}

func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.srv.Intercept = icloudtest.Times(1, icloudtest.Stall)
		c := &http.Client{Transport: s.via, Timeout: time.Hour}
		begin := time.Now()
		_, err := c.Get(canonical + "/")
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %v, want the client's timeout", err, time.Since(begin))
		}
		equal(t, "afterwards", s.statuses(1), []int{207})
	})
}

// TestGzip: a long answer is compressed if the client accepts that.
func TestGzip(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 100 {
		s.srv.Put(fmt.Sprint(i), cardNamed("x"))
	}
	book := s.book()
	plain := s.do("REPORT", book, askQuery, "Accept-Encoding", "identity")
	equal(t, "encoding of the plain", plain.Header.Get("Content-Encoding"), "")
	packed := s.do("REPORT", book, askQuery, "Accept-Encoding", "gzip")
	equal(t, "encoding of the packed", packed.Header.Get("Content-Encoding"), "gzip")
	if len(packed.body) > len(plain.body)/3 {
		t.Errorf("%d bytes of %d", len(packed.body), len(plain.body))
	}
	z, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil || string(data) != plain.body {
		t.Errorf("unpacked: %d bytes, %v; want %d", len(data), err, len(plain.body))
	}
	small := s.do("PROPFIND", canonical+"/", askPrincipal, "Accept-Encoding", "gzip")
	equal(t, "encoding of a small answer", small.Header.Get("Content-Encoding"), "")
}

package connect_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestBodies: bodies that are not a form, or are too large.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	send := func(contentType string, body io.Reader) answer {
		r := httptest.NewRequestWithContext(t.Context(), "POST", link, body)
		r.Header.Set("Content-Type", contentType)
		return s.do(t, r)
	}
	const urlencoded = "application/x-www-form-urlencoded"
	endless := &counter{Reader: zeros{}}
	for name, test := range map[string]struct {
		answer
		status int
	}{
		"64 MiB":           {send(urlencoded, io.LimitReader(endless, 64<<20)), 413},
		"many fields":      {send(urlencoded, strings.NewReader(strings.Repeat("a=b&", 10_000))), 413},
		"a broken escape":  {send(urlencoded, strings.NewReader("password=%zz")), 400},
		"json":             {send("application/json", strings.NewReader(`{"password":"x"}`)), 415},
		"multipart":        {send("multipart/form-data; boundary=x", strings.NewReader("--x--")), 415},
		"text":             {send("text/plain", strings.NewReader("password=x")), 415},
		"no type":          {send("", strings.NewReader("password=x")), 415},
		"a type of no use": {send(";;;", strings.NewReader("password=x")), 415},
		"a lost body":      {send(urlencoded, io.MultiReader(strings.NewReader("a=b"), broken{})), 400},
	} {
		if test.Code != test.status || test.hasForm() || !strings.Contains(test.text, "Nothing was sent to Apple") {
			t.Errorf("%s: got %d: %s", name, test.Code, test.text)
		}
	}
	if endless.n > 64<<10 {
		t.Errorf("%d bytes were read of a form that is too large", endless.n)
	}
	// If a field comes twice, the first one counts.
	send(urlencoded, strings.NewReader("apple_id=a&apple_id=b&password=c&password=d&password")).wants(t, http.StatusUnprocessableEntity)
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// TestSlowBody: if the body does not arrive, the answer comes after ten seconds and the
// connection is closed, whatever the limits of the server are.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for name, drip := range map[string]time.Duration{"nothing more": 0, "a byte a second": time.Second} {
		for _, foreign := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", of another site: ", foreign), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newService(t, nil)
					defer s.icloud.Close()
					conn := serve(t, s)
					link := s.link(t, "ann")
					header := ""
					if foreign {
						header = "Origin: https://evil.example\r\n"
					}
					began := time.Now()
					fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.acme.example\r\n%sContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n",
						strings.TrimPrefix(link, "https://app.acme.example"), header)
					if drip > 0 {
						var dripping sync.WaitGroup
						defer dripping.Wait() // until the server has closed the connection
						dripping.Go(func() {
							for err := error(nil); err == nil; time.Sleep(drip) {
								_, err = conn.Write([]byte("a"))
							}
						})
					}
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					want := http.StatusRequestTimeout
					if foreign {
						want = http.StatusForbidden
					}
					if resp.StatusCode != want {
						t.Errorf("got %d, want %d", resp.StatusCode, want)
					}
					_, _ = io.Copy(io.Discard, conn)
					if took := time.Since(began); took > 11*time.Second {
						t.Errorf("the connection was held for %v", took)
					}
				})
			})
		}
	}
}

// TestSlowICloud: the time limit for the form does not apply to what follows. iCloud may
// take longer, also if a middleware has read the form, and the next request on the
// connection works.
func TestSlowICloud(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t, nil)
			defer s.icloud.Close()
			s.icloud.Intercept = func(http.ResponseWriter, *http.Request) bool { time.Sleep(15 * time.Second); return false }
			conn := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if early {
					_ = r.FormValue("csrf_token")
				}
				s.ServeHTTP(w, r)
			}))
			cred := s.icloud.Issue()
			body := url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}}.Encode()
			link := strings.TrimPrefix(s.link(t, "ann"), "https://app.acme.example")
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.acme.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", link, len(body), body)
			reader := bufio.NewReader(conn)
			for _, want := range []int{http.StatusOK, http.StatusGone} {
				resp, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				if resp.StatusCode != want {
					t.Errorf("got %d, want %d", resp.StatusCode, want)
				}
				if want == http.StatusOK {
					time.Sleep(time.Minute)
					fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: app.acme.example\r\n\r\n", link)
				}
			}
		})
	}
}

// serve serves h on a connection in memory, which has deadlines and does not stop the
// clock of a synctest bubble.
func serve(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	listener := &one{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- there
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		_ = here.Close()
		_ = server.Close()
	})
	return here
}

// one is a listener with one connection.
type one struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error { close(l.closed); return nil }

func (l *one) Addr() net.Addr { return &net.UnixAddr{Name: "page", Net: "pipe"} }

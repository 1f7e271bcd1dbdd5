package realserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/realserver"
)

// A server is up when Start returns, wants its password, and is gone when the
// test that started it is.
func TestStart(t *testing.T) {
	t.Parallel()
	for _, name := range realserver.Names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var srv *realserver.Server
			ran := t.Run("up", func(t *testing.T) {
				srv = realserver.Start(t, name)
				status := func(password string) int {
					t.Helper()
					req, err := http.NewRequestWithContext(t.Context(), "PROPFIND", srv.Book, nil)
					if err != nil {
						t.Fatal(err)
					}
					req.SetBasicAuth(srv.User, password)
					req.Header.Set("Depth", "0")
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					_, _ = io.Copy(io.Discard, resp.Body)
					return resp.StatusCode
				}
				for _, password := range []string{srv.Password, "another"} {
					srv.SetPassword(t, password)
					if got := status(password); got != http.StatusMultiStatus {
						t.Errorf("with its password %d, want 207", got)
					}
					if got := status("wrong"); got != http.StatusUnauthorized {
						t.Errorf("with a wrong password %d, want 401", got)
					}
				}
				if got := status(srv.Password); got != http.StatusUnauthorized {
					t.Errorf("with the password of before %d, want 401", got)
				}
			})
			if !ran || srv == nil {
				t.SkipNow() // with the reason given above
			}
			u, err := url.Parse(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial("tcp", u.Host); err == nil {
				conn.Close()
				t.Error("it answers after its test has ended")
			}
		})
	}
}

// orphan is the environment variable with which this test binary is started to be
// killed.
const orphan = "REALSERVER_TEST_ORPHAN"

// A server does not outlive a test that was killed.
func TestKilled(t *testing.T) {
	if os.Getenv(orphan) != "" {
		fmt.Println(realserver.Start(t, "radicale").URL)
		<-t.Context().Done() // which is never
	}
	t.Parallel()
	realserver.Start(t, "radicale") // or skip
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), orphan+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("it still answers")
		}
	}
}

// recorder is a testing.TB that keeps how it was ended first; unlike a real one
// it goes on.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.ended += "skipped " }
func (r *recorder) Fatalf(string, ...any) { r.ended += "failed " }

// Without the variable an absent program skips a test; with it, it fails one.
func TestAbsent(t *testing.T) {
	for value, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv(realserver.Require, value)
		r := &recorder{TB: t}
		if realserver.Absent(r, "there is none"); !strings.HasPrefix(r.ended, want) {
			t.Errorf("with %q it %s, want %s", value, r.ended, want)
		}
	}
}

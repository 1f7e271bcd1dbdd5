package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud/icloudtest"
)

// console is a command with its own terminal on all three file descriptors, so that its
// escape sequences, width and echo are those that a person gets.
type console struct {
	t   *testing.T
	cmd *exec.Cmd
	pty *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	done chan struct{}
}

// onTerminal starts the command on a terminal with the given number of columns.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) *console {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { pty.Close() })
	control := func(request uintptr, arg unsafe.Pointer) {
		t.Helper()
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, pty.Fd(), request, uintptr(arg)); errno != 0 {
			t.Fatal("ioctl: ", errno)
		}
	}
	var unlock int32
	var number uint32
	control(syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	control(syscall.TIOCGPTN, unsafe.Pointer(&number))
	size := [4]uint16{24, columns}
	control(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, pty: pty, done: make(chan struct{})}
	path, name := self, []string{"icloud-contacts"}
	if args[0] == "sh" {
		path, name = "/bin/sh", nil
	}
	c.cmd = &exec.Cmd{
		Path: path, Args: append(name, args...), Env: append([]string{"TERM=xterm", "GORACE=" + noWait, "HOME=" + t.TempDir()}, env...),
		Stdin: tty, Stdout: tty, Stderr: tty,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Setctty: true},
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		for b := make([]byte, 4096); ; {
			n, err := pty.Read(b)
			c.mu.Lock()
			c.seen.Write(b[:n])
			c.mu.Unlock()
			if err != nil {
				return // EIO means that the other end is closed
			}
		}
	}()
	return c
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.String()
}

// await waits until the terminal shows text.
func (c *console) await(text string) {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(c.text(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%q never came: %q", text, c.text())
		}
	}
}

// echoes says whether the terminal shows what is typed.
func (c *console) echoes() bool {
	var state syscall.Termios
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, c.pty.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&state))); errno != 0 {
		c.t.Fatal("ioctl: ", errno)
	}
	return state.Lflag&syscall.ECHO != 0
}

func (c *console) type_(text string) {
	c.t.Helper()
	if _, err := c.pty.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// end waits for the end and returns the exit status and all that was shown.
func (c *console) end() (int, string) {
	_ = c.cmd.Wait() // its error is the exit status
	select {
	case <-c.done:
	case <-time.After(time.Second):
	}
	return c.cmd.ProcessState.ExitCode(), c.text()
}

// served starts a fake on a port, and returns it with the environment for it.
func served(t *testing.T) (*icloudtest.Server, []string) {
	t.Helper()
	srv := icloudtest.NewServer()
	return srv, serve(t, srv)
}

// serve serves srv on a port, and returns the environment for it.
func serve(t *testing.T, srv *icloudtest.Server) []string {
	t.Helper()
	web := httptest.NewServer(srv)
	t.Cleanup(func() { web.Close(); srv.Close() })
	fill(srv, 0)
	cred := srv.Issue()
	return []string{"ICLOUD_ENDPOINT=" + web.URL, "ICLOUD_APPLE_ID=" + cred.AppleID, "ICLOUD_APP_PASSWORD=" + cred.Password.Reveal()}
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;]*[mKhl]|\x1b\[\?25[hl]`)

// TestTerminalList: no line is wider than the terminal, and names cannot control it.
func TestTerminalList(t *testing.T) {
	t.Parallel()
	srv, env := served(t)
	srv.Put("evil.vcf", vcf("UID:e\nFN:\x1b[2J\x1b]0;pwned\x07\u009b31mMallory"))
	for _, columns := range []uint16{40, 60, 80, 200} {
		for _, args := range [][]string{{"list"}, {"demo"}, {"check"}, {"watch", "-once"}} {
			status, text := onTerminal(t, columns, env, args...).end()
			if status != ok {
				t.Errorf("%q: exit status %d: %s", args, status, text)
			}
			for line := range strings.Lines(text) {
				line = strings.TrimRight(escapes.ReplaceAllString(line, ""), "\r\n")
				if n := uniseg.StringWidth(line); n > int(columns) {
					t.Errorf("%q on %d columns has a line of %d: %s", args, columns, n, line)
				}
			}
			if rest := escapes.ReplaceAllString(text, ""); strings.ContainsAny(rest, "\x1b\x07\u009b") {
				t.Errorf("%q: a name has reached the terminal raw: %q", args, rest)
			}
		}
	}
}

// TestTerminalExport: control characters are replaced only on a terminal.
func TestTerminalExport(t *testing.T) {
	t.Parallel()
	srv, env := served(t)
	srv.Put("evil.vcf", vcf("UID:e\nFN:\x1b[2JMallory"))
	if status, text := onTerminal(t, 80, env, "export").end(); status != ok || strings.Contains(text, "\x1b") || !strings.Contains(text, "Mallory") {
		t.Errorf("exit status %d, %q", status, text)
	}
}

// TestTerminalColor: there are colors unless the environment says otherwise.
func TestTerminalColor(t *testing.T) {
	t.Parallel()
	_, env := served(t)
	for _, test := range []struct {
		env  string
		want bool
	}{{"X=", true}, {"NO_COLOR=", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}, {"TERM=", false}} {
		for _, args := range [][]string{{"list"}, {"check"}, {"demo"}} {
			status, text := onTerminal(t, 80, append(env, test.env), args...).end()
			if got := strings.Contains(text, "\x1b["); status != ok || got != test.want {
				t.Errorf("%s, %q: exit status %d, colors: %t, want %t", test.env, args, status, got, test.want)
			}
		}
	}
}

// TestTerminalProgress: the progress line fits the terminal and disappears at the end.
func TestTerminalProgress(t *testing.T) {
	t.Parallel()
	srv, env := served(t)
	fill(srv, 2000)
	for _, columns := range []uint16{40, 80} {
		for _, args := range [][]string{{}, {"-photos"}} {
			file := filepath.Join(t.TempDir(), "all.vcf")
			status, text := onTerminal(t, columns, env, append([]string{"export", "-o", file}, args...)...).end()
			if status != ok || !strings.Contains(text, "contacts") || len(args) > 0 != strings.Contains(text, "photos") {
				t.Errorf("exit status %d, %q", status, text)
			}
			text = escapes.ReplaceAllString(text, "")
			text, said := strings.CutSuffix(text, "2,007 contacts in "+file+"\r\n")
			if !said {
				t.Errorf("nothing is said at the end: %q", text)
			}
			for _, frame := range strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
				if n := uniseg.StringWidth(frame); n > int(columns) {
					t.Errorf("%d columns on %d: %q", n, columns, frame)
				}
			}
			if !strings.HasSuffix(text, "\r") {
				t.Errorf("the count stays: %q", text[max(0, len(text)-100):])
			}
			if data, err := os.ReadFile(file); err != nil || bytes.Count(data, []byte("BEGIN:VCARD")) != 2007 {
				t.Errorf("the file: %v, %d bytes", err, len(data))
			}
		}
	}
}

// TestTerminalNoProgress: there is no progress line if the output goes to a pipe, whose
// reader may use the terminal.
func TestTerminalNoProgress(t *testing.T) {
	t.Parallel()
	srv, env := served(t)
	fill(srv, 2000)
	file := filepath.Join(t.TempDir(), "all.vcf")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "icloud-contacts") // testscript runs the command by this name
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	c := onTerminal(t, 80, append(env, "FILE="+file, "SELF="+link), "sh", "-c", `"$SELF" export >"$FILE"`)
	if status, text := c.end(); status != ok || text != "" {
		t.Errorf("exit status %d, %q", status, text)
	}
	if data, err := os.ReadFile(file); err != nil || bytes.Count(data, []byte("BEGIN:VCARD")) != 2007 {
		t.Errorf("the file: %v, %d bytes", err, len(data))
	}
}

// TestTerminalPrompt: the password is not shown, and the terminal is restored.
func TestTerminalPrompt(t *testing.T) {
	t.Parallel()
	_, env := served(t)
	name, password := strings.TrimPrefix(env[1], "ICLOUD_APPLE_ID="), strings.TrimPrefix(env[2], "ICLOUD_APP_PASSWORD=")
	c := onTerminal(t, 80, env[:1], "list", "ada")
	c.await("Apple ID: ")
	if !c.echoes() {
		t.Error("the Apple ID is not shown")
	}
	c.type_(name + "\r")
	c.await("(not shown): ")
	for range 2000 { // the prompt is printed before the echo is turned off
		if !c.echoes() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.type_(password + "\r")
	status, text := c.end()
	if status != ok || !strings.Contains(text, "Ada Lovelace") || strings.Contains(text, password) {
		t.Errorf("exit status %d: %s", status, text)
	}
	if !c.echoes() {
		t.Error("the terminal is left without echo")
	}
}

// TestTerminalPromptAgain: after a password of the wrong form the program asks again, three
// times in all, and sends nothing.
func TestTerminalPromptAgain(t *testing.T) {
	t.Parallel()
	// The form is checked only for iCloud. A proxy that does not exist prevents requests.
	env := []string{"ICLOUD_APPLE_ID=ada@icloud.example", "HTTPS_PROXY=http://127.0.0.1:1"}
	const prompt = "App-specific password (not shown): "
	enter := func(c *console, nth int, text string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); strings.Count(c.text(), prompt) < nth || c.echoes(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not asked for the %d. time: %q", nth, c.text())
			}
		}
		c.type_(text + "\r")
	}
	c := onTerminal(t, 40, env, "check")
	enter(c, 1, "hunter2")
	enter(c, 2, "abcd-efgh-ijkl-mnop")
	if status, text := c.end(); status != failed || !strings.Contains(text, "was not sent") || !strings.Contains(strings.Join(strings.Fields(text), " "), "the connection failed: refused") || strings.Contains(text, "hunter2") {
		t.Errorf("exit status %d: %q", status, text)
	} else {
		for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
			if n := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); n > 40 {
				t.Errorf("a line of %d columns: %q", n, line)
			}
		}
	}
	c = onTerminal(t, 80, env, "check")
	for nth := range tries {
		enter(c, nth+1, "hunter2")
	}
	if status, text := c.end(); status != misused || strings.Count(text, prompt) != tries {
		t.Errorf("exit status %d, want %d: %q", status, misused, text)
	}
}

// TestTerminalPromptInterrupted: the terminal is restored after an interruption of the
// prompt.
func TestTerminalPromptInterrupted(t *testing.T) {
	t.Parallel()
	_, env := served(t)
	c := onTerminal(t, 80, env[:2], "list")
	c.await("(not shown): ")
	for range 2000 {
		if !c.echoes() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.type_("abc\x03")
	status, text := c.end()
	if status != interrupted || strings.Contains(text, "abc") {
		t.Errorf("exit status %d, want %d: %q", status, interrupted, text)
	}
	if !c.echoes() {
		t.Error("the terminal is left without echo")
	}
	// An empty password is a usage error.
	c = onTerminal(t, 80, env[:2], "list")
	c.await("(not shown): ")
	c.type_("\r")
	if status, text := c.end(); status != misused {
		t.Errorf("exit status %d, want %d: %q", status, misused, text)
	}
}

// TestTerminalRemedy: for a dead password a log gets one line, and a terminal also the
// remedy.
func TestTerminalRemedy(t *testing.T) {
	t.Parallel()
	srv, env := served(t)
	srv.RevokeAll()
	for _, args := range [][]string{{"list"}, {"watch"}} {
		status, text := onTerminal(t, 40, env, args...).end()
		if status != dead || !strings.Contains(text, "account.apple.com") {
			t.Errorf("%q: exit status %d: %s", args, status, text)
		}
	}
}

// TestTerminalDoubt: the line of watch about a doubted password is complete on every
// terminal.
func TestTerminalDoubt(t *testing.T) {
	t.Parallel()
	srv := icloudtest.NewServer()
	env := serve(t, srv)
	for _, columns := range []uint16{40, 80} {
		state := filepath.Join(t.TempDir(), "state")
		if status, text := onTerminal(t, columns, env, "watch", "-once", "-state", state).end(); status != ok {
			t.Fatalf("exit status %d: %s", status, text)
		}
		srv.SetIntercept(icloudtest.Unauthorized)
		status, text := onTerminal(t, columns, env, "watch", "-once", "-state", state).end()
		srv.SetIntercept(nil)
		text, _, _ = strings.Cut(text, "  ended ") // the rest is the standard error
		if i := strings.LastIndex(text, "\n"); i >= 0 {
			text = text[:i+1]
		}
		if status != failed || !strings.Contains(strings.Join(strings.Fields(text), " "), "doubted: revoked, possible; final from ") {
			t.Errorf("exit status %d: %s", status, text)
		}
		for line := range strings.Lines(text) {
			if n := uniseg.StringWidth(strings.TrimRight(line, "\r\n")); n > int(columns) {
				t.Errorf("%d columns on %d: %q", n, columns, line)
			}
		}
	}
}

// TestTerminalRecord: the record is shown, and written if the user agrees.
func TestTerminalRecord(t *testing.T) {
	t.Parallel()
	_, env := served(t)
	for said, want := range map[string]bool{"y": true, "n": false, "": false} {
		file := filepath.Join(t.TempDir(), "record.json")
		c := onTerminal(t, 80, env, "check", "-record", file)
		c.await("[y/N] ")
		if _, err := os.Stat(file); err == nil {
			t.Errorf("it is written before the answer")
		}
		c.type_(said + "\r")
		status, text := c.end()
		_, err := os.Stat(file)
		if status != ok || (err == nil) != want || !strings.Contains(text, `"request": "PROPFIND current-user-principal, Depth 0"`) || want == strings.Contains(text, "Nothing is written.") {
			t.Errorf("%q: exit status %d, %v: %s", said, status, err, text)
		}
	}
}

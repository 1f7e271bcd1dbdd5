package realserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

const (
	account  = "tester"
	password = "s3cret"

	// patience is for a machine that runs other tests besides; each server is
	// up within a second on an idle one.
	patience = time.Minute
)

// Start starts the server of that name, one of Names.
func Start(tb testing.TB, name string) *Server {
	tb.Helper()
	start := map[string]func(*starting) (*Server, error){
		"radicale": radicale, "cyrus": cyrus, "xandikos": xandikos, "davical": davical, "sabre": sabre,
	}[name]
	if start == nil {
		tb.Fatalf("no server is called %q", name)
	}
	// A port that was free a moment ago may be taken by now.
	for try := 1; ; try++ {
		// Not tb.TempDir: it is closed to the user that Cyrus runs as, and
		// its name may be too long for a socket's. In memory if possible,
		// because a server that waits for the disk after each card takes
		// half a minute for 200.
		dir, err := os.MkdirTemp("/dev/shm", "realserver")
		if err != nil {
			dir, err = os.MkdirTemp("", "realserver")
		}
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		s := &starting{tb: tb, dir: dir}
		srv, err := start(s)
		if err == nil {
			tb.Cleanup(s.stop)
			return srv
		}
		s.stop()
		var missing *missingError
		switch {
		case errors.As(err, &missing):
			Absent(tb, "%s cannot be started: %v", name, err)
		case try == 3:
			tb.Fatalf("%s: %v\n%s", name, err, s.logs())
		}
	}
}

// missingError says what is not there: a program, or the right to start it.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what }

// starting is a server on its way up, and then its processes.
type starting struct {
	tb        testing.TB
	dir       string
	processes []*exec.Cmd
	watchers  []*exec.Cmd // one for each process
}

// path is a file in the server's folder.
func (s *starting) path(name string) string { return filepath.Join(s.dir, name) }

// write writes a configuration file: a template over values, with {{.Dir}}
// besides.
func (s *starting) write(name, text string, values map[string]any) error {
	values["Dir"] = s.dir
	var b bytes.Buffer
	if err := template.Must(template.New(name).Option("missingkey=error").Parse(text)).Execute(&b, values); err != nil {
		return err
	}
	return os.WriteFile(s.path(name), b.Bytes(), 0o644)
}

// find returns the path of a program, also where it is for administrators alone.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/lib/cyrus/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", &missingError{program + " is not installed"}
}

// run starts a program that stays, in a process group of its own, so that its
// children end with it.
func (s *starting) run(env []string, program string, args ...string) error {
	return s.runAs(nil, env, program, args...)
}

// runAs is run as another user; nil is this one.
func (s *starting) runAs(as *syscall.Credential, env []string, program string, args ...string) error {
	path, err := find(program)
	if err != nil {
		return err
	}
	log, err := os.Create(s.path(filepath.Base(program) + ".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.processes = append(s.processes, cmd)
	return s.watch(cmd)
}

// watch starts a shell that ends a process should the test not live to do so: a
// test that takes too long is killed without further ado. That its standard
// input ends is how the shell hears of it.
func (s *starting) watch(cmd *exec.Cmd) error {
	group := strconv.Itoa(cmd.Process.Pid)
	watcher := exec.Command("/bin/sh", "-c", `read -r _; kill -s TERM -- "-$1"; sleep 5; kill -s KILL -- "-$1"; rm -rf "$2"`, "sh", group, s.dir)
	watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, err := watcher.StdinPipe(); err != nil {
		return err
	}
	if err := watcher.Start(); err != nil {
		return err
	}
	s.watchers = append(s.watchers, watcher)
	return nil
}

// stop ends what was started here, and nothing else: by process group.
func (s *starting) stop() {
	for _, watcher := range s.watchers {
		_ = watcher.Process.Kill()
		_ = watcher.Wait()
	}
	for _, cmd := range s.processes {
		group := -cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGTERM)
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
		}
		_ = syscall.Kill(group, syscall.SIGKILL) // children that outlived it
		<-ended
	}
	s.processes, s.watchers = nil, nil
}

// logs are what the programs wrote, for a failure.
func (s *starting) logs() string {
	var b strings.Builder
	names, _ := filepath.Glob(s.path("*.log"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		fmt.Fprintf(&b, "%s:\n%s\n", filepath.Base(name), text)
	}
	return b.String()
}

// ports returns n free ports of the loopback interface.
func ports(n int) ([]int, error) {
	found := make([]int, n)
	for i := range found {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that they differ
		found[i] = l.Addr().(*net.TCPAddr).Port
	}
	return found, nil
}

// until calls f until it succeeds, for programs that are coming up, and fails at
// once if one of them has ended.
func (s *starting) until(f func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return nil
		}
		for _, cmd := range s.processes {
			// Not reaped yet, so a signal would still reach it; its state
			// in /proc is Z.
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			if i := bytes.LastIndexByte(stat, ')'); i >= 0 && bytes.HasPrefix(stat[i:], []byte(") Z")) {
				return fmt.Errorf("%s ended", filepath.Base(cmd.Path))
			}
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond) // a process elsewhere, which no bubble speeds up
	}
}

// dial connects to a port of a program that is coming up.
func (s *starting) dial(port int) (conn net.Conn, err error) {
	err = s.until(func() (err error) {
		conn, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err
	})
	return conn, err
}

func (s *starting) await(port int) error {
	conn, err := s.dial(port)
	if err != nil {
		return err
	}
	return conn.Close()
}

// server describes a server at a port, with its book at a path.
func server(port int, book string) *Server {
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	return &Server{URL: url, Book: url + book, User: account, Password: password}
}

// do sends one request with the account's password.
func (s *Server) do(method, url, contentType, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(s.User, s.Password)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Depth", "0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s\n%s", method, resp.Status, text)
	}
	return nil
}

// makeBook makes the address book (RFC 5689).
func (s *Server) makeBook() error {
	return s.do("MKCOL", s.Book, "application/xml", `<?xml version="1.0" encoding="utf-8"?>
<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop>
<resourcetype><collection/><C:addressbook/></resourcetype></prop></set></mkcol>`)
}

// radicale starts Radicale, which is one process. Its address book has to be made.
func radicale(s *starting) (*Server, error) {
	p, err := ports(1)
	if err != nil {
		return nil, err
	}
	if err := s.write("users", "{{.User}}:{{.Password}}\n", map[string]any{"User": account, "Password": password}); err != nil {
		return nil, err
	}
	// delay is what a wrong password costs, in seconds.
	err = s.write("config", `[server]
hosts = 127.0.0.1:{{.Port}}
max_connections = 20
[auth]
type = htpasswd
htpasswd_filename = {{.Dir}}/users
htpasswd_encryption = plain
delay = 0
[rights]
type = owner_only
[storage]
type = multifilesystem
filesystem_folder = {{.Dir}}/data
[web]
type = none
[logging]
level = warning
`, map[string]any{"Port": p[0]})
	if err != nil {
		return nil, err
	}
	if err := s.run(nil, "radicale", "--config", s.path("config")); err != nil {
		return nil, err
	}
	if err := s.await(p[0]); err != nil {
		return nil, err
	}
	srv := server(p[0], account+"/contacts/")
	srv.setPassword = func(password string) error {
		return s.write("users", "{{.User}}:{{.Password}}\n", map[string]any{"User": account, "Password": password})
	}
	return srv, srv.makeBook()
}

// cyrus starts Cyrus IMAP's master with its HTTP service. It must be root, because
// Cyrus changes to the user that its package made. The address book appears with
// the account's INBOX.
func cyrus(s *starting) (*Server, error) {
	for _, program := range []string{"master", "saslpasswd2", "httpd"} {
		// httpd is not in the package of master.
		if _, err := find(program); err != nil {
			return nil, err
		}
	}
	u, err := user.Lookup("cyrus")
	if err != nil || os.Getuid() != 0 {
		return nil, &missingError{"it takes root, and the user cyrus"}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	p, err := ports(2)
	if err != nil {
		return nil, err
	}
	values := map[string]any{"HTTP": p[0], "IMAP": p[1]}
	if err := s.write("imapd.conf", `configdirectory: {{.Dir}}/conf
proc_path: {{.Dir}}/proc
mboxname_lockpath: {{.Dir}}/lock
defaultpartition: default
partition-default: {{.Dir}}/spool
sievedir: {{.Dir}}/sieve
lmtpsocket: {{.Dir}}/run/lmtp
idlesocket: {{.Dir}}/run/idle
notifysocket: {{.Dir}}/run/notify
altnamespace: yes
unixhierarchysep: yes
servername: 127.0.0.1
admins: cyrus
httpmodules: carddav
allowplaintext: yes
allowanonymouslogin: no
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {{.Dir}}/sasldb2
sasl_mech_list: PLAIN
autocreate_users: anyone
autocreate_quota: -1
`, values); err != nil {
		return nil, err
	}
	if err := s.write("cyrus.conf", `START {
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -C {{.Dir}}/imapd.conf -r"
}
SERVICES {
  imap cmd="imapd -C {{.Dir}}/imapd.conf -U 30" listen="127.0.0.1:{{.IMAP}}" prefork=0 maxchild=4
  http cmd="httpd -C {{.Dir}}/imapd.conf -U 30" listen="127.0.0.1:{{.HTTP}}" prefork=0 maxchild=16
}
EVENTS {
  checkpoint cmd="/usr/sbin/cyrus ctl_cyrusdb -C {{.Dir}}/imapd.conf -c" period=30
}
`, values); err != nil {
		return nil, err
	}
	for _, dir := range []string{"conf", "spool", "sieve", "run", "proc", "lock"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			return nil, err
		}
	}
	saslpasswd2, _ := find("saslpasswd2") // found above
	setPassword := func(name, password string) error {
		cmd := exec.Command(saslpasswd2, "-p", "-c", "-f", s.path("sasldb2"), "-u", "127.0.0.1", name)
		cmd.Stdin = strings.NewReader(password)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("saslpasswd2: %w\n%s", err, out)
		}
		return nil
	}
	for _, name := range []string{"cyrus", account} {
		if err := setPassword(name, password); err != nil {
			return nil, err
		}
	}
	err = filepath.WalkDir(s.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, uid, gid))
	})
	if err != nil {
		return nil, err
	}
	if err := s.run(nil, "master", "-C", s.path("imapd.conf"), "-M", s.path("cyrus.conf"), "-p", s.path("pid")); err != nil {
		return nil, err
	}
	if err := s.await(p[0]); err != nil {
		return nil, err
	}
	if err := s.inbox(p[1]); err != nil {
		return nil, err
	}
	srv := server(p[0], "dav/addressbooks/user/"+account+"/Default/")
	srv.setPassword = func(password string) error { return setPassword(account, password) }
	// The first request makes the book.
	return srv, srv.do("PROPFIND", srv.Book, "application/xml", "")
}

// inbox makes the account's INBOX by three lines of IMAP.
func (s *starting) inbox(port int) error {
	conn, err := s.dial(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "a login cyrus %s\r\nb create user/%s\r\nc logout\r\n", password, account); err != nil {
		return err
	}
	created := false
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		created = created || strings.HasPrefix(lines.Text(), "b OK")
	}
	if !created {
		return errors.Join(errors.New("no INBOX was made"), lines.Err())
	}
	return nil
}

// xandikos starts Xandikos, which knows no passwords, and nginx in front of it,
// which does.
func xandikos(s *starting) (*Server, error) {
	if _, err := find("nginx"); err != nil {
		return nil, err
	}
	p, err := ports(2)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.path("data"), 0o755); err != nil {
		return nil, err
	}
	if err := s.write("users", "{{.User}}:{PLAIN}{{.Password}}\n", map[string]any{"User": account, "Password": password}); err != nil {
		return nil, err
	}
	// It keeps cards in git, which wants to know who commits, and reads the
	// settings of whoever runs the tests unless kept from it.
	git := []string{"HOME=" + s.dir, "GIT_CONFIG_NOSYSTEM=1", "EMAIL=tester@example.org"}
	if err := s.run(git, "xandikos", "-d", s.path("data"), "--defaults", "--current-user-principal", "/"+account+"/",
		"-l", "127.0.0.1", "-p", strconv.Itoa(p[1])); err != nil {
		return nil, err
	}
	if err := s.await(p[1]); err != nil {
		return nil, err
	}
	err = s.nginx(p[0], `
    auth_basic "Xandikos";
    auth_basic_user_file {{.Dir}}/users;
    location / {
      proxy_pass http://127.0.0.1:{{.Back}};
      proxy_set_header Host $http_host;
      proxy_http_version 1.1;
    }`, map[string]any{"Back": p[1]})
	if err != nil {
		return nil, err
	}
	srv := server(p[0], account+"/contacts/addressbook/")
	srv.setPassword = func(password string) error {
		return s.write("users", "{{.User}}:{PLAIN}{{.Password}}\n", map[string]any{"User": account, "Password": password})
	}
	return srv, nil
}

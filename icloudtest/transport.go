// The way to a Server without a network: an http.Server on in-memory
// connections, and a Transport that reaches it under iCloud's host names.

package icloudtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// Transport returns a RoundTripper that reaches s under iCloud's host names, with https and
// without certificates. These are contacts.icloud.com, pNN-contacts.icloud.com with a number
// of two or three digits, gateway.icloud.com, and the same names under icloud.com.cn. A
// request to any other host fails before anything is sent. Transport always returns the same
// value, which is safe for concurrent use.
func (s *Server) Transport() http.RoundTripper { return s.pipe.transport }

var errClosed = errors.New("icloudtest: Server is closed")

// pipe is the http.Server and the http.Transport, and the listener between
// them. Everything in it waits on channels that it made itself, which is
// what lets a synctest bubble see that it is waiting; a network connection
// would keep the bubble's clock from moving. net.Pipe has deadlines and no
// buffer, and costs less than the HTTP around it.
type pipe struct {
	server    *http.Server
	transport *http.Transport
	conns     chan net.Conn
	closing   context.Context // ends with the Server
	close     func()
}

func newPipe(h http.Handler) *pipe {
	p := &pipe{conns: make(chan net.Conn)}
	var cancel context.CancelFunc
	p.closing, cancel = context.WithCancel(context.Background())
	p.server = &http.Server{
		Handler: h,
		// So that requests which a Fault stalls end with the Server at the
		// latest.
		BaseContext: func(net.Listener) context.Context { return p.closing },
		// A Fault aborts handlers; nobody wants to read of that.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	p.transport = &http.Transport{
		DialTLSContext: p.dial,
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			// iCloud is reached by https alone; that a password went out in
			// the clear is a failure worth seeing.
			return nil, fmt.Errorf("icloudtest: not https: %s", addr)
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// It returns when the listener closes, with an error that says so.
		_ = p.server.Serve(listener{p})
	}()
	p.close = sync.OnceFunc(func() {
		cancel()
		<-done
		// Serve has returned, and the server knows of every connection that
		// it accepted. Closing them ends the Transport's side too.
		_ = p.server.Close() // in memory, nothing can fail to close
	})
	return p
}

// dial connects to the Server. Its type is http.Transport.DialTLSContext's,
// whose connections are taken to have done TLS already.
func (p *pipe) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "443" || !isICloud(host) {
		return nil, &net.OpError{Op: "dial", Net: "icloudtest", Err: fmt.Errorf("no such host: %s", addr)}
	}
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closing.Done():
		return nil, errClosed
	}
}

// listener is the side of a pipe that http.Server sees.
type listener struct{ p *pipe }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.p.conns:
		return c, nil
	case <-l.p.closing.Done():
		return nil, net.ErrClosed
	}
}

func (listener) Close() error   { return nil } // pipe.close has done so
func (listener) Addr() net.Addr { return &net.UnixAddr{Name: "icloudtest", Net: "pipe"} }

// partitionHost matches any partition. Each serves every account's paths,
// as does the canonical host.
var partitionHost = regexp.MustCompile(`^p[0-9]{2,3}-contacts\.icloud\.com(\.cn)?$`)

// hostname returns host without port and final dot, in lower case.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func isCanonical(host string) bool {
	h := hostname(host)
	return h == "contacts.icloud.com" || h == "contacts.icloud.com.cn"
}

func isGateway(host string) bool {
	h := hostname(host)
	return h == "gateway.icloud.com" || h == "gateway.icloud.com.cn"
}

// isICloud says whether host is one of those that a Transport reaches.
func isICloud(host string) bool {
	return isCanonical(host) || isGateway(host) || partitionHost.MatchString(hostname(host))
}

// partitionHost returns the partition host in the same country as host. The
// port is always written, as iCloud does: a client that compares hosts as
// text takes it for another one.
func (a *Account) partitionHost(host string) string {
	domain := "icloud.com"
	if strings.HasSuffix(hostname(host), ".cn") {
		domain = "icloud.com.cn"
	}
	return a.partition + "-contacts." + domain + ":443"
}

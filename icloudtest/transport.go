// How a Server is reached without a network: an http.Server on connections in memory, and a
// Transport that reaches it under iCloud's host names.

package icloudtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
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

// pipe is an http.Server, an http.Transport, and the listener between them. All its goroutines
// wait on channels that were made in the same synctest bubble, so that time can pass there. A
// goroutine that waits for a network connection would stop the clock. net.Pipe has deadlines
// and no buffer.
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
		// Requests that a Fault stalls end when the Server is closed.
		BaseContext: func(net.Listener) context.Context { return p.closing },
		// Faults abort handlers, which net/http would log.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	p.transport = &http.Transport{
		DialTLSContext: p.dial,
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			// A program that sends a password without TLS must fail.
			return nil, fmt.Errorf("icloudtest: not https: %s", addr)
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Serve returns when the listener is closed, with an error that says so.
		_ = p.server.Serve(listener{p})
	}()
	p.close = sync.OnceFunc(func() {
		cancel()
		<-done
		// After Serve has returned, the server knows all accepted connections. Closing
		// them also ends the Transport's side.
		_ = p.server.Close() // connections in memory close without an error
	})
	return p
}

// dial connects to the Server. It is the Transport's DialTLSContext, so the Transport does no
// TLS handshake.
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

// listener is the net.Listener of a pipe's http.Server.
type listener struct{ p *pipe }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.p.conns:
		return c, nil
	case <-l.p.closing.Done():
		return nil, net.ErrClosed
	}
}

func (listener) Close() error   { return nil } // pipe.close closes it
func (listener) Addr() net.Addr { return &net.UnixAddr{Name: "icloudtest", Net: "pipe"} }

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

// partitionOf returns the number of the partition whose host this is; "" if it is none.
// Each partition serves the paths of all accounts, as contacts.icloud.com does.
func partitionOf(host string) string {
	number, rest, _ := strings.Cut(hostname(host), "-")
	number, ok := strings.CutPrefix(number, "p")
	digits := strings.Trim(number, "0123456789") == "" && (len(number) == 2 || len(number) == 3)
	if !ok || !digits || rest != "contacts.icloud.com" && rest != "contacts.icloud.com.cn" {
		return ""
	}
	return number
}

// isICloud says whether a Transport reaches host.
func isICloud(host string) bool {
	return isCanonical(host) || isGateway(host) || partitionOf(host) != ""
}

// partitionHost returns the account's partition host under the same domain as host. It always
// has the port, as at iCloud. A client that compares hosts as text takes it for another host.
func (a *Account) partitionHost(host string) string {
	domain := "icloud.com"
	if strings.HasSuffix(hostname(host), ".cn") {
		domain = "icloud.com.cn"
	}
	return a.partition + "-contacts." + domain + ":443"
}

package neterr_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/go-icloud/icloud/internal/neterr"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 443}, Err: os.NewSyscallError("secret", err)}
	}
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	for _, test := range []struct {
		err        error
		code, text string
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true}}, "dns", "failed: the server's name was not found (DNS)"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", Name: "secret.example", IsTimeout: true}}, "dns", "failed: the server's name could not be looked up (DNS)"},
		{dial(syscall.ECONNREFUSED), "refused", "failed: refused"},
		{dial(syscall.Errno(10061)), "refused", "failed: refused"},
		{dial(syscall.ENETUNREACH), "unreachable", "failed: no way to the server"},
		{dial(syscall.EHOSTUNREACH), "unreachable", "failed: no way to the server"},
		{dial(os.ErrDeadlineExceeded), "timeout", "timed out before it was made"},
		{read(os.ErrDeadlineExceeded), "timeout", "timed out"},
		{read(syscall.ECONNRESET), "broken", "failed: reset"},
		{read(syscall.EPIPE), "broken", "failed: reset"},
		{read(errors.New("secret")), "network", "failed: the network"},
		{io.EOF, "broken", "failed: it broke off"},
		{io.ErrUnexpectedEOF, "broken", "failed: it broke off"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "tls", "failed: the server's certificate is not trusted (TLS)"},
		{x509.UnknownAuthorityError{}, "tls", "failed: the server's certificate is not trusted (TLS)"},
		{x509.HostnameError{Certificate: new(x509.Certificate), Host: "secret.example"}, "tls", "failed: the server's certificate is not trusted (TLS)"},
		{tls.RecordHeaderError{Msg: "secret"}, "tls", "failed: no secure connection (TLS)"},
		{tls.AlertError(40), "tls", "failed: no secure connection (TLS)"},
		{errors.New("secret"), "", "failed"},
		{nil, "", "failed"},
	} {
		want := neterr.Class{Code: test.code, Text: test.text}
		if got := neterr.Classify(test.err); got != want {
			t.Errorf("%v: got %+v, want %+v", test.err, got, want)
		}
		if got := neterr.Classify(fmt.Errorf("secret: %w", test.err)); got != want {
			t.Errorf("%v, wrapped: got %+v, want %+v", test.err, got, want)
		}
	}
}

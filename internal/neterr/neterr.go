// Package neterr sorts the errors of connections into classes, each with words of
// ours: what the network's own errors say may name hosts.
package neterr

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// A Class is why a connection failed.
type Class struct {
	// Code is for programs: "" if nothing is known, or dns, refused, tls, timeout,
	// unreachable, broken or network.
	Code string

	// Text is for people, and goes after "the connection ".
	Text string
}

var (
	nameUnknown  = Class{"dns", "failed: the server's name was not found (DNS)"}
	lookupFailed = Class{"dns", "failed: the server's name could not be looked up (DNS)"}
	refused      = Class{"refused", "failed: refused"}
	untrusted    = Class{"tls", "failed: the server's certificate is not trusted (TLS)"}
	notSecure    = Class{"tls", "failed: no secure connection (TLS)"}
	dialTimeout  = Class{"timeout", "timed out before it was made"}
	timeout      = Class{"timeout", "timed out"}
	unreachable  = Class{"unreachable", "failed: no way to the server"}
	reset        = Class{"broken", "failed: reset"}
	brokenOff    = Class{"broken", "failed: it broke off"}
	network      = Class{"network", "failed: the network"}
	unknown      = Class{"", "failed"}
)

// wsaRefused is the system's word for ECONNREFUSED on Windows, where package
// syscall has another.
const wsaRefused = syscall.Errno(10061)

// Classify returns the class of err, which a connection failed with. It looks at
// types and numbers, never at texts.
func Classify(err error) Class {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return nameUnknown
		}
		return lookupFailed
	}
	if is(err, syscall.ECONNREFUSED, wsaRefused) {
		return refused
	}
	if class, ok := handshake(err); ok {
		return class
	}
	op, isOp := errors.AsType[*net.OpError](err)
	if timed, ok := errors.AsType[net.Error](err); ok && timed.Timeout() {
		if isOp && op.Op == "dial" {
			return dialTimeout
		}
		return timeout
	}
	switch {
	case is(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH):
		return unreachable
	case is(err, syscall.ECONNRESET, syscall.EPIPE):
		return reset
	case is(err, io.ErrUnexpectedEOF, io.EOF):
		return brokenOff
	case isOp:
		return network
	}
	return unknown
}

// handshake returns the class of an error that TLS was begun and ended with.
func handshake(err error) (Class, bool) {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	if certificate || authority || host {
		return untrusted, true
	}
	_, header := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return notSecure, header || alert
}

// is reports whether err is one of targets.
func is(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

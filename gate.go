// Which hosts may see the password: decided from a URL alone, before any
// connection is made, for the endpoint, every redirect, and every URL that a
// server sends.

package icloud

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Endpoints of iCloud's CardDAV service.
const (
	defaultEndpoint = "https://contacts.icloud.com"

	// ChinaEndpoint is the Options.Endpoint of accounts that iCloud keeps in
	// mainland China.
	ChinaEndpoint = "https://contacts.icloud.com.cn"
)

// gate knows who may see the password. The zero gate lets nobody.
type gate struct {
	scheme string // "https", or "http" for a loopback endpoint
	host   string // as hostport returns it; for iCloud the domain
	apple  bool   // any host under the domain, port 443
}

// Errors name no host: the server's word may be anything, even the account.
var (
	errForeignHost = errors.New("icloud: refused to send the password to a host that is not the endpoint's")
	errPlainHTTP   = errors.New("icloud: refused to send the password over http")
	errBadURL      = errors.New("icloud: the server sent a malformed URL")
)

// newGate parses an endpoint and returns it with the gate that belongs to it.
func newGate(endpoint string) (*url.URL, gate, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil, u.Opaque != "", u.Host == "":
		// The text is not repeated: it may hold a password.
		return nil, gate{}, errors.New("icloud: Options.Endpoint is not an absolute URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, gate{}, errors.New("icloud: Options.Endpoint has more than a scheme, a host, a port and a path")
	}
	// From here on there is one spelling of a host: lower case, no dot at
	// the end, a port.
	host, port, ok := hostport(u)
	if !ok {
		return nil, gate{}, errors.New("icloud: Options.Endpoint has a malformed host")
	}
	g := gate{scheme: u.Scheme, host: net.JoinHostPort(host, port)}
	// The two are not each other's: an account of one has no business on the
	// other, whatever a redirect says.
	for _, domain := range []string{"icloud.com", "icloud.com.cn"} {
		if under(host, domain) {
			g = gate{scheme: "https", host: domain, apple: true}
		}
	}
	if u.Scheme != "https" && (u.Scheme != "http" || g.apple || !loopback(host)) {
		return nil, gate{}, errors.New("icloud: Options.Endpoint must be https, or http on a loopback address")
	}
	if u, err = g.check(u); err != nil {
		return nil, gate{}, err
	}
	// So that it compares equal to what servers call it.
	if u.Path == "" {
		u.Path = "/"
	}
	return u, g, nil
}

// check returns u, with its host in one form for all spellings of it, if the
// password may be sent there.
func (g gate) check(u *url.URL) (*url.URL, error) {
	if u.Scheme != g.scheme {
		if u.Scheme == "http" {
			return nil, errPlainHTTP
		}
		return nil, errForeignHost
	}
	// https://contacts.icloud.com@attacker.test/ is a user name, and nobody's
	// mistake.
	if u.User != nil || u.Opaque != "" {
		return nil, errForeignHost
	}
	host, port, ok := hostport(u)
	if !ok {
		return nil, errForeignHost
	}
	if g.apple {
		// Another port of the same host may be another service's.
		if !under(host, g.host) || port != "443" {
			return nil, errForeignHost
		}
	} else if net.JoinHostPort(host, port) != g.host {
		return nil, errForeignHost
	}
	// What is dialed is what was checked, not what the server wrote.
	v := *u
	v.Host = net.JoinHostPort(host, port)
	if port == defaultPort(u.Scheme) {
		// JoinHostPort has put an IPv6 address into brackets.
		v.Host = strings.TrimSuffix(v.Host, ":"+port)
	}
	v.Fragment, v.RawFragment = "", ""
	return &v, nil
}

// resolve parses a reference that a server sent and resolves it against the
// URL of the answer that it came in. The result has passed the gate.
func (g gate) resolve(base *url.URL, ref string) (*url.URL, error) {
	u, err := base.Parse(ref)
	if err != nil {
		return nil, errBadURL
	}
	return g.check(u)
}

// hostport returns the host of u in lower case without a trailing dot, and its
// port, or the scheme's. It is not ok if the host is not made of the letters,
// digits and hyphens of host names in ASCII (RFC 1123, section 2.1) or an IPv6
// address, so that look-alikes and escapes fail here.
func hostport(u *url.URL) (host, port string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if port = u.Port(); port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "", "", false
		}
		port = defaultPort(u.Scheme)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", false
	}
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		return host, port, err == nil && addr.Zone() == ""
	}
	// An empty label is how bad..icloud.com would pass for a subdomain.
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return "", "", false
		}
	}
	// No '%', so no escape; no byte over 127, so no look-alike; and 127.1 or
	// 2130706433 are names here, which no allowed domain ends in.
	for _, c := range []byte(host) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return "", "", false
		}
	}
	return host, port, true
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// under says whether host is the domain or lies in it.
func under(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// loopback says whether host can be reached from this machine alone.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Package origin decides to which URLs the password may be sent: the endpoint, every
// redirect, and every URL that a server sends. It decides by the URL alone, before any
// connection is made. It also reads the challenges of a 401.
//
// Only a [Gate] makes a [URL], and package icloud sends the password only to a URL. So
// the compiler enforces the check.
//
// The errors begin with "icloud: ", because package icloud returns them unchanged. They
// contain no host, because the text of a server may be anything, even the name of the
// account.
package origin

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A URL is one to which the password may be sent. The zero URL is not a URL.
type URL struct{ u *url.URL }

// Copy returns a copy of the URL, which the caller may change; nil for the zero URL.
func (u URL) Copy() *url.URL {
	if u.u == nil {
		return nil
	}
	v := *u.u
	return &v
}

// String returns the URL as text, "" for the zero URL.
func (u URL) String() string {
	if u.u == nil {
		return ""
	}
	return u.u.String()
}

// A Gate knows to which hosts the password may be sent. The zero Gate allows no host.
type Gate struct {
	scheme string // "https", or "http" for a loopback endpoint
	host   string // the allowed host and port; for iCloud the domain
	icloud bool   // whether every host under the domain is allowed, on port 443
}

// What is wrong with a URL that a Gate refuses.
var (
	ErrForeignHost = errors.New("icloud: refused to send the password to a host that is not the endpoint's")
	ErrPlainHTTP   = errors.New("icloud: refused to send the password over http")
	ErrBadURL      = errors.New("icloud: the server sent a malformed URL")
)

// New parses an endpoint and returns it with its Gate. For an endpoint under icloud.com
// or icloud.com.cn the Gate allows every host of that domain; for any other endpoint
// only its host and port.
func New(endpoint string) (URL, Gate, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil, u.Opaque != "", u.Host == "":
		// The text is not repeated, because it may contain a password.
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint is not an absolute URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint has more than a scheme, a host, a port and a path")
	}
	// Hosts are compared in one spelling: in lower case, without a dot at the end,
	// with a port.
	host, port, ok := hostport(u)
	if !ok {
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint has a malformed host")
	}
	g := Gate{scheme: u.Scheme, host: net.JoinHostPort(host, port)}
	// An account is on one of the two domains. A redirect to the other one is never
	// right, so neither domain allows the other.
	for _, domain := range []string{"icloud.com", "icloud.com.cn"} {
		if under(host, domain) {
			g = Gate{scheme: "https", host: domain, icloud: true}
		}
	}
	if u.Scheme != "https" && (u.Scheme != "http" || g.icloud || !loopback(host)) {
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint must be https, or http on a loopback address")
	}
	// Servers write the root as "/", with which the endpoint is compared.
	if u.Path == "" {
		u.Path = "/"
	}
	checked, err := g.Check(u)
	if err != nil {
		return URL{}, Gate{}, err
	}
	return checked, g, nil
}

// ICloud says whether the endpoint is iCloud's.
func (g Gate) ICloud() bool { return g.icloud }

// Domain returns one name for the hosts that g allows. For iCloud it is the domain,
// because an account's partition host can change; otherwise the host and port of u.
func (g Gate) Domain(u *url.URL) string {
	if g.icloud {
		return g.host
	}
	return u.Host
}

// Check returns u if the password may be sent there. The host of the result has one
// form for all its spellings.
func (g Gate) Check(u *url.URL) (URL, error) {
	if u.Scheme != g.scheme {
		if u.Scheme == "http" {
			return URL{}, ErrPlainHTTP
		}
		return URL{}, ErrForeignHost
	}
	// In https://contacts.icloud.com@attacker.test/ the first name is a user name.
	// No server writes that by mistake.
	if u.User != nil || u.Opaque != "" {
		return URL{}, ErrForeignHost
	}
	host, port, ok := hostport(u)
	if !ok {
		return URL{}, ErrForeignHost
	}
	if g.icloud {
		// Another port of the same host may belong to another service.
		if !under(host, g.host) || port != "443" {
			return URL{}, ErrForeignHost
		}
	} else if net.JoinHostPort(host, port) != g.host {
		return URL{}, ErrForeignHost
	}
	// The connection is made to the host as it was checked, and not as the server
	// wrote it.
	v := *u
	v.Host = net.JoinHostPort(host, port)
	if port == defaultPort(u.Scheme) {
		// This keeps the brackets that JoinHostPort adds to an IPv6 address.
		v.Host = strings.TrimSuffix(v.Host, ":"+port)
	}
	v.Fragment, v.RawFragment = "", ""
	return URL{&v}, nil
}

// Resolve parses a reference that a server sent, resolves it against the URL of
// the answer that it came in, and checks the result.
func (g Gate) Resolve(base *url.URL, ref string) (URL, error) {
	u, err := base.Parse(ref)
	if err != nil {
		return URL{}, ErrBadURL
	}
	return g.Check(u)
}

// Path returns the path, and the query if there is one, of a member's href in an
// answer from base. Most hrefs are paths, and are returned as they are written. An
// absolute href must have a host that g allows, although requests for its path go to
// base.
func (g Gate) Path(base *url.URL, href []byte) ([]byte, error) {
	switch {
	case len(href) == 0:
		return nil, ErrBadURL
	case href[0] == '/' && !(len(href) > 1 && href[1] == '/'):
		return href, nil
	}
	u, err := base.Parse(string(href))
	if err != nil {
		return nil, ErrBadURL
	}
	// A server behind a proxy that terminates TLS may write http, because the proxy
	// connects to it without TLS.
	if u.Scheme == "http" && g.scheme == "https" && u.Port() == "" {
		u.Scheme = "https"
	}
	checked, err := g.Check(u)
	if err != nil {
		return nil, err
	}
	return []byte(checked.u.RequestURI()), nil
}

// hostport returns the host of u in lower case without a trailing dot, and its port,
// which is that of the scheme if u has none. ok is false unless the host is an IPv6
// address or consists of labels of ASCII letters, digits, hyphens and underscores (RFC
// 1123, section 2.1, allows no underscore). So look-alikes and escapes fail here.
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
	// Without this, bad..icloud.com would pass for a subdomain.
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return "", "", false
		}
	}
	// No '%' means no escape, and no byte over 127 no look-alike. 127.1 and
	// 2130706433 pass as names, but they are not under iCloud's domains.
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

// loopback says whether host is a loopback address or localhost.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

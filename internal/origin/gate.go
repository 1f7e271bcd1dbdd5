// Package origin decides which URLs may see the password, from the URL alone and
// before any connection is made: the endpoint, every redirect, and every URL that
// a server sends. It also reads the challenges of a 401.
//
// A [URL] can be made by a [Gate] only. The transport puts the password onto
// nothing else, so that the compiler holds the promise.
//
// The errors begin with the name of the importing package, which hands them to
// its callers as they are. They name no host: what a server wrote may be
// anything, even the name of the account.
package origin

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A URL may see the password. The zero URL is none.
type URL struct{ u *url.URL }

// Copy returns the URL, for the caller to change and to keep; nil for the zero URL.
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

// A Gate knows which hosts may see the password. The zero Gate lets nobody.
type Gate struct {
	scheme string // "https", or "http" for a loopback endpoint
	host   string // host and port; for iCloud the domain
	icloud bool   // any host under the domain, on port 443
}

// What is wrong with a URL that a Gate refuses.
var (
	ErrForeignHost = errors.New("icloud: refused to send the password to a host that is not the endpoint's")
	ErrPlainHTTP   = errors.New("icloud: refused to send the password over http")
	ErrBadURL      = errors.New("icloud: the server sent a malformed URL")
)

// New parses an endpoint and returns it with the Gate that belongs to it. An
// endpoint under icloud.com or icloud.com.cn admits every host of that domain; any
// other admits its own host and port.
func New(endpoint string) (URL, Gate, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil, u.Opaque != "", u.Host == "":
		// The text is not repeated: it may hold a password.
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint is not an absolute URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint has more than a scheme, a host, a port and a path")
	}
	// From here on there is one spelling of a host: lower case, no dot at
	// the end, a port.
	host, port, ok := hostport(u)
	if !ok {
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint has a malformed host")
	}
	g := Gate{scheme: u.Scheme, host: net.JoinHostPort(host, port)}
	// An account is kept on one of the two domains. A redirect to the other one
	// is never right, so neither admits the other.
	for _, domain := range []string{"icloud.com", "icloud.com.cn"} {
		if under(host, domain) {
			g = Gate{scheme: "https", host: domain, icloud: true}
		}
	}
	if u.Scheme != "https" && (u.Scheme != "http" || g.icloud || !loopback(host)) {
		return URL{}, Gate{}, errors.New("icloud: Options.Endpoint must be https, or http on a loopback address")
	}
	// Servers write the root as "/", and the endpoint is compared with that.
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

// Domain returns a name for the hosts that g admits: the domain on iCloud, whose
// partition hosts come and go, and elsewhere the host and port of u.
func (g Gate) Domain(u *url.URL) string {
	if g.icloud {
		return g.host
	}
	return u.Host
}

// Check returns u, with its host in one form for all spellings of it, if the
// password may be sent there.
func (g Gate) Check(u *url.URL) (URL, error) {
	if u.Scheme != g.scheme {
		if u.Scheme == "http" {
			return URL{}, ErrPlainHTTP
		}
		return URL{}, ErrForeignHost
	}
	// In https://contacts.icloud.com@attacker.test/ the first name is a user's.
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
	// The connection is made to the host that was checked, not to the one that
	// the server spelled.
	v := *u
	v.Host = net.JoinHostPort(host, port)
	if port == defaultPort(u.Scheme) {
		// JoinHostPort has put an IPv6 address into brackets.
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
// absolute one must name a host that may see the password, although nothing is ever
// sent to it but its path, to base.
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
	// A server behind a proxy that ends TLS writes http, because that is what
	// it speaks itself.
	if u.Scheme == "http" && g.scheme == "https" && u.Port() == "" {
		u.Scheme = "https"
	}
	checked, err := g.Check(u)
	if err != nil {
		return nil, err
	}
	return []byte(checked.u.RequestURI()), nil
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
	// Without this, bad..icloud.com would pass for a subdomain.
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return "", "", false
		}
	}
	// There is no '%', hence no escape, and no byte over 127, hence no
	// look-alike. 127.1 and 2130706433 pass as names, in which no allowed domain
	// ends.
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

// The shapes of texts: which known value a text has, how long it is, or which kinds of
// characters it has.

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// known returns value if it is one of all, and else "other".
func known(value string, all ...string) string {
	if i := slices.Index(all, value); i >= 0 {
		return all[i]
	}
	return other
}

// knownList applies known to values that are separated by commas.
func knownList(value string, all ...string) string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		if len(parts) == 32 {
			break
		}
		parts = append(parts, known(strings.TrimSpace(part), all...))
	}
	return strings.Join(parts, ", ")
}

// count returns a number up to 9 as it is, and a larger one as a range, such as "10 to 99",
// because the number of somebody's contacts is private.
func count(n int) string {
	for low := 10; low <= n; low *= 10 {
		if n < low*10 {
			return fmt.Sprintf("%d to %d", low, low*10-1)
		}
	}
	return strconv.Itoa(n)
}

func counts(m map[string]int) map[string]string {
	if len(m) == 0 {
		return nil
	}
	all := make(map[string]string)
	for name, n := range m {
		all[name] = count(n)
	}
	return all
}

// numberShape is count for text.
func numberShape(text string) string {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return count(n)
	}
	return other
}

// pattern returns the form of an opaque text: its marks, and for each run of other
// characters a letter and the length. The letter is a for lower-case letters, A for
// upper-case letters, 9 for digits, x for a mixture of these, and ? if there are others. A
// length over 16 is a range.
func pattern(text string) string {
	const marks = `"=@_+/:.,-`
	var b strings.Builder
	runs := 0
	for i := 0; i < len(text); runs++ {
		if runs == 16 {
			b.WriteString("...")
			break
		}
		if mark := strings.IndexByte(marks, text[i]); mark >= 0 {
			b.WriteByte(marks[mark])
			i++
			continue
		}
		class, start := byte(0), i
		for ; i < len(text) && strings.IndexByte(marks, text[i]) < 0; i++ {
			now := byte('?')
			switch c := text[i]; {
			case 'a' <= c && c <= 'z':
				now = 'a'
			case 'A' <= c && c <= 'Z':
				now = 'A'
			case '0' <= c && c <= '9':
				now = '9'
			}
			switch {
			case class == 0:
				class = now
			case class == '?' || now == '?':
				class = '?'
			case class != now:
				class = 'x'
			}
		}
		length := strconv.Itoa(i - start)
		if n := i - start; n > 16 {
			low := 16
			for low*2 < n {
				low *= 2
			}
			length = fmt.Sprintf("%d-%d", low+1, low*2)
		}
		fmt.Fprintf(&b, "%c{%s}", class, length)
	}
	return b.String()
}

// hostShape returns the name of a host of iCloud. The number of a partition becomes 9s.
func hostShape(hostport string) string {
	host, port, explicit := strings.Cut(strings.ToLower(hostport), ":")
	shape := known(host, "contacts.icloud.com", "contacts.icloud.com.cn", "gateway.icloud.com", "gateway.icloud.com.cn", "icloud.com", "www.icloud.com")
	if m := partitionHost.FindStringSubmatch(host); m != nil {
		shape = "p" + strings.Repeat("9", len(m[1])) + "-contacts.icloud.com"
		if m[2] != "" {
			shape += ".cn"
		}
	}
	switch {
	case explicit && port == "443":
		shape += ":443"
	case explicit:
		shape += ":other"
	}
	return shape
}

var partitionHost = regexp.MustCompile(`^p([0-9]{1,4})-contacts\.icloud\.com(\.cn)?$`)

// partitionShape says whether the partition in a header of an answer is that of the host.
func partitionShape(value string, req *http.Request) string {
	m := partitionHost.FindStringSubmatch(strings.ToLower(req.URL.Hostname()))
	switch {
	case m == nil:
		return "present; the host has no partition"
	case strings.TrimLeft(m[1], "0") == strings.TrimLeft(value, "0"):
		return "the host's"
	}
	return "another than the host's"
}

// pathShapes are the known paths, and the shape of each.
var pathShapes = []struct {
	re    *regexp.Regexp
	shape string
}{
	{regexp.MustCompile(`^/$`), "/"},
	{regexp.MustCompile(`^/\.well-known/carddav/?$`), "/.well-known/carddav"},
	{regexp.MustCompile(`^/principal/$`), "/principal/"},
	{regexp.MustCompile(`^/[0-9]+/principal/$`), "/<number>/principal/"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/$`), "/<number>/carddavhome/"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome$`), "/<number>/carddavhome"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/$`), "/<number>/carddavhome/card/"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card$`), "/<number>/carddavhome/card"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\.vcf$`), "/<number>/carddavhome/card/<UUID>.vcf"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[A-Za-z0-9_=-]+\.vcf$`), "/<number>/carddavhome/card/<base64>.vcf"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[^/]+\.vcf$`), "/<number>/carddavhome/card/<name>.vcf"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[^/]+$`), "/<number>/carddavhome/card/<name>"},
	{regexp.MustCompile(`^/contacts/[0-9]+/ck/card/[^/]+$`), "/contacts/<number>/ck/card/<name>"},
	{regexp.MustCompile(`^/[0-9]+/.*$`), "/<number>/<other>"},
}

func pathShape(path string) string {
	for _, known := range pathShapes {
		if known.re.MatchString(path) {
			return known.shape
		}
	}
	return other
}

// hrefShape returns the shape of an href, which is a path or a URL.
func hrefShape(href string) string {
	u, err := url.Parse(href)
	if err != nil {
		return other
	}
	if u.Host == "" && u.Scheme == "" {
		return pathShape(u.Path)
	}
	return known(u.Scheme, "https", "http") + "://" + hostShape(u.Host) + pathShape(u.Path)
}

// mediaTypeShape returns a known media type and its charset.
func mediaTypeShape(value string) string {
	media, params, _ := strings.Cut(value, ";")
	shape := known(strings.ToLower(strings.TrimSpace(media)), "text/xml", "application/xml", "text/html", "text/plain", "text/vcard",
		"text/x-vcard", "text/directory", "image/jpeg", "image/png", "image/gif", "image/heic", "application/json", "application/octet-stream")
	if params != "" {
		shape += "; " + known(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(params), `"`, "")), "charset=utf-8", "charset=iso-8859-1")
	}
	return shape
}

// few is counts for a map that may have many keys: it puts those over 20 under "other".
func few(m map[string]int) map[string]string {
	for len(m) > 20 {
		for form, n := range m {
			delete(m, form)
			m[other] += n
			break
		}
	}
	return counts(m)
}

// tokenShape returns the beginning of a token, if that is a known one, and the form of the
// rest.
func tokenShape(token string) string {
	for _, start := range []string{"HwoQEgwA", "FT=-@RU=", "https://", "http://", "data:,", "urn:"} {
		if rest, ok := strings.CutPrefix(token, start); ok {
			return "begins with " + start + ", then " + pattern(rest)
		}
	}
	return pattern(token)
}

package vcf

import (
	"cmp"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file reads accounts at other services. There are three kinds of properties for
// them. Apple writes an account of the first kind also as one of the third:
//
//	IMPP;X-SERVICE-TYPE=Jabber;type=HOME:xmpp:ada@example.org
//	X-SOCIALPROFILE;type=twitter;x-user=ada:https://twitter.com/ada
//	X-JABBER;type=HOME:ada@example.org

// service reads one of them. If the Service has neither User nor URL, there is none.
func (r *DetailsReader) service(d *detail, t *tags, value []byte) (s Service, label string) {
	s = Service{Service: d.word, User: r.paramText(t.user)}
	switch d.kind {
	case detailIMPP:
		s.Service, label = r.paramText(t.service), r.lower(t.label)
	case detailProfile:
		s.Service, label = cmp.Or(r.paramText(t.service), r.paramText(t.profile)), r.lower(t.place)
	default:
		label = r.lower(t.label)
	}

	written := r.url(t, value)
	scheme, rest := cutScheme(written)
	known := schemes[scheme]
	switch {
	case written == "":
	case scheme == "x-apple":
		// Apple writes x-apple: if it does not know the address.
		if s.User == "" {
			s.User = unescapePath(rest)
		}
	case scheme == "http", scheme == "https":
		s.URL = written
	case d.kind == detailAccount:
		// The value is the user's name, even if it has a colon.
		if known != "" && strings.EqualFold(known, s.Service) {
			written = rest
		}
		s.User = cmp.Or(s.User, written)
	case scheme != "":
		s.URL = written
		if s.User == "" {
			s.User = userOf(rest)
		}
		if d.kind == detailIMPP {
			s.Service = cmp.Or(s.Service, known, scheme)
		}
	case strings.Contains(written, "/"):
		s.URL = written
	default:
		s.User = cmp.Or(s.User, written)
	}
	// Nobody signs in with these two, but they say who it is.
	if s.User == "" {
		s.User = cmp.Or(r.paramText(t.display), r.paramText(t.userID))
	}
	return s, label
}

// schemes are the services of URL schemes. xmpp means Jabber, unless the card names
// another service that uses this protocol.
var schemes = map[string]string{
	"aim":      "AIM",
	"gadugadu": "GaduGadu",
	"gg":       "GaduGadu",
	"gtalk":    "GoogleTalk",
	"icq":      "ICQ",
	"irc":      "IRC",
	"jabber":   "Jabber",
	"msn":      "MSN",
	"msnim":    "MSN",
	"qq":       "QQ",
	"sip":      "SIP",
	"sips":     "SIP",
	"skype":    "Skype",
	"telegram": "Telegram",
	"twitter":  "Twitter",
	"whatsapp": "WhatsApp",
	"xmpp":     "Jabber",
	"yahoo":    "Yahoo",
	"ymsgr":    "Yahoo",
}

// cutScheme cuts off the text before the first colon, in lower case, if it can be the
// scheme of a URL (RFC 3986, section 3.1). "live:" is no scheme: names of accounts at
// Microsoft begin with it.
func cutScheme(text string) (scheme, rest string) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || scheme == "" || strings.EqualFold(scheme, "live") {
		return "", text
	}
	for i, c := range scheme {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return "", text
		}
	}
	return strings.ToLower(scheme), rest
}

// userOf returns the user in an address without its scheme: "ada" of ada?chat and of
// goim?screenname=ada. Programs of the time of AIM made such links. An address that begins
// with // has a host, and no user.
func userOf(rest string) string {
	if strings.HasPrefix(rest, "//") {
		return ""
	}
	user, query, ok := strings.Cut(rest, "?")
	if ok {
		switch strings.ToLower(user) {
		case "goim", "chat", "sendim", "addfriend", "addcontact", "call":
			user, _, _ = strings.Cut(query, "&")
			if _, value, ok := strings.Cut(user, "="); ok {
				user = value
			}
		}
	}
	return unescapePath(user)
}

// unescapePath decodes the percent-encoding of names that Apple writes into addresses. If
// the result would not be readable text, the name stays as it is.
func unescapePath(s string) string {
	if !strings.Contains(s, "%") {
		return strings.TrimSpace(s)
	}
	text, err := url.PathUnescape(s)
	if err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return s
	}
	return strings.TrimSpace(text)
}

// An account is equal for all Services that are the same account.
type account struct{ service, user string }

func accountOf(s Service) account {
	return account{strings.ToLower(s.Service), strings.ToLower(cmp.Or(s.User, s.URL))}
}

// mergeAccount sets the fields that into does not have to those of from.
func mergeAccount(into *Service, from Service) {
	into.Label = cmp.Or(into.Label, from.Label)
	into.URL = cmp.Or(into.URL, from.URL)
	into.User = cmp.Or(into.User, from.User)
}

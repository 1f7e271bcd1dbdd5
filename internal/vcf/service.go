package vcf

import (
	"cmp"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file reads accounts elsewhere. There are three kinds of properties for
// them, and Apple writes an account of the first kind a second time as one of
// the third:
//
//	IMPP;X-SERVICE-TYPE=Jabber;type=HOME:xmpp:ada@example.org
//	X-SOCIALPROFILE;type=twitter;x-user=ada:https://twitter.com/ada
//	X-JABBER;type=HOME:ada@example.org

// service reads one of them. A Service without User and URL is none.
func (r *DetailsReader) service(d *detail, params, value []byte) Service {
	s := Service{Service: d.word}
	if d.kind != detailAccount {
		s.Service = cmp.Or(r.paramText(params, "X-SERVICE-TYPE"), r.paramText(params, "SERVICE-TYPE"))
	}
	if d.kind == detailProfile && s.Service == "" {
		s.Service = r.profileType(params)
	}
	s.User = cmp.Or(r.paramText(params, "X-USER"), r.paramText(params, "USERNAME"))

	written := r.url(value)
	scheme, rest := cutScheme(written)
	known := schemes[scheme]
	switch {
	case written == "":
	case scheme == "x-apple":
		// No address, but what Apple writes where it knows none.
		s.User = cmp.Or(s.User, unescapePath(rest))
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
		s.User = cmp.Or(s.User, userOf(rest))
		if d.kind == detailIMPP {
			s.Service = cmp.Or(s.Service, known, scheme)
		}
	case strings.Contains(written, "/"):
		s.URL = written
	default:
		s.User = cmp.Or(s.User, written)
	}
	// These two are no names to sign in with, but say who it is.
	s.User = cmp.Or(s.User, r.paramText(params, "X-DISPLAYNAME"), r.paramText(params, "X-USERID"))
	return s
}

// profileType returns the TYPE that is the service of an X-SOCIALPROFILE, as it
// is written: the first that is no place.
func (r *DetailsReader) profileType(params []byte) string {
	for t := range types(params) {
		if !is(t, "PREF") && !isPlace(t) {
			return r.add(t)
		}
	}
	return ""
}

// placeLabel makes a label of the TYPE of an X-SOCIALPROFILE that is a place.
func (r *DetailsReader) placeLabel(params []byte) string {
	for t := range types(params) {
		if isPlace(t) {
			return r.lower(t)
		}
	}
	return ""
}

func isPlace(t []byte) bool { return is(t, "HOME") || is(t, "WORK") || is(t, "OTHER") }

// schemes are the services that have schemes of other names. xmpp is Jabber
// where nothing says that it is another service which speaks that protocol.
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

// cutScheme cuts off what stands before the first colon, lowered, if that can be
// the scheme of a URL (RFC 3986, section 3.1). Names of accounts at Microsoft
// begin with "live:".
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

// userOf returns the user that an address without its scheme names: "ada" of
// ada?chat and of goim?screenname=ada, which are what programs of the time of
// AIM made links of. What begins with // is a place, and names nobody.
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

// unescapePath undoes the percent-encoding with which Apple writes names into
// addresses. A name from which that would make something illegible stays as it
// is.
func unescapePath(s string) string {
	text, err := url.PathUnescape(s)
	if err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return s
	}
	return strings.TrimSpace(text)
}

// sameService is equal for the same account, however often the card has it. "" is
// equal to none.
func sameService(s Service) string {
	return strings.ToLower(s.Service) + "\n" + strings.ToLower(cmp.Or(s.User, s.URL))
}

// mergeService adds what one property says of an account and the other does not.
func mergeService(into *Service, from Service) {
	into.Label = cmp.Or(into.Label, from.Label)
	into.URL = cmp.Or(into.URL, from.URL)
	into.User = cmp.Or(into.User, from.User)
}

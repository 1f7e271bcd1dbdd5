package origin

// This file reads the challenges of a 401 (WWW-Authenticate). iCloud sends two, in one
// header or in two, in either order. Splitting a header at its commas would be wrong,
// because commas also separate the parameters of a challenge.

import "strings"

// A Challenge is one of those in a WWW-Authenticate header.
type Challenge struct{ Scheme, Realm string }

// Challenges parses WWW-Authenticate headers (RFC 9110, section 11.6.1), each of which
// may have several challenges. A syntax error ends the reading of its header.
func Challenges(headers []string) []Challenge {
	var all []Challenge
	for _, s := range headers {
		for {
			s = strings.TrimLeft(s, " \t,")
			word, rest := token(s)
			if word == "" {
				break
			}
			after := strings.TrimLeft(rest, " \t")
			// A word without a '=' after it starts a challenge.
			if !strings.HasPrefix(after, "=") {
				all = append(all, Challenge{Scheme: word})
				s = after
				continue
			}
			value, rest, ok := parameter(after[1:])
			if !ok {
				break
			}
			// Only the parameter realm is needed.
			if len(all) > 0 && strings.EqualFold(word, "realm") {
				all[len(all)-1].Realm = value
			}
			s = rest
		}
	}
	return all
}

// token splits s after the token with which it starts.
func token(s string) (word, rest string) {
	end := strings.IndexAny(s, " \t,=\"")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// parameter splits s after the value with which it starts, quoted or not.
func parameter(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t=") // a token68 is padded with '='
	if !strings.HasPrefix(s, `"`) {
		value, rest = token(s)
		return value, rest, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		// A quoted pair (RFC 9110, section 5.6.4).
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

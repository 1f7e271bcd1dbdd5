package vcf

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// This file compares a line of the card with a field that the caller gives. The caller has
// the field from go-vcard, so they are compared as go-vcard reads them.

// fieldKey is equal for two fields if and only if go-vcard reads them as the same. With
// keys, a map can find a line that has moved.
func fieldKey(f Field) string {
	params := make(map[string][]string, len(f.Params))
	for k, v := range f.Params {
		k = strings.ToUpper(k)
		params[k] = append(params[k], v...)
	}
	return key(f.Group, params, f.Value)
}

func key(group string, params map[string][]string, value string) string {
	var b []byte
	// Each part has its length before it, so that different parts never make the same
	// key.
	add := func(mark byte, s string) {
		b = append(b, mark)
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ' ')
		b = append(b, s...)
	}
	add('.', group)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		// A parameter without values cannot be written, so it does not count.
		for i, v := range params[name] {
			if i == 0 {
				add(';', name)
			}
			add('=', v)
		}
	}
	add(':', value)
	return string(b)
}

// lineKey is the fieldKey of what go-vcard reads in a line, "" if it reads nothing. It
// also has go-vcard's mistakes, because a caller that gives back what go-vcard has read
// wants no change. FuzzEdit compares the two.
func lineKey(line []byte) string {
	dot, tail := splitName(line)
	if tail < 0 {
		return ""
	}
	// more says whether another parameter follows. At the end, rest is the value.
	rest := string(line[tail+1:])
	params := make(map[string][]string)
	for more := line[tail] == ';'; more && rest != ""; {
		i := strings.IndexAny(rest, "=;:")
		if i < 0 {
			return ""
		}
		if rest[i] == ';' {
			// A parameter of vCard 2.1 without a name. If ':' follows it,
			// go-vcard does not recognize it, and reads the value as its value.
			rest = rest[i+1:]
			continue
		}
		name := strings.ToUpper(rest[:i])
		rest = rest[i+1:]
		if rest == "" {
			break
		}
		// A list in quotation marks is split at its commas too.
		var list string
		if rest[0] == '"' {
			var ok bool
			if list, rest, ok = cutQuoted(rest[1:]); !ok || rest == "" || (rest[0] != ';' && rest[0] != ':') {
				return ""
			}
			more, rest = rest[0] == ';', rest[1:]
		} else if i := strings.IndexAny(rest, ";:"); i >= 0 {
			list, more, rest = rest[:i], rest[i] == ';', rest[i+1:]
		} else {
			list, more, rest = rest, false, ""
		}
		for v := range strings.SplitSeq(list, ",") {
			params[name] = append(params[name], plain.Replace(v))
		}
	}
	return key(string(line[:max(dot, 0)]), params, plain.Replace(rest))
}

// plain removes the three escapes that go-vcard knows.
var plain = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\,`, ",")

// cutQuoted reads up to the closing quotation mark. go-vcard allows the
// escapes of Go's strings there.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for s != "" {
		if s[0] == '"' {
			return b.String(), s[1:], true
		}
		r, _, tail, err := strconv.UnquoteChar(s, '"')
		if err != nil {
			return "", "", false
		}
		b.WriteRune(r)
		s = tail
	}
	return b.String(), "", true
}

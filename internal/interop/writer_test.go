package interop_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"

	"github.com/go-icloud/icloud"
)

// A writer writes cards of which it is known what they say, as Apple's programs
// and those that follow the RFCs do: what must be escaped is, and what need not
// be sometimes is.
type writer struct {
	*rand.Rand
	version string
	lines   []string
	labels  []string // lines that may stand anywhere
	items   int
}

func (w *writer) pick(words ...string) string { return words[w.IntN(len(words))] }

func (w *writer) chance(n int) bool { return w.IntN(n) == 0 }

// text returns something that people might have in their cards.
func (w *writer) text() string {
	var words []string
	for range 1 + w.IntN(4) {
		words = append(words, w.pick("Ann", "Zoë", "山田", "O’Brien", "👩‍🚀", "a, b", "x; y", "two\nlines", "1:2", `"q"`, "=", "a=b", `C:\ d`,
			"Straße", "…", strings.Repeat("long ", 20)+".", strings.Repeat("長", 30), "محمد", "-", "(c)", "<b>&amp;"))
	}
	return strings.Join(words, " ")
}

// escaped writes a text.
func (w *writer) escaped(text string) string {
	newline := w.pick(`\n`, `\n`, `\N`)
	return strings.NewReplacer(`\`, `\\`, ",", `\,`, ";", `\;`, "\n", newline).Replace(text)
}

// line adds a property, in a group if it has a label of its own.
func (w *writer) line(name, params, value, label string) {
	if label != "" {
		w.items++
		item := fmt.Sprintf("%s%d.", w.pick("item", "item", "ITEM", "g-"), w.items)
		name = item + name
		if w.chance(3) {
			item = strings.ToLower(item)
		}
		marked := w.escaped(label)
		if w.chance(2) {
			marked = "_$!<" + marked + ">!$_"
		}
		w.labels = append(w.labels, item+"X-ABLabel:"+marked)
	}
	w.lines = append(w.lines, name+params+":"+value)
}

// label returns a label, as a TYPE or as one of the owner's own.
func (w *writer) label() (params, own, label string) {
	switch w.IntN(3) {
	case 0:
		label = w.pick("home", "work", "other")
		return w.pick(";type=", ";TYPE=") + w.pick(label, strings.ToUpper(label)), "", label
	case 1:
		label = w.pick("School", "HomePage", "Boot, blau; groß", "妻", "Anniversary")
		return "", label, label
	}
	return "", "", ""
}

// some calls f up to three times, and says of the first that it is preferred.
func (w *writer) some(f func(pref string)) {
	pref := w.pick("", ";type=pref", ";TYPE=pref")
	if w.version == "4.0" {
		pref = w.pick("", ";PREF=1")
	}
	for range w.IntN(4) {
		f(pref)
		pref = ""
	}
}

func (w *writer) date() (params, value string, d icloud.Date) {
	d = icloud.Date{Year: 1900 + w.IntN(130), Month: 1 + w.IntN(12), Day: 1 + w.IntN(28)}
	value = fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
	switch w.IntN(5) {
	case 0:
		params, value, d.Year = ";X-APPLE-OMIT-YEAR=1604", "1604"+value[4:], 0
	case 1:
		params = ";value=date"
	case 2:
		value += "T00:00:00Z"
	case 3:
		if w.version == "4.0" {
			value = strings.ReplaceAll(value, "-", "")
		}
	}
	return params, value, d
}

func (w *writer) card() ([]byte, icloud.Details) {
	w.version, w.lines, w.labels, w.items = w.pick("3.0", "3.0", "4.0"), nil, nil, 0
	var d icloud.Details
	maybe := func() string {
		if w.chance(3) {
			return ""
		}
		return w.text()
	}
	d.Family, d.Given, d.Middle, d.Prefix, d.Suffix = maybe(), maybe(), maybe(), maybe(), maybe()
	w.line("N", "", strings.Join([]string{w.escaped(d.Family), w.escaped(d.Given), w.escaped(d.Middle), w.escaped(d.Prefix), w.escaped(d.Suffix)}, ";"), "")
	w.line("FN", "", w.escaped(w.text()), "")
	for name, text := range map[string]*string{
		"NICKNAME": &d.Nickname, "TITLE": &d.Title, "NOTE": &d.Note,
		"X-PHONETIC-FIRST-NAME": &d.PhoneticGiven, "X-PHONETIC-LAST-NAME": &d.PhoneticFamily,
	} {
		if w.chance(2) {
			*text = w.text()
			w.line(name, "", w.escaped(*text), "")
		}
	}
	if w.chance(2) {
		parts := []string{w.escaped(w.text())}
		for range w.IntN(3) {
			d.Departments = append(d.Departments, w.text())
			parts = append(parts, w.escaped(d.Departments[len(d.Departments)-1]))
		}
		w.line("ORG", "", strings.Join(parts, ";"), "")
	}
	w.some(func(pref string) {
		types, own, label := w.label()
		a := icloud.Address{Label: label, Street: w.text(), Extended: maybe(), City: maybe(), Region: maybe(), PostalCode: maybe(), Country: maybe(), POBox: maybe()}
		var parts []string
		for _, part := range []string{a.POBox, a.Extended, a.Street, a.City, a.Region, a.PostalCode, a.Country} {
			parts = append(parts, w.escaped(part))
		}
		w.line("ADR", types+pref, strings.Join(parts, ";"), own)
		if own != "" && w.chance(2) {
			a.CountryCode = w.pick("de", "us", "jp")
			item, _, _ := strings.Cut(w.labels[len(w.labels)-1], ".")
			w.labels = append(w.labels, item+".X-ABADR:"+a.CountryCode)
		}
		d.Addresses = append(d.Addresses, a)
	})
	w.some(func(pref string) {
		types, own, label := w.label()
		u := w.pick("https://example.org/~a?b=1&c=<2>", "http://zoë.example", "https://example.org/"+strings.Repeat("x", 90))
		w.line("URL", types+pref, u, own)
		d.URLs = append(d.URLs, icloud.Labeled{Label: label, Value: u})
	})
	w.some(func(pref string) {
		types, own, label := w.label()
		name := w.text()
		w.line("X-ABRELATEDNAMES", types+pref, w.escaped(name), own)
		d.Relations = append(d.Relations, icloud.Labeled{Label: label, Value: name})
	})
	w.services(&d)
	if w.chance(2) {
		params, value, day := w.date()
		w.line("BDAY", params, value, "")
		d.Birthday = day
	}
	days := 0
	w.some(func(pref string) {
		params, value, day := w.date()
		days++
		// Another label each, since one day of one name is one.
		own := fmt.Sprint(w.pick("Hochzeit", "Jahrestag; groß"), " ", days)
		w.line("X-ABDATE", params+pref, value, own)
		d.Dates = append(d.Dates, icloud.LabeledDate{Label: own, Date: day})
	})
	if w.chance(3) {
		for range 1 + w.IntN(3) {
			d.Categories = append(d.Categories, w.text())
		}
		var parts []string
		for _, c := range d.Categories {
			parts = append(parts, w.escaped(c))
		}
		w.line("CATEGORIES", "", strings.Join(parts, ","), "")
	}
	for _, l := range w.labels {
		w.lines = slices.Insert(w.lines, w.IntN(len(w.lines)+1), l)
	}
	return w.folded(), d
}

// services writes accounts, and some of them twice, as Apple does.
func (w *writer) services(d *icloud.Details) {
	n := 0
	w.some(func(pref string) {
		n++
		types, own, label := w.label()
		s := icloud.Service{Label: label, Service: w.pick("Jabber", "AIM", "Discord", "GoogleTalk"), User: fmt.Sprintf("ada %d@ü.example#", n)}
		path := (&url.URL{Path: s.User}).EscapedPath()
		value := map[string]string{"Jabber": "xmpp:", "AIM": "aim:", "Discord": "x-apple:", "GoogleTalk": "xmpp:"}[s.Service] + path
		if s.Service != "Discord" {
			s.URL = value
		}
		w.line("IMPP", ";X-SERVICE-TYPE="+s.Service+types+pref, value, own)
		if name := "X-" + strings.ToUpper(s.Service); (s.Service == "Jabber" || s.Service == "AIM") && w.chance(2) {
			w.line(name, types+pref, s.User, own)
		}
		d.Services = append(d.Services, s)
	})
	for range w.IntN(3) {
		n++
		s := icloud.Service{Service: w.pick("twitter", "GitHub", "X"), User: fmt.Sprintf("ada%d", n)}
		value := "x-apple:" + s.User
		if w.chance(2) {
			s.URL = "https://" + s.Service + ".example/" + s.User
			value = s.URL
		}
		w.line("X-SOCIALPROFILE", ";type="+s.Service+";x-user="+s.User, value, "")
		d.Services = append(d.Services, s)
	}
}

// folded returns the card, folded between characters.
func (w *writer) folded() []byte {
	var b strings.Builder
	b.WriteString("BEGIN:VCARD\r\nVERSION:" + w.version + "\r\n")
	for _, l := range w.lines {
		n := 0
		for _, r := range l {
			if size := len(string(r)); n+size > 75 || n > 20 && w.chance(40) {
				b.WriteString("\r\n ")
				n = 1
			}
			n += len(string(r))
			b.WriteRune(r)
		}
		b.WriteString("\r\n")
	}
	b.WriteString("END:VCARD\r\n")
	return []byte(b.String())
}

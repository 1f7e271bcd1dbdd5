// The texts in all languages: the message files, the choice of a language, and dates and
// durations in words.

package connect

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed messages/*.json
var messageFiles embed.FS

// fallback is the language of the texts that another language lacks.
const fallback = "en"

// A language is one file of the folder messages: its texts by their keys.
type language struct {
	tag    string // of BCP 47: "de"
	texts  map[string]string
	others map[string]string // the texts of the fallback
}

// languages has all languages by their tags.
type languages map[string]*language

// loadLanguages reads the message files. They are embedded in the program, so an error
// is a mistake in one of the files.
func loadLanguages() (languages, error) {
	files, err := messageFiles.ReadDir("messages")
	if err != nil {
		return nil, err
	}
	all := make(languages)
	for _, file := range files {
		text, err := messageFiles.ReadFile(path.Join("messages", file.Name()))
		if err != nil {
			return nil, err
		}
		l := &language{tag: strings.TrimSuffix(file.Name(), ".json")}
		if err := json.Unmarshal(text, &l.texts); err != nil {
			return nil, fmt.Errorf("icloud/connect: messages/%s: %w", file.Name(), err)
		}
		all[l.tag] = l
	}
	for _, l := range all {
		l.others = all[fallback].texts
	}
	return all, nil
}

// choose returns the available language that an Accept-Language header (RFC 9110, section
// 12.5.4) prefers. It ignores regions: "de-AT" is "de".
func (ls languages) choose(header string) *language {
	best, quality := ls[fallback], 0.0
	// No browser sends more languages than these.
	for n, part := range strings.Split(header, ",") {
		if n == 32 {
			break
		}
		tag, params, _ := strings.Cut(part, ";")
		tag, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		if l := ls[tag]; l != nil && q > quality {
			best, quality = l, q
		}
	}
	return best
}

// text returns the text of a key.
func (l *language) text(key string) string {
	if text, ok := l.texts[key]; ok {
		return text
	}
	if text, ok := l.others[key]; ok {
		return text
	}
	panic("icloud/connect: no text for " + key) // which TestMessages rules out
}

// plain returns the text of a key with its placeholders, such as {product}, replaced.
// args are names and values in turn.
func (l *language) plain(key string, args ...string) string {
	return replacer(args).Replace(l.text(key))
}

// html is plain for the content of an HTML element: it escapes the text and the values,
// except those of type template.HTML.
func (l *language) html(key string, args ...any) template.HTML {
	pairs := make([]string, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case template.HTML:
			pairs[i] = string(arg)
		case string:
			pairs[i] = template.HTMLEscapeString(arg)
		}
	}
	return template.HTML(replacer(pairs).Replace(template.HTMLEscapeString(l.text(key))))
}

// replacer replaces names in braces by values.
func replacer(pairs []string) *strings.Replacer {
	pairs = slices.Clone(pairs)
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...)
}

// menu returns the name that Apple gives to one of its menus or buttons. If the file
// lacks it, because no public page of Apple's shows it in this language, menu returns the
// English name in quotation marks, marked as English for a screen reader.
func (l *language) menu(key string) template.HTML {
	if name, ok := l.texts[key]; ok {
		return template.HTML("<b>" + template.HTMLEscapeString(name) + "</b>")
	}
	return l.html("quoted", "text", template.HTML(`<b lang="en">`+template.HTMLEscapeString(l.others[key])+"</b>"))
}

// date returns the day of t in words.
func (l *language) date(t time.Time) string {
	months := strings.Fields(l.text("months"))
	return l.plain("date", "day", strconv.Itoa(t.Day()), "month", months[t.Month()-1], "year", strconv.Itoa(t.Year()))
}

// wait returns a duration in words, rounded up, as in "try again in ...".
func (l *language) wait(d time.Duration) string {
	minutes := int((d + time.Minute - 1) / time.Minute)
	switch hours := (minutes + 59) / 60; {
	case minutes <= 1:
		return l.text("wait.minute")
	case minutes <= 90:
		return l.plain("wait.minutes", "n", strconv.Itoa(minutes))
	default:
		return l.plain("wait.hours", "n", strconv.Itoa(hours))
	}
}

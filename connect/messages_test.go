package connect_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// texts reads the message files.
func texts(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob("messages/*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	all := make(map[string]map[string]string)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var messages map[string]string
		if err := json.Unmarshal(data, &messages); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		// A duplicate key hides a text.
		if n := len(regexp.MustCompile(`(?m)^  "[^"]+": "`).FindAll(data, -1)); n != len(messages) {
			t.Errorf("%s: %d lines for %d texts", file, n, len(messages))
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = messages
	}
	return all
}

// TestMessages: every language has every text with the same placeholders, and no other
// text. Only the names of Apple's menus may be missing: see language.menu.
func TestMessages(t *testing.T) {
	t.Parallel()
	all := texts(t)
	placeholder := regexp.MustCompile(`\{[^}]*\}`)
	for tag, messages := range all {
		if !regexp.MustCompile(`^[a-z]{2,3}$`).MatchString(tag) {
			t.Errorf("%s.json is not named by a language alone, as choose finds it", tag)
		}
		for key, english := range all["en"] {
			text, ok := messages[key]
			if !ok && strings.HasPrefix(key, "apple.") {
				continue
			}
			if strings.TrimSpace(text) == "" || strings.TrimSpace(text) != text {
				t.Errorf("%s.json lacks %q", tag, key)
			}
			got, want := placeholder.FindAllString(text, -1), placeholder.FindAllString(english, -1)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(slices.Compact(got), slices.Compact(want)) {
				t.Errorf("%s.json, %q: placeholders %q, want %q", tag, key, got, want)
			}
			if tag != "en" && text == english && !strings.HasPrefix(key, "apple.") && !slices.Contains([]string{"error.prefix", "title.error", "date", "wait.minutes"}, key) {
				t.Errorf("%s.json, %q is still in English", tag, key)
			}
		}
		for key := range messages {
			if _, ok := all["en"][key]; !ok {
				t.Errorf("%s.json has %q, which en.json does not", tag, key)
			}
		}
		if n := len(strings.Fields(messages["months"])); n != 12 {
			t.Errorf("%s.json has %d months", tag, n)
		}
	}
}

// TestKeys: the code and the template use exactly the keys of the files.
func TestKeys(t *testing.T) {
	t.Parallel()
	english := texts(t)["en"]
	var source strings.Builder
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "page.html") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	used := make(map[string]bool)
	for _, m := range regexp.MustCompile(`"((?:apple|title|reason|steps|access|form|alert|error|fault|done|problem|wait)\.[a-z.-]+|date|months|quoted|nothing-lost)"`).FindAllStringSubmatch(source.String(), -1) {
		used[m[1]] = true
		if _, ok := english[m[1]]; !ok {
			t.Errorf("the code uses %q, which en.json lacks", m[1])
		}
	}
	for key := range english {
		if !used[key] {
			t.Errorf("nothing uses %q", key)
		}
	}
}

// TestLanguage: the page is in the available language that the browser prefers, and
// declares that language.
func TestLanguage(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	for header, want := range map[string]string{
		"":                                   "en",
		"*":                                  "en",
		"de":                                 "de",
		"de-AT":                              "de",
		"DE-at, en;q=0.5":                    "de",
		"fr-CA,fr;q=0.9,en;q=0.8":            "fr",
		"es-419":                             "es",
		"it, pt;q=0.9":                       "en",
		"it,ja;q=0.9,de;q=0.3,fr;q=0.5":      "fr",
		"en-GB, de":                          "en",
		"de;q=0, fr;q=0.1":                   "fr",
		"de;q=0":                             "en",
		"de;q=2, fr":                         "fr",
		"de;q=NaN, es;q=0.2":                 "es",
		"de ; q = 0.4 , fr ; q = 0.6":        "fr",
		"zh,ja,ko,ar,he,it,pt,nl,fr":         "fr",
		"pl;q=x, , ;;;,=,de;q=0.001":         "de",
		strings.Repeat("it,", 10_000) + "de": "en",
		"../../etc/passwd":                   "en",
	} {
		a := s.get(t, link, "Accept-Language", header)
		a.wants(t, http.StatusOK)
		if got := a.Header().Get("Content-Language"); got != want || !strings.Contains(a.Body.String(), `<html lang="`+want+`">`) {
			t.Errorf("%.60q: got %q, want %q", header, got, want)
		}
	}
}

// TestMenus: Apple's menus have the names that Apple uses in the language. If these are
// not known, the names are English, in quotation marks and marked for a screen reader.
func TestMenus(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for tag, want := range map[string][]string{
		"en": {"<b>Sign-In and Security</b>", "<b>App-Specific Passwords</b>"},
		"de": {"<b>Anmelden und Sicherheit</b>", "<b>App-spezifische Passwörter</b>"},
		"fr": {"<b>Connexion et sécurité</b>", "<b>Mots de passe pour applications</b>"},
		"es": {"<b>Inicio de sesión y seguridad</b>", `«<b lang="en">App-Specific Passwords</b>»`},
	} {
		body := s.get(t, s.link(t, "ann"), "Accept-Language", tag).Body.String()
		for _, name := range want {
			if !strings.Contains(body, name) {
				t.Errorf("%s: no %s", tag, name)
			}
		}
	}
}

// TestPages: no page in any language shows a placeholder or a key, and the product's name
// is text and not markup.
func TestPages(t *testing.T) {
	t.Parallel()
	for tag := range texts(t) {
		s := newService(t, nil)
		link := s.link(t, "ann")
		bad := form(t, link, "apple_id", "ann@example.com", "password", ownPassword)
		bad.Header.Set("Accept-Language", tag)
		for _, a := range []answer{
			s.get(t, link, "Accept-Language", tag),
			s.get(t, base, "Accept-Language", tag),
			s.do(t, bad),
		} {
			body := style.ReplaceAllString(a.Body.String(), "")
			if a.Header().Get("Content-Language") != tag || strings.ContainsAny(body, "{}") || strings.Contains(body, "ZgotmplZ") ||
				strings.Contains(body, "& Sons") || !strings.Contains(body, "Acme &amp; Sons") {
				t.Errorf("%s: %s", tag, body)
			}
		}
	}
}

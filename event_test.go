package icloud_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// schema is the part of JSON Schema (draft 2020-12) that docs/event.schema.json uses.
type schema struct {
	Schema            string              `json:"$schema"`
	Title             string              `json:"title"`
	Description       string              `json:"description"`
	Type              string              `json:"type"`
	Required          []string            `json:"required"`
	Properties        map[string]schema   `json:"properties"`
	DependentRequired map[string][]string `json:"dependentRequired"`
	Enum              []any               `json:"enum"`
	Const             any                 `json:"const"`
	Ref               string              `json:"$ref"`
	Format            string              `json:"format"`
	Pattern           string              `json:"pattern"`
	Defs              map[string]schema   `json:"$defs"`
}

// readSchema fails if the file uses a keyword that validate does not know.
func readSchema(t *testing.T) *schema {
	t.Helper()
	text, err := os.ReadFile("docs/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	s, d := new(schema), json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// validate returns the errors of an event.
func (s *schema) validate(text []byte) error {
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		return err
	}
	var errs []error
	for _, name := range s.Required {
		if _, ok := event[name]; !ok {
			errs = append(errs, fmt.Errorf("%s is missing", name))
		}
	}
	for name, value := range event {
		p, ok := s.Properties[name]
		if !ok {
			// The schema allows further members, but must have those of this version.
			errs = append(errs, fmt.Errorf("%s is not in the schema", name))
			continue
		}
		if def, ok := strings.CutPrefix(p.Ref, "#/$defs/"); ok {
			p = s.Defs[def]
		}
		text, isText := value.(string)
		switch {
		case p.Enum != nil && !slices.Contains(p.Enum, value), p.Const != nil && value != p.Const,
			p.Type == "string" && !isText, p.Pattern != "" && !regexp.MustCompile(p.Pattern).MatchString(text):
			errs = append(errs, fmt.Errorf("%s is %v", name, value))
		}
		for _, with := range s.DependentRequired[name] {
			if _, ok := event[with]; !ok {
				errs = append(errs, fmt.Errorf("%s is there without %s", name, with))
			}
		}
	}
	return errors.Join(errs...)
}

// TestEventGolden: the events of two passwords are those of the golden file, follow the
// schema, and do not identify the account.
func TestEventGolden(t *testing.T) {
	const golden = "testdata/event.jsonl"
	var lines bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		srv := icloudtest.NewServer()
		defer srv.Close()
		life := func(cred icloud.Credential, steps ...func()) {
			client, err := icloud.New(cred, &icloud.Options{Transport: srv.Transport()})
			if err != nil {
				t.Fatal(err)
			}
			note := func() {
				text, err := json.Marshal(client.Status().Event())
				if err != nil {
					t.Fatal(err)
				}
				lines.Write(append(text, '\n'))
				for _, secret := range []string{cred.AppleID, cred.Password.Reveal(), "@", "://"} {
					if bytes.Contains(text, []byte(secret)) {
						t.Errorf("got %s, which contains %q", text, secret)
					}
				}
			}
			note()
			for _, step := range steps {
				step()
				for _, err := range client.Contacts(t.Context()) {
					if err != nil {
						break
					}
				}
				note()
			}
		}
		days := func(n int) func() { return func() { time.Sleep(time.Duration(n) * 24 * time.Hour) } }
		minutes := func(n int) func() { return func() { time.Sleep(time.Duration(n) * time.Minute) } }
		cred := srv.Issue()
		life(cred, minutes(1), days(200), days(140), func() { time.Sleep(26 * 24 * time.Hour); srv.Revoke(cred.Password) }, minutes(20))
		cred = srv.Issue()
		life(cred, minutes(1), func() { time.Sleep(time.Hour); srv.Revoke(cred.Password) }, minutes(20))
		cred.Password = icloud.UncheckedPassword("never-right")
		life(cred, minutes(1), minutes(20))
	})
	if *update {
		if err := os.WriteFile(golden, lines.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(lines.Bytes(), want) {
		t.Errorf("got\n%swant\n%s", &lines, want)
	}
	s, states, reasons := readSchema(t), make(map[any]bool), make(map[any]bool)
	for line := range bytes.Lines(want) {
		if err := s.validate(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		states[e["state"]], reasons[e["reason"]] = true, true
	}
	if len(states) != 5 || len(reasons) != 4 {
		t.Errorf("the golden file has states %v and reasons %v, want all", slices.Collect(maps.Keys(states)), slices.Collect(maps.Keys(reasons)))
	}
}

// TestEventSchema: the schema has every member of Event, and the validator refuses wrong values.
func TestEventSchema(t *testing.T) {
	t.Parallel()
	s := readSchema(t)
	now := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	full, err := json.Marshal(icloud.Event{State: "signed out", Reason: "revoked", Certainty: "certain", Confirmed: true,
		Refused: now, Issued: now, Expires: now, LastAccepted: now, AccountChanged: now, NextTry: now})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(full, &members); err != nil {
		t.Fatal(err)
	}
	if got, want := len(members), len(s.Properties); got != want {
		t.Errorf("got %d members, want the schema's %d", got, want)
	}
	if err := s.validate(full); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		`{}`, `{"state":"gone"}`, `{"state":"active","confirmed":true}`, `{"state":"doubted","reason":"stolen"}`,
		`{"state":"doubted","reason":"revoked","certainty":"likely"}`, `{"state":"active","apple_id":"ada@example.com"}`,
		`{"state":"active","issued":"yesterday"}`, `{"state":"active","issued":7}`, `[]`,
	} {
		if s.validate([]byte(bad)) == nil {
			t.Errorf("%s is valid, want an error", bad)
		}
	}
}

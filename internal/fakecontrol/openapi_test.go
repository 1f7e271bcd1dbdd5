package fakecontrol_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/fakecontrol"
)

// The parts of an OpenAPI document that openapi.json uses.
type (
	document struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]*schema }
	}
	operation struct {
		OperationID string
		Summary     string
		RequestBody *struct {
			Content map[string]struct{ Schema schema }
		}
		Responses map[string]struct {
			Content map[string]struct{ Schema schema }
		}
	}
	schema struct {
		Ref                  string `json:"$ref"`
		Type                 string
		Format               string
		Nullable             bool
		Enum                 []string
		Properties           map[string]*schema
		Required             []string
		Items                *schema
		AdditionalProperties any
		Description          string
	}
)

func parse(t *testing.T) (d document, operations map[string]operation) {
	t.Helper()
	if err := json.Unmarshal(fakecontrol.OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	operations = make(map[string]operation)
	for path, methods := range d.Paths {
		for method, text := range methods {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := json.Unmarshal(text, &op); err != nil {
				t.Fatal(err)
			}
			if _, ok := operations[op.OperationID]; ok || op.Summary == "" {
				t.Errorf("%s %s: operationId %q, summary %q", method, path, op.OperationID, op.Summary)
			}
			operations[op.OperationID] = op
		}
	}
	return d, operations
}

// resolve follows a reference.
func (d document) resolve(s *schema) *schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

// check returns the differences between a JSON value and the schema.
func (d document) check(s *schema, at string, v any) (problems []string) {
	problem := func(format string, args ...any) {
		problems = append(problems, at+": "+fmt.Sprintf(format, args...))
	}
	s = d.resolve(s)
	if s == nil {
		return []string{at + ": no such schema"}
	}
	switch v := v.(type) {
	case nil:
		if !s.Nullable {
			problem("null")
		}
	case map[string]any:
		if s.Type != "object" {
			problem("an object, not %s", s.Type)
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				problem("%s is missing", name)
			}
		}
		for name, value := range v {
			if p := s.Properties[name]; p != nil {
				problems = append(problems, d.check(p, at+"."+name, value)...)
			} else if extra, ok := s.AdditionalProperties.(map[string]any); ok {
				problems = append(problems, d.check(&schema{Type: extra["type"].(string)}, at+"."+name, value)...)
			} else if s.AdditionalProperties == false {
				problem("%s is not described", name)
			}
		}
	case []any:
		if s.Type != "array" {
			problem("a list, not %s", s.Type)
			break
		}
		for i, value := range v {
			problems = append(problems, d.check(s.Items, fmt.Sprintf("%s[%d]", at, i), value)...)
		}
	case string:
		_, err := time.Parse(time.RFC3339, v)
		if s.Type != "string" || s.Enum != nil && !slices.Contains(s.Enum, v) || s.Format == "date-time" && err != nil {
			problem("%q is no %s %s %v", v, s.Type, s.Format, s.Enum)
		}
	case float64:
		if s.Type != "integer" || v != float64(int(v)) {
			problem("%v is no %s", v, s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			problem("a boolean, not %s", s.Type)
		}
	}
	return problems
}

// TestOpenAPI: openapi.json has every operation, with the fields that its handler reads.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	d, described := parse(t)
	handlers := fakecontrol.Operations()
	if got, want := slices.Sorted(maps.Keys(described)), slices.Sorted(maps.Keys(handlers)); !slices.Equal(got, want) {
		t.Fatalf("described are %q, want %q", got, want)
	}
	for name, handler := range handlers {
		method, path, _ := strings.Cut(handler.Pattern, " ")
		path = strings.TrimSuffix(path, "{$}")
		if _, ok := d.Paths[path][strings.ToLower(method)]; !ok {
			t.Errorf("%s: %s %s is not described", name, method, path)
		}
		var parameters []struct{ Name, In string }
		if text := d.Paths[path]["parameters"]; text != nil {
			if err := json.Unmarshal(text, &parameters); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, p := range parameters {
			got = append(got, "{"+p.Name+"}")
		}
		if want := regexp.MustCompile(`{\w+}`).FindAllString(path, -1); !slices.Equal(got, want) {
			t.Errorf("%s: parameters %q, want %q", name, got, want)
		}

		var want []string
		switch v := reflect.TypeOf(handler.Request); {
		case v == nil:
			continue
		case v.Kind() == reflect.Slice:
			want = fakecontrol.SettingNames()
		default:
			for field := range v.Elem().Fields() {
				tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				want = append(want, tag)
			}
		}
		body := described[name].RequestBody
		if body == nil {
			t.Errorf("%s: the body is not described", name)
			continue
		}
		s := body.Content["application/json"].Schema
		properties := d.resolve(&s).Properties
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
			t.Errorf("%s: the body is described with %q, and read with %q", name, got, want)
		}
		for property, p := range properties {
			if p.Description == "" {
				t.Errorf("%s: %s has no description", name, property)
			}
		}
	}
}

// described compares answers with openapi.json, and records which operations have succeeded.
type described struct {
	document
	operations map[string]operation
	patterns   []pattern
	seen       map[string]bool
}

type pattern struct {
	name, method string
	path         *regexp.Regexp
}

func newDescribed(t *testing.T) *described {
	d := &described{seen: make(map[string]bool)}
	d.document, d.operations = parse(t)
	for name, handler := range fakecontrol.Operations() {
		method, path, _ := strings.Cut(handler.Pattern, " ")
		path = strings.TrimSuffix(path, "{$}")
		d.patterns = append(d.patterns, pattern{name, method, regexp.MustCompile("^" + regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "[^/]+") + "$")})
	}
	return d
}

func (d *described) check(t *testing.T, method, path string, status int, header http.Header, body []byte) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	for _, p := range d.patterns {
		if p.method != method || !p.path.MatchString(path) {
			continue
		}
		response, ok := d.operations[p.name].Responses[fmt.Sprint(status)]
		if !ok {
			t.Errorf("%s: the status %d is not described: %s", p.name, status, body)
			return
		}
		content, ok := response.Content[header.Get("Content-Type")]
		if !ok {
			t.Errorf("%s: %d has the type %q, which is not described", p.name, status, header.Get("Content-Type"))
			return
		}
		if header.Get("Content-Type") == "application/json" {
			var v any
			if err := json.Unmarshal(body, &v); err != nil {
				t.Errorf("%s: %v in %s", p.name, err, body)
			}
			for _, problem := range d.document.check(&content.Schema, p.name, v) {
				t.Error(problem)
			}
		}
		if status == http.StatusOK {
			d.seen[p.name] = true
		}
		return
	}
	t.Errorf("%s %s is no operation", method, path)
}

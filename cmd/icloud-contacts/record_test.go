package main

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// schema is the part of JSON Schema that docs/contact.schema.json uses.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Required   []string          `json:"required"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	Defs       map[string]schema `json:"$defs"`
}

// TestSchema: the schema has exactly the members of a record.
func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/contact.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	sameSchema(t, root, root, reflect.TypeFor[record](), "record")
}

func sameSchema(t *testing.T, root, s schema, typ reflect.Type, where string) {
	t.Helper()
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		s = root.Defs[name]
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Slice: "array", reflect.Struct: "object"}[typ.Kind()]
	if typ == reflect.TypeFor[[]byte]() {
		want = "string"
	}
	if s.Type != want {
		t.Errorf("%s: the schema says %q, want %q", where, s.Type, want)
	}
	switch want {
	case "array":
		if s.Items == nil {
			t.Fatalf("%s: the schema has no items", where)
		}
		sameSchema(t, root, *s.Items, typ.Elem(), where+"[]")
	case "object":
		var names, required []string
		for _, f := range reflect.VisibleFields(typ) {
			if f.Anonymous {
				continue
			}
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
			if options == "" {
				required = append(required, name)
			}
			if p, ok := s.Properties[name]; ok {
				sameSchema(t, root, p, f.Type, where+"."+name)
			}
		}
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, names) {
			t.Errorf("%s: the schema has %q, want %q", where, got, names)
		}
		if !slices.Equal(s.Required, required) {
			t.Errorf("%s: the schema requires %q, want %q", where, s.Required, required)
		}
	}
}

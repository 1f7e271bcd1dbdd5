// Settings: the fields of icloudtest.Server.

package fakecontrol

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// A setting is a field of icloudtest.Server.
type setting struct {
	name  string // as in JSON: redirect, omit_etag, photos_as_urls
	index int
	kind  reflect.Type
}

// settings are all fields except Intercept, for which there are faults.
var settings = func() (list []setting) {
	t := reflect.TypeFor[icloudtest.Server]()
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Name != "Intercept" {
			list = append(list, setting{snake(f.Name), i, f.Type})
		}
	}
	return list
}()

var words = regexp.MustCompile(`ETag|URLs|CDATA|[A-Z][a-z]*`)

// snake returns the name of a field in JSON.
func snake(name string) string {
	return strings.ToLower(strings.Join(words.FindAllString(name, -1), "_"))
}

func (c *call) getSettings() (any, error) {
	v, out := reflect.ValueOf(c.world.srv).Elem(), make(map[string]any)
	for _, s := range settings {
		out[s.name] = v.Field(s.index).Interface()
	}
	return out, nil
}

// changeSettings sets the fields that are named. If one of them cannot be set, it sets none.
func (c *call) changeSettings() (any, error) {
	var in map[string]json.RawMessage
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	set := make(map[int]reflect.Value)
	for _, s := range settings {
		text, ok := in[s.name]
		if !ok {
			continue
		}
		delete(in, s.name)
		v := reflect.New(s.kind)
		if err := json.Unmarshal(text, v.Interface()); err != nil {
			return nil, badRequest("%s is not a %s", s.name, kindName(s.kind))
		}
		set[s.index] = v.Elem()
	}
	for name := range in {
		return nil, badRequest("no such setting: %q", name)
	}
	// No request may be under way. Requests that a fault stalls are ended. No other one
	// takes long, unless its client does not read the answer.
	for end := time.Now().Add(patience); !c.fake.settings.TryLock(); time.Sleep(time.Millisecond) {
		c.world.letGo()
		if time.Now().After(end) {
			return nil, failure{http.StatusConflict, "requests are under way that do not end"}
		}
	}
	v := reflect.ValueOf(c.world.srv).Elem()
	for i, to := range set {
		v.Field(i).Set(to)
	}
	c.fake.settings.Unlock()
	return c.getSettings()
}

// patience is how long a change of settings waits for requests to end.
const patience = 5 * time.Second

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int:
		return "number"
	case reflect.Slice:
		return "list of texts"
	}
	return "text"
}

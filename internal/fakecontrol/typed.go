// Typed commands: each line becomes a request to the handler of the control port.

package fakecontrol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Typed has the commands that can be typed, each with a description, for a help text.
var Typed = [][2]string{
	{"add NAME", "add a contact"},
	{"remove NAME", "remove a contact"},
	{"load FILE", "add the cards of a .vcf file"},
	{"generate N", "add N invented contacts"},
	{"empty", "empty the address book"},
	{"cards", "show all cards, as they were put"},
	{"expire [TIME]", "let the password in use expire, now or after TIME (30s)"},
	{"revoke [all]", "remove the password in use, or all, as their owner"},
	{"change", "change the account's own password, which revokes all"},
	{"issue [AGE]", "make a password, of AGE if given (364d or 2026-01-31)"},
	{"account [ID]", "make another account, and a password for it"},
	{"accounts", "show all accounts and their passwords"},
	{"for ID COMMAND...", "run a command for the account with this Apple ID"},
	{"throttle TIME", "make the account wait, and tell it how long"},
	{"outage TIME", "answer 503, without saying how long"},
	{"401 TIME", "refuse good passwords too (stray refusals)"},
	{"fault NAME [K=V...]", "cause any fault (reset times=2 path=*/card/)"},
	{"heal", "end all faults"},
	{"forget", "make all sync tokens invalid"},
	{"set NAME VALUE", "change a setting (redirect 301); without NAME, show all"},
	{"requests", "show how many requests there were, and their answers"},
	{"reset", "return to the state at the start, with a new password"},
}

// An Answer is the result of a line: the status and the body of the control port's answer.
type Answer struct {
	Status int
	Body   []byte
}

// Error returns the error text of a failure, or "".
func (a Answer) Error() string {
	var body struct {
		Error string `json:"error"`
	}
	if a.Status < 400 || json.Unmarshal(a.Body, &body) != nil {
		return ""
	}
	return body.Error
}

// order is a typed line as a request.
type order struct {
	method, path string
	mediaType    string
	body         []byte
}

// Type executes a line. An empty line does nothing, and ok is false.
func (f *Fake) Type(line string) (a Answer, ok bool) {
	verb, rest := word(line)
	if verb == "" {
		return Answer{}, false
	}
	account := "first"
	if verb == "for" {
		account, rest = word(rest)
		verb, rest = word(rest)
	}
	o, err := f.order(account, verb, rest)
	w := httptest.NewRecorder()
	if err != nil {
		answer(w, nil, err)
	} else {
		r := httptest.NewRequest(o.method, "http://localhost"+o.path, bytes.NewReader(o.body))
		r.Header.Set("Content-Type", o.mediaType)
		f.control.ServeHTTP(w, r)
	}
	return Answer{w.Code, bytes.TrimSuffix(w.Body.Bytes(), []byte("\n"))}, true
}

// word splits a line after its first word.
func word(line string) (first, rest string) {
	first, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
	return first, strings.TrimSpace(rest)
}

// order returns the request for a verb and the rest of its line.
func (f *Fake) order(account, verb, rest string) (order, error) {
	at := "/accounts/" + url.PathEscape(account)
	call := func(method, path string, body any) (order, error) {
		o := order{method: method, path: path, mediaType: "application/json"}
		var err error
		if body != nil {
			o.body, err = json.Marshal(body)
		}
		return o, err
	}
	// needs returns the error for a missing or wrong argument.
	needs := func(what, example string) error {
		return badRequest("%s needs %s, as in: %s %s", verb, what, verb, example)
	}
	lasting := func(fault NewFault) (order, error) {
		if _, err := parseTime(verb, rest); err != nil {
			return order{}, needs("a time", "30s")
		}
		fault.Name, fault.For = verb, rest
		return call(http.MethodPost, "/faults", fault)
	}
	switch {
	case verb == "add" && rest != "":
		name := strings.Map(visible, rest)
		id := strings.ToLower(plain(name)) + ".vcf"
		if strings.Trim(id, "-.") == "vcf" || strings.ContainsFunc(rest, func(r rune) bool { return r >= 0x80 }) {
			id = url.PathEscape(strings.ToLower(name)) + ".vcf"
		}
		card := "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + id + "\r\nN:" + name + ";;;;\r\nFN:" + name + "\r\nEND:VCARD\r\n"
		return order{http.MethodPut, at + "/cards/" + id, "text/vcard", []byte(card)}, nil
	case verb == "remove" && rest != "":
		id, err := f.named(account, rest)
		if err != nil {
			return order{}, err
		}
		return call(http.MethodDelete, at+"/cards/"+id, nil)
	case verb == "add" || verb == "remove":
		return order{}, needs("a name", "Ada")
	case verb == "load":
		data, err := readFile(rest)
		if err != nil {
			return order{}, needs("a file that can be read", "contacts.vcf")
		}
		return order{http.MethodPost, at + "/cards", "text/vcard", data}, nil
	case verb == "generate":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return order{}, needs("a number", "1000")
		}
		return call(http.MethodPost, at+"/generate", Generate{n})
	case verb == "empty" && rest == "":
		return call(http.MethodDelete, at+"/cards", nil)
	case verb == "expire":
		if _, err := parseTime(verb, rest); rest != "" && err != nil {
			return order{}, needs("a time, or nothing", "30s")
		}
		return call(http.MethodPost, at+"/passwords/current/expire", map[string]string{"in": rest})
	case verb == "revoke" && rest == "":
		return call(http.MethodDelete, at+"/passwords/current", nil)
	case verb == "revoke" && rest == "all":
		return call(http.MethodDelete, at+"/passwords", nil)
	case verb == "change" && rest == "":
		return call(http.MethodPost, at+"/change-password", nil)
	case verb == "issue" && dated(rest):
		return call(http.MethodPost, at+"/passwords", map[string]string{"issued": rest + "T00:00:00Z"})
	case verb == "issue":
		if _, err := parseTime(verb, rest); rest != "" && err != nil {
			return order{}, needs("an age, or nothing", "364d")
		}
		return call(http.MethodPost, at+"/passwords", map[string]string{"age": rest})
	case verb == "accounts" && rest == "":
		return call(http.MethodGet, "/accounts", nil)
	case verb == "cards" && rest == "":
		return call(http.MethodGet, at+"/cards", nil)
	case verb == "account":
		return call(http.MethodPost, "/accounts", map[string]string{"apple_id": rest})
	case verb == "throttle":
		if _, err := parseTime(verb, rest); err != nil {
			return order{}, needs("a time", "30s")
		}
		return call(http.MethodPost, at+"/throttle", Throttle{rest})
	case verb == "outage":
		return lasting(NewFault{Fault: "status", Status: http.StatusServiceUnavailable})
	case verb == "401":
		return lasting(NewFault{Fault: "unauthorized"})
	case verb == "fault":
		body, err := faultOf(rest)
		if err != nil {
			return order{}, err
		}
		return call(http.MethodPost, "/faults", body)
	case verb == "heal" && rest == "":
		return call(http.MethodDelete, "/faults", nil)
	case verb == "forget" && rest == "":
		return call(http.MethodPost, at+"/forget-tokens", nil)
	case verb == "set" && rest == "":
		return call(http.MethodGet, "/settings", nil)
	case verb == "set":
		name, value := word(rest)
		return call(http.MethodPatch, "/settings", map[string]json.RawMessage{name: literal(value)})
	case verb == "requests" && rest == "":
		return call(http.MethodGet, "/requests", nil)
	case verb == "reset" && rest == "":
		return call(http.MethodPost, "/reset", nil)
	}
	return order{}, badRequest("not understood: %s", strings.TrimSpace(verb+" "+rest))
}

// readFile reads a file of at most maxBody bytes.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxBody+1))
	if err == nil && len(data) > maxBody {
		err = errors.New("too large")
	}
	return data, err
}

// dated says whether a text is a day.
func dated(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// visible replaces control characters, which would break a line of a card.
func visible(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// named returns the ID of the card with a name.
func (f *Fake) named(account, name string) (string, error) {
	w := f.world.Load()
	w.mu.Lock()
	a := w.accounts[strings.ToLower(account)]
	if account == "first" {
		a = w.first
	}
	w.mu.Unlock()
	if a == nil {
		return "", notFound("account")
	}
	for id, vcard := range a.Cards() {
		for line := range strings.Lines(vcard) {
			if strings.TrimRight(line, "\r\n") == "FN:"+name {
				return id, nil
			}
		}
	}
	return "", notFound("contact: " + name)
}

// faultOf reads a fault: its name, and the fields of NewFault by their JSON names.
func faultOf(text string) (map[string]json.RawMessage, error) {
	name, rest := word(text)
	if name == "" {
		return nil, badRequest("fault needs a name, as in: fault reset times=2")
	}
	fault := map[string]json.RawMessage{"fault": quoted(name)}
	for field := range strings.FieldsSeq(rest) {
		key, value, ok := strings.Cut(field, "=")
		switch {
		case !ok:
			return nil, badRequest("want name=value: %s", field)
		case key == "status" || key == "bytes" || key == "after" || key == "times":
			fault[key] = literal(value)
		case key == "retry-after":
			fault["headers"] = json.RawMessage(`{"Retry-After":` + string(quoted(value)) + `}`)
		default:
			fault[key] = quoted(value)
		}
	}
	return fault, nil
}

func quoted(text string) json.RawMessage {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can be marshalled
	}
	return data
}

// literal returns a value that is JSON unchanged, and any other value as a JSON string.
func literal(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return quoted(text)
}

// The control port: its operations, and how they are answered.

package fakecontrol

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// openapi describes the control port.
//
//go:embed openapi.json
var openapi []byte

// maxBody bounds the body of a request. A book of 50,000 cards fits.
const maxBody = 64 << 20

// An operation is an operation of the control port. Its name is the operationId in
// openapi.json.
type operation struct {
	name    string
	pattern string // of http.ServeMux
	request any    // a pointer to the type of the JSON body, or settings; nil if there is no JSON
	run     func(*call) (any, error)
}

// A call is a request to the control port.
type call struct {
	fake    *Fake
	world   *world
	request *http.Request
	query   url.Values
	body    []byte
}

// operations has all operations.
var operations = []operation{
	{"getFake", "GET /{$}", nil, (*call).fakeInfo},
	{"getOpenAPI", "GET /openapi.json", nil, func(*call) (any, error) { return raw{"application/json", openapi}, nil }},
	{"reset", "POST /reset", nil, (*call).reset},
	{"listAccounts", "GET /accounts", nil, (*call).listAccounts},
	{"createAccount", "POST /accounts", new(NewAccount), (*call).createAccount},
	{"getAccount", "GET /accounts/{account}", nil, (*call).getAccount},
	{"issuePassword", "POST /accounts/{account}/passwords", new(Issue), (*call).issuePassword},
	{"revokeAllPasswords", "DELETE /accounts/{account}/passwords", nil, (*call).revokeAll},
	{"expirePassword", "POST /accounts/{account}/passwords/{password}/expire", new(Expire), (*call).expirePassword},
	{"revokePassword", "DELETE /accounts/{account}/passwords/{password}", nil, (*call).revokePassword},
	{"changeAccountPassword", "POST /accounts/{account}/change-password", nil, (*call).revokeAll},
	{"throttleAccount", "POST /accounts/{account}/throttle", new(Throttle), (*call).throttle},
	{"forgetTokens", "POST /accounts/{account}/forget-tokens", nil, (*call).forgetTokens},
	{"listCards", "GET /accounts/{account}/cards", nil, (*call).listCards},
	{"loadCards", "POST /accounts/{account}/cards", nil, (*call).loadCards},
	{"emptyBook", "DELETE /accounts/{account}/cards", nil, (*call).emptyBook},
	{"generateCards", "POST /accounts/{account}/generate", new(Generate), (*call).generate},
	{"getCard", "GET /accounts/{account}/cards/{card}", nil, (*call).getCard},
	{"putCard", "PUT /accounts/{account}/cards/{card}", nil, (*call).putCard},
	{"deleteCard", "DELETE /accounts/{account}/cards/{card}", nil, (*call).deleteCard},
	{"putPhoto", "POST /accounts/{account}/photos", nil, (*call).putPhoto},
	{"listFaults", "GET /faults", nil, (*call).listFaults},
	{"addFault", "POST /faults", new(NewFault), (*call).addFault},
	{"removeFaults", "DELETE /faults", nil, (*call).removeFaults},
	{"removeFault", "DELETE /faults/{fault}", nil, (*call).removeFault},
	{"getSettings", "GET /settings", nil, (*call).getSettings},
	{"changeSettings", "PATCH /settings", settings, (*call).changeSettings},
	{"listRequests", "GET /requests", nil, (*call).requests},
	{"clearRequests", "DELETE /requests", nil, (*call).clearRequests},
}

// Done is the answer of operations that return nothing else.
type Done struct {
	// Note says what a program under test will conclude, if that may be unexpected.
	Note string `json:"note,omitempty"`
}

// raw is an answer that is not JSON.
type raw struct {
	mediaType string
	data      []byte
}

// failure is an error with its status.
type failure struct {
	status  int
	message string
}

func (f failure) Error() string { return f.message }

func badRequest(format string, args ...any) error {
	return failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(what string) error { return failure{http.StatusNotFound, "no such " + what} }

func conflict(message string) error { return failure{http.StatusConflict, message} }

// routes returns the handler of the control port.
func (f *Fake) routes() http.Handler {
	mux := http.NewServeMux()
	for _, op := range operations {
		mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if err != nil {
				answer(w, nil, failure{http.StatusRequestEntityTooLarge, "the body is too large, or broke off"})
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			out, err := op.run(&call{f, f.world.Load(), r, r.URL.Query(), body})
			answer(w, out, err)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A web page in a browser on this machine must not use the control port.
		if r.Header.Get("Origin") != "" {
			answer(w, nil, failure{http.StatusForbidden, "not for web pages"})
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			// This is ServeMux's own answer, with another body.
			status := &recorder{ResponseWriter: discard{http.Header{}}}
			mux.ServeHTTP(status, r)
			if allow := status.Header().Get("Allow"); allow != "" {
				w.Header().Set("Allow", allow)
			}
			answer(w, nil, failure{status.status, "nothing is here; see /openapi.json"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// discard is an http.ResponseWriter that keeps only its header.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// answer writes the result of a call.
func answer(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
		if f, ok := errors.AsType[failure](err); ok {
			status = f.status
		}
		out = struct {
			Error string `json:"error"`
		}{err.Error()}
	}
	if r, ok := out.(raw); ok {
		w.Header().Set("Content-Type", r.mediaType)
		_, _ = w.Write(r.data) // an error means that the client has gone
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		status = http.StatusInternalServerError
		fmt.Fprintf(&b, "{\"error\":%q}\n", err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// decode reads the JSON of a request into v. It ignores the Content-Type, because curl -d sends
// that of a form. An empty body leaves v as it is.
func (c *call) decode(v any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badRequest("the JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("the JSON is followed by something else")
	}
	return nil
}

// parseTime parses a duration such as 30s, 10m or 364d.
func parseTime(name, text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && 0 <= n && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, badRequest("%s is not a time such as 30s, 10m or 364d", name)
}

// Info describes a Fake.
type Info struct {
	Endpoint string   `json:"endpoint"`
	Home     string   `json:"home"` // the beginning of the home-set's URL
	CA       string   `json:"ca,omitempty"`
	Hosts    []string `json:"hosts"` // the host names of iCloud that the accounts use
	First    string   `json:"first"` // the Apple ID of the first account
}

// Info describes the Fake, as the control port reports it.
func (f *Fake) Info() Info {
	i := Info{Endpoint: f.config.Endpoint, Home: f.config.Endpoint, CA: f.config.CA, First: f.config.AppleID, Hosts: f.hosts()}
	if u, err := url.Parse(i.Endpoint); err == nil && f.config.HomeHost != "" {
		u.Host = f.config.HomeHost
		i.Home = u.String()
	}
	return i
}

// hosts returns the host names of iCloud that clients of the accounts use. A test directs them
// to the Fake.
func (f *Fake) hosts() []string {
	w := f.world.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []string{"contacts.icloud.com", "gateway.icloud.com"}
	for _, a := range w.order {
		if u, err := url.Parse(a.HomeURL()); err == nil && !slices.Contains(list, u.Hostname()) {
			list = append(list, u.Hostname())
		}
	}
	return list
}

func (c *call) fakeInfo() (any, error) { return c.fake.Info(), nil }

// reset returns the Fake to its state at the start.
func (c *call) reset() (any, error) {
	a := c.fake.reset()
	return c.fake.credential(a, a.passwords[0]), nil
}

// Faults: which there are, for which requests, and for how long.

package fakecontrol

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-icloud/icloud/icloudtest"
)

// NewFault is the request for a fault. Fault is a Fault of icloudtest, in lower case and with
// hyphens; Status, Headers and Bytes are its arguments.
type NewFault struct {
	// Name allows a later fault with the same name to replace this one.
	Name string `json:"name,omitempty"`

	Fault   string            `json:"fault"`
	Status  int               `json:"status,omitempty"`  // for "status"
	Headers map[string]string `json:"headers,omitempty"` // for "status"
	Bytes   int               `json:"bytes,omitempty"`   // for "cut"

	// The fault does not apply to the first After of the requests that match. It
	// applies to the next Times of them, or to all if Times is 0, until For has passed.
	After int    `json:"after,omitempty"`
	Times int    `json:"times,omitempty"`
	For   string `json:"for,omitempty"`

	// These choose the requests that match. An empty field matches every request. In
	// Path a * stands for any text.
	Path    string `json:"path,omitempty"`
	Method  string `json:"method,omitempty"`
	Host    string `json:"host,omitempty"`
	AppleID string `json:"apple_id,omitempty"`
}

// Fault is a fault as it is reported.
type Fault struct {
	ID  string `json:"id"`
	Met int    `json:"met"` // the number of requests to which it has applied
	NewFault
}

// fault is a fault that was added.
type fault struct {
	id    string
	spec  NewFault
	meets icloudtest.Fault
	met   atomic.Int64
}

// simple are the faults without arguments.
var simple = map[string]icloudtest.Fault{
	"unauthorized":   icloudtest.Unauthorized,
	"bad-gateway":    icloudtest.BadGateway,
	"captive-portal": icloudtest.CaptivePortal,
	"missing-dsid":   icloudtest.MissingDSID,
	"stall":          icloudtest.Stall,
	"reset":          icloudtest.Reset,
}

// newFault makes the fault that in describes.
func newFault(in NewFault) (*fault, error) {
	f := &fault{spec: in}
	meets := simple[in.Fault]
	switch {
	case meets != nil:
	case in.Fault == "status" && in.Status >= 200 && in.Status <= 599:
		var header []string
		for name, value := range in.Headers {
			header = append(header, name, value)
		}
		meets = icloudtest.Status(in.Status, header...)
	case in.Fault == "status":
		return nil, badRequest("status must be 200 to 599")
	case in.Fault == "cut" && in.Bytes >= 0:
		meets = icloudtest.Cut(in.Bytes)
	default:
		return nil, badRequest("fault must be one of unauthorized, status, bad-gateway, captive-portal, missing-dsid, stall, reset and cut")
	}
	if in.After < 0 || in.Times < 0 || in.Bytes < 0 {
		return nil, badRequest("after, times and bytes must not be negative")
	}
	answers := meets
	meets = func(w http.ResponseWriter, r *http.Request) bool {
		f.met.Add(1) // before it answers, because it may never return
		if answers(w, r) {
			return true
		}
		f.met.Add(-1)
		return false
	}
	if in.For != "" {
		d, err := parseTime("for", in.For)
		if err != nil {
			return nil, err
		}
		meets = icloudtest.For(d, meets)
	}
	if in.Times > 0 {
		meets = icloudtest.Times(in.Times, meets)
	}
	if in.After > 0 {
		meets = icloudtest.After(in.After, meets)
	}
	path := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(in.Path), `\*`, ".*") + "$")
	f.meets = func(w http.ResponseWriter, r *http.Request) bool {
		user, _, _ := r.BasicAuth()
		return (in.Path == "" || path.MatchString(r.URL.Path)) &&
			(in.Method == "" || strings.EqualFold(in.Method, r.Method)) &&
			(in.Host == "" || strings.EqualFold(in.Host, r.Host) || strings.EqualFold(in.Host, hostname(r.Host))) &&
			(in.AppleID == "" || strings.EqualFold(in.AppleID, user)) &&
			meets(w, r)
	}
	return f, nil
}

func hostname(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}

// intercept answers a request with the first fault that applies.
func (w *world) intercept(rw http.ResponseWriter, r *http.Request) bool {
	w.mu.Lock()
	faults := w.faults // the slice is replaced and never changed
	w.mu.Unlock()
	for _, f := range faults {
		if f.meets(rw, r) {
			return true
		}
	}
	return false
}

func (f *fault) report() Fault { return Fault{f.id, int(f.met.Load()), f.spec} }

func (c *call) addFault() (any, error) {
	var in NewFault
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	f, err := newFault(in)
	if err != nil {
		return nil, err
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	f.id = strconv.Itoa(w.made)
	kept := []*fault{f}
	for _, old := range w.faults {
		if in.Name == "" || old.spec.Name != in.Name {
			kept = append(kept, old)
		}
	}
	w.faults = kept
	return f.report(), nil
}

func (c *call) listFaults() (any, error) {
	out := struct {
		Faults []Fault `json:"faults"`
	}{[]Fault{}}
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	for _, f := range c.world.faults {
		out.Faults = append(out.Faults, f.report())
	}
	return out, nil
}

// removeFaults ends all faults, and the requests that a fault has stalled.
func (c *call) removeFaults() (any, error) {
	c.world.mu.Lock()
	c.world.faults = nil
	c.world.mu.Unlock()
	c.world.letGo()
	return Done{}, nil
}

func (c *call) removeFault() (any, error) {
	w, id := c.world, c.request.PathValue("fault")
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.faults, func(f *fault) bool { return f.id == id })
	if i < 0 {
		return nil, notFound("fault")
	}
	w.faults = slices.Delete(slices.Clone(w.faults), i, i+1)
	return Done{}, nil
}

// letGo ends the requests that a fault has stalled.
func (w *world) letGo() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abort()
	w.aborted, w.abort = context.WithCancel(context.Background())
}

// The environment of the Clients of TestModel: the server's faults, and the Stores.

package icloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/go-icloud/icloud"
)

// modelFault is a fault of the server.
type modelFault struct {
	kind  string
	left  int           // how many requests it applies to; or
	until time.Time     // when it ends, if left is 0
	wait  time.Duration // Retry-After
}

// active says whether the fault applies to another request, and counts that.
func (f *modelFault) active() bool {
	switch {
	case f.kind == "":
		return false
	case f.left > 0:
		if f.left--; f.left == 0 {
			f.left = -1
		}
		return true
	}
	return f.left == 0 && time.Now().Before(f.until)
}

// drawFault draws a fault.
func drawFault(r *rand.Rand) modelFault {
	f := modelFault{kind: pick(r, "401", "401", "401", "401", "503", "503 wait", "503 wait", "429 wait", "403 wait", "reset", "500", "portal", "proxy", "cut", "stall")}
	if r.IntN(2) == 0 {
		f.left = 1 + r.IntN(4)
	} else {
		f.until = time.Now().Add(pick(r, time.Second, 30*time.Second, 5*time.Minute, 20*time.Minute, 90*time.Minute, 30*time.Hour))
	}
	f.wait = pick(r, 0, time.Second, 10*time.Second, 5*time.Minute, 2*time.Hour)
	return f
}

func (f modelFault) String() string {
	text := f.kind
	if strings.HasSuffix(f.kind, "wait") {
		text += fmt.Sprint(" ", f.wait)
	}
	if f.left > 0 {
		return fmt.Sprintf("%s to %d requests", text, f.left)
	}
	return fmt.Sprintf("%s for %v", text, time.Until(f.until).Round(time.Second))
}

// doFault begins a fault.
func (m *model) doFault(r *rand.Rand) {
	f := drawFault(r)
	m.mu.Lock()
	m.fault = f
	m.mu.Unlock()
	m.log("the server answers %v", f)
}

// doPhotoFault begins a fault of the photo host.
func (m *model) doPhotoFault(r *rand.Rand) {
	f := drawFault(r)
	m.mu.Lock()
	m.photos = f
	m.mu.Unlock()
	m.log("photos: the server answers %v", f)
}

// outcome is what an answer proves.
type outcome int

const (
	pending outcome = iota
	accepted
	refused // iCloud's own 401
	nothing // any other answer, or none
	lost    // the call's context ended before the answer came
)

// modelRequest is a request that was sent.
type modelRequest struct {
	op       *modelOp
	password *modelPassword
	probe    bool
	photo    bool
	get      bool
	cut      bool         // the answer broke off
	state    icloud.State // of the Client when it was sent
	start    time.Time
	end      time.Time
	outcome  outcome
}

// RoundTrip sends a request to the server. The answer is decided after half of the latency.
func (c *modelClient) RoundTrip(req *http.Request) (*http.Response, error) {
	o, _ := req.Context().Value(modelOpKey{}).(*modelOp)
	if o == nil {
		c.m.fail("panic", "%v has sent a request without the context of a call", c)
		return nil, errors.New("no context")
	}
	r := o.rand()
	q := c.requestStarts(o, req)
	c.m.mu.Lock()
	latency := c.m.latency
	c.m.mu.Unlock()
	latency = jitter(r, latency+time.Millisecond)
	there := time.Duration(r.Int64N(int64(latency)))
	err := pause(req.Context(), there)
	var resp *http.Response
	result := lost
	if err == nil {
		resp, result, err = c.answer(q, r, req)
	}
	if err == nil || result != lost {
		if e := pause(req.Context(), latency-there); e != nil {
			resp, result, err = nil, lost, e
		}
	}
	c.requestEnds(q, result, resp)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

// pause waits until a context ends at the latest.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer returns the server's answer, and what it proves.
func (c *modelClient) answer(q *modelRequest, r *rand.Rand, req *http.Request) (*http.Response, outcome, error) {
	m := c.m
	m.mu.Lock()
	fault := &m.fault
	if q.photo {
		fault = &m.photos
	}
	f := *fault
	if !fault.active() {
		f.kind = ""
	}
	m.mu.Unlock()
	if r.IntN(3) == 0 {
		f.wait /= 7 // another host asks for another wait
	}
	status, header := 0, http.Header{}
	header.Set("Content-Type", "text/plain")
	switch f.kind {
	case "401":
		header.Set("WWW-Authenticate", `X-MobileMe-AuthToken realm="MMCalDav", Basic realm="MMCalDav"`)
		return plain(401, header), refused, nil
	case "proxy":
		header.Set("WWW-Authenticate", `Basic realm="proxy"`)
		status = 401
	case "503":
		status = 503
	case "503 wait", "429 wait", "403 wait":
		header.Set("Retry-After", fmt.Sprint(int(f.wait/time.Second)))
		status = int(f.kind[0]-'0')*100 + int(f.kind[1]-'0')*10 + int(f.kind[2]-'0')
	case "500":
		status = 500
	case "portal":
		header.Set("Content-Type", "text/html")
		resp := plain(200, header)
		resp.Body = io.NopCloser(strings.NewReader("<html>Please sign in"))
		return resp, nothing, nil
	case "reset":
		return nil, nothing, io.ErrUnexpectedEOF
	case "stall":
		<-req.Context().Done()
		return nil, lost, req.Context().Err()
	}
	if status != 0 {
		return plain(status, header), nothing, nil
	}
	// The server is called as a handler, because connections would make the test much
	// slower.
	in := req.Clone(req.Context())
	in.Host, in.RequestURI = req.URL.Host, req.URL.RequestURI()
	in.Header.Del("Accept-Encoding")
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	m.srv.ServeHTTP(w, in)
	resp := w.Result()
	// A connection would do this.
	for name, values := range resp.Header {
		if canonical := http.CanonicalHeaderKey(name); canonical != name {
			delete(resp.Header, name)
			resp.Header[canonical] = values
		}
	}
	result := nothing
	switch {
	case q.photo:
	case resp.StatusCode == 401:
		result = refused
	case resp.StatusCode == 207, resp.StatusCode == 200 && req.Method == "GET":
		result = accepted
	}
	if f.kind == "cut" {
		m.mu.Lock()
		q.cut = true
		m.mu.Unlock()
		if q.probe && result == accepted {
			result = nothing // the answer names no principal
		}
		body := w.Body.Bytes()
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/3]), broken{}))
	}
	return resp, result, nil
}

// broken is the error of a connection that breaks.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// plain returns an answer without a body.
func plain(status int, header http.Header) *http.Response {
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: http.NoBody}
}

// newNeighbor returns a Client of another account of the Fleet.
func newNeighbor(m *model) *icloud.Client {
	m.calls++
	client, err := icloud.New(icloud.Credential{AppleID: fmt.Sprintf("neighbor%d@example.com", m.calls), Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
		Fleet: m.fleet,
		Transport: wire(func(r *http.Request, _ string) *http.Response {
			m.mu.Lock()
			outage := m.outage
			m.mu.Unlock()
			switch {
			case outage:
				return stray401()
			case r.Method == "GET":
				return answer(200, simCard)
			case r.URL.Path == "/":
				return answer(207, simPrincipal)
			case strings.HasSuffix(r.URL.Path, "principal/"):
				return answer(207, simHome)
			}
			return answer(207, simBook)
		}),
	})
	if err != nil {
		panic(err)
	}
	return client
}

// storeMode is how a Store fails.
type storeMode int

const (
	storeWorks storeMode = iota
	storeFailsToLoad
	storeFailsToSave
	storeFails
	storeHangs // until the context ends
	storeHangsInSave
)

func (s storeMode) String() string {
	return [...]string{"works", "fails to load", "fails to save", "fails", "hangs", "hangs in Save"}[s]
}

var errModelStore = errors.New("the Store's fault")

// modelStore keeps what the Clients of the account save, with dates of one clock.
type modelStore struct {
	m *model

	mu    sync.Mutex // not held while waiting, as model.mu
	data  []byte
	mode  storeMode
	slow  time.Duration
	saves int
}

func (s *modelStore) set(mode storeMode, slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode, s.slow = mode, slow
}

// doStore makes the Store fail, hang or work.
func (m *model) doStore(r *rand.Rand) {
	mode := pick(r, storeWorks, storeWorks, storeWorks, storeFailsToLoad, storeFailsToSave, storeFailsToSave, storeFails, storeHangs, storeHangsInSave)
	slow := pick(r, 0, 0, time.Second, 20*time.Second, 10*time.Minute)
	m.store.set(mode, slow)
	m.log("the Store %v, and takes up to %v", mode, slow)
}

// modelView is the Store of a Client with another clock. It shifts the dates in what is saved
// and loaded.
type modelView struct {
	store  *modelStore
	client *modelClient
}

// wait waits or fails as the mode of the Store says.
func (v *modelView) wait(ctx context.Context, save bool) error {
	o, _ := ctx.Value(modelOpKey{}).(*modelOp)
	if o == nil {
		v.store.m.fail("panic", "%v has used its Store without the context of a call", v.client)
		return errModelStore
	}
	r := o.rand()
	if save {
		v.store.m.mu.Lock()
		o.saves++
		v.store.m.mu.Unlock()
	} else {
		v.client.loadStarts(o)
	}
	v.store.mu.Lock()
	mode, slow := v.store.mode, v.store.slow
	v.store.mu.Unlock()
	if v.store.m.cfg.calm {
		return ctx.Err()
	}
	fails := mode == storeFails || mode == storeFailsToSave && save || mode == storeFailsToLoad && !save
	hangs := mode == storeHangs || mode == storeHangsInSave && save
	if fails || hangs || slow > 0 {
		v.store.m.mu.Lock()
		v.client.storeFails = true
		v.store.m.mu.Unlock()
	}
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := pause(ctx, jitter(r, slow+time.Microsecond)); err != nil {
		return err
	}
	if fails {
		return errModelStore
	}
	return nil
}

// Load implements icloud.Store.
func (v *modelView) Load(ctx context.Context, _ string) ([]byte, error) {
	if err := v.wait(ctx, false); err != nil {
		return nil, err
	}
	v.store.mu.Lock()
	data := bytes.Clone(v.store.data)
	v.store.mu.Unlock()
	return shiftDates(data, -v.client.worker.offset), nil
}

// Save implements icloud.Store.
func (v *modelView) Save(ctx context.Context, _ string, data []byte) error {
	if err := v.wait(ctx, true); err != nil {
		return err
	}
	v.store.m.checkSaved(data)
	data = shiftDates(bytes.Clone(data), v.client.worker.offset)
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	v.store.data = data
	v.store.saves++
	return nil
}

// shiftDates shifts all dates in JSON.
func shiftDates(data []byte, by time.Duration) []byte {
	if by == 0 || len(data) == 0 {
		return data
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	data, err := json.Marshal(shifted(v, by))
	if err != nil {
		panic(err)
	}
	return data
}

func shifted(v any, by time.Duration) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = shifted(v[name], by)
		}
	case []any:
		for i := range v {
			v[i] = shifted(v[i], by)
		}
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && !t.IsZero() {
			return t.Add(by).Format(time.RFC3339Nano)
		}
	}
	return v
}

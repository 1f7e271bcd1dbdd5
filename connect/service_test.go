package connect_test

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
	"github.com/go-icloud/icloud/icloudtest"
)

const base = "https://app.acme.example/icloud/"

// service is a product with some accounts, and the page that is tested.
type service struct {
	*connect.Handler
	icloud *icloudtest.Server

	// opts is the result of Config.Options, with a Transport to icloud.
	opts icloud.Options

	mu       sync.Mutex
	accounts map[string]*account
	session  string // the account that is signed in, or ""
	saveErr  error
}

// account is what the service has on record.
type account struct {
	cred  icloud.Credential
	saves int
	// client is returned by Config.Account if keep is set.
	client *icloud.Client
	keep   bool
}

// newService returns a service with the accounts "ann" and "bob", none of them
// connected. change, if not nil, changes the Config.
func newService(t *testing.T, change func(*connect.Config)) *service {
	t.Helper()
	s := &service{icloud: icloudtest.NewServer(), accounts: map[string]*account{"ann": {}, "bob": {}}}
	t.Cleanup(s.icloud.Close)
	config := connect.Config{
		Product:   "Acme & Sons",
		BaseURL:   base,
		Secret:    []byte(strings.Repeat("s", 32)),
		Account:   s.account,
		Save:      s.save,
		Identify:  s.identify,
		Options:   s.options,
		ReturnURL: "/settings?tab=contacts",
	}
	if change != nil {
		change(&config)
	}
	h, err := connect.New(config)
	if err != nil {
		t.Fatal(err)
	}
	s.Handler = h
	return s
}

func (s *service) account(_ context.Context, id string) (connect.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[id]
	if a == nil {
		return connect.Account{}, errors.New("no row")
	}
	account := connect.Account{AppleID: a.cred.AppleID, Generation: strconv.Itoa(a.saves)}
	if a.keep {
		account.Client = a.client
	}
	return account, nil
}

func (s *service) options(string) *icloud.Options {
	opts := s.opts
	opts.Transport = s.icloud.Transport()
	return &opts
}

func (s *service) save(_ context.Context, id string, cred icloud.Credential) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saveErr != nil {
		return s.saveErr
	}
	s.accounts[id].cred = cred
	s.accounts[id].saves++
	return nil
}

func (s *service) identify(*http.Request) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == "" {
		return "", errors.New("no session")
	}
	return s.session, nil
}

// saved returns the credential that was saved last, and the number of saves.
func (s *service) saved(id string) (icloud.Credential, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[id].cred, s.accounts[id].saves
}

// link returns a link that is valid for an hour.
func (s *service) link(t *testing.T, id string) string {
	t.Helper()
	link, err := s.Link(t.Context(), id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// connected connects an account, and gives its Client to the page from now on.
func (s *service) connected(t *testing.T, id string, cred icloud.Credential, opts icloud.Options) *icloud.Client {
	t.Helper()
	opts.Transport = s.icloud.Transport()
	client, err := icloud.New(cred, &opts)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id] = &account{cred: cred, client: client, keep: true, saves: 1}
	return client
}

// answer is an answer, with its text as a person sees it.
type answer struct {
	*httptest.ResponseRecorder
	text string
}

var (
	style = regexp.MustCompile(`(?s)<style.*?</style>`)
	tags  = regexp.MustCompile(`(?s)<[^>]*>`)
	space = regexp.MustCompile(`\s+`)
)

// do sends a request. headers are names and values in turn.
func (s *service) do(t *testing.T, r *http.Request, headers ...string) answer {
	t.Helper()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	text := tags.ReplaceAllString(style.ReplaceAllString(w.Body.String(), ""), " ")
	return answer{w, strings.TrimSpace(space.ReplaceAllString(html.UnescapeString(text), " "))}
}

func (s *service) get(t *testing.T, target string, headers ...string) answer {
	t.Helper()
	return s.do(t, httptest.NewRequestWithContext(t.Context(), "GET", target, nil), headers...)
}

// post sends the form. values are names and values in turn.
func (s *service) post(t *testing.T, target string, values ...string) answer {
	t.Helper()
	return s.do(t, form(t, target, values...))
}

// form returns a request with the form.
func form(t *testing.T, target string, values ...string) *http.Request {
	t.Helper()
	v := make(url.Values)
	for i := 0; i < len(values); i += 2 {
		v.Set(values[i], values[i+1])
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", target, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// wants checks the status, and that the text contains each of the parts.
func (a answer) wants(t *testing.T, status int, parts ...string) {
	t.Helper()
	if a.Code != status {
		t.Errorf("got status %d, want %d", a.Code, status)
	}
	for _, part := range parts {
		if !strings.Contains(a.text, part) {
			t.Errorf("the page does not say %q: %s", part, a.text)
		}
	}
	if a.Code >= 400 && strings.Contains(a.text, "{") {
		t.Errorf("a placeholder is left: %s", a.text)
	}
}

// hasForm says whether the page has a form.
func (a answer) hasForm() bool { return strings.Contains(a.Body.String(), "<form") }

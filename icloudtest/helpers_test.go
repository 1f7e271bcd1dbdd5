package icloudtest_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const canonical = "https://contacts.icloud.com"

// Bodies of requests, as clients send them.
const (
	askPrincipal = `<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`
	askHome      = `<propfind xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><prop><C:addressbook-home-set/></prop></propfind>`
	askETags     = `<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>`
	askQuery     = `<C:addressbook-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><prop><getetag/><C:address-data/></prop><C:filter/></C:addressbook-query>`
)

func askSync(token string) string {
	return `<sync-collection xmlns="DAV:"><sync-token>` + token + `</sync-token><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>`
}

func askCards(hrefs ...string) string {
	s := `<C:addressbook-multiget xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><prop><getetag/><C:address-data/></prop>`
	for _, href := range hrefs {
		s += "<href>" + href + "</href>"
	}
	return s + `</C:addressbook-multiget>`
}

// cardNamed returns a card with line ends of CRLF.
func cardNamed(name string) string {
	return "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + name + "\r\nFN:" + name + "\r\nEND:VCARD\r\n"
}

// session is a client of a Server with one credential.
type session struct {
	t    testing.TB
	srv  *icloudtest.Server
	cred icloud.Credential
	via  http.RoundTripper
}

// start starts a Server with a password. It is closed at the end of the test.
func start(t testing.TB) *session {
	t.Helper()
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	return &session{t, srv, srv.Issue(), srv.Transport()}
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
	err  error // the error with which the body ended
}

// try sends a request and returns the answer or the error. header has names and values in
// turn.
func (s *session) try(method, url, body string, header ...string) (answer, error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.cred.AppleID != "" {
		req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
	}
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = []string{header[i+1]}
	}
	resp, err := s.via.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp, string(data), err}, nil
}

// do is try, but fails the test if there is no answer.
func (s *session) do(method, url, body string, header ...string) answer {
	s.t.Helper()
	a, err := s.try(method, url, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

// want is do, but fails the test if the answer has another status.
func (s *session) want(status int, method, url, body string, header ...string) answer {
	s.t.Helper()
	a := s.do(method, url, body, header...)
	if a.StatusCode != status {
		s.t.Errorf("%s %s: got %s, want %d\n%s", method, url, a.Status, status, a.body)
	}
	return a
}

// principal returns the path of the principal, as discovery finds it.
func (s *session) principal() string {
	s.t.Helper()
	return s.rows("PROPFIND", canonical+"/", askPrincipal)[0].first("current-user-principal")
}

var partition = regexp.MustCompile(`^https://p\d{2,3}-contacts\.icloud\.com:443(/\d+/carddavhome/)$`)

// book returns the URL of the address book, as discovery finds it.
func (s *session) book() string {
	s.t.Helper()
	home := s.rows("PROPFIND", canonical+s.principal(), askHome)[0].first("addressbook-home-set")
	if !partition.MatchString(home) {
		s.t.Fatalf("home-set %q, want a partition host with its port", home)
	}
	return home + "card/"
}

// bookPath returns the path of book.
func (s *session) bookPath() string {
	s.t.Helper()
	return partition.FindStringSubmatch(strings.TrimSuffix(s.book(), "card/"))[1] + "card/"
}

// The rows of a multistatus, read by encoding/xml.
type (
	multistatus struct {
		XMLName xml.Name `xml:"DAV: multistatus"`
		Rows    []row    `xml:"DAV: response"`
		Token   string   `xml:"DAV: sync-token"`
	}
	row struct {
		Href     string     `xml:"DAV: href"`
		Status   *string    `xml:"DAV: status"`
		Propstat []propstat `xml:"DAV: propstat"`
	}
	propstat struct {
		Status string `xml:"DAV: status"`
		Prop   struct {
			Any []property `xml:",any"`
		} `xml:"DAV: prop"`
	}
	property struct {
		XMLName xml.Name
		Text    string     `xml:",chardata"`
		Any     []property `xml:",any"`
	}
)

// get returns the property and the status of its propstat.
func (r row) get(local string) (property, string) {
	for _, ps := range r.Propstat {
		for _, p := range ps.Prop.Any {
			if p.XMLName.Local == local {
				return p, ps.Status
			}
		}
	}
	return property{}, ""
}

// text returns the text of a property that exists.
func (r row) text(local string) string {
	p, status := r.get(local)
	if status != "HTTP/1.1 200 OK" {
		return ""
	}
	return p.Text
}

// first returns the text of the first element in a property, for example of an href.
func (r row) first(local string) string {
	p, _ := r.get(local)
	if len(p.Any) == 0 {
		return ""
	}
	return p.Any[0].Text
}

// id returns the last segment of the row's href.
func (r row) id() string { return r.Href[strings.LastIndex(r.Href, "/")+1:] }

// multistatus sends a request whose answer must be a multistatus.
func (s *session) multistatus(method, url, body string, header ...string) multistatus {
	s.t.Helper()
	a := s.want(http.StatusMultiStatus, method, url, body, header...)
	if a.err != nil {
		s.t.Fatal(a.err)
	}
	var ms multistatus
	if err := xml.Unmarshal([]byte(a.body), &ms); err != nil {
		s.t.Fatalf("%v in\n%s", err, a.body)
	}
	return ms
}

func (s *session) rows(method, url, body string, header ...string) []row {
	s.t.Helper()
	rows := s.multistatus(method, url, body, header...).Rows
	if len(rows) == 0 {
		s.t.Fatalf("%s %s: no rows", method, url)
	}
	return rows
}

// sync asks what has changed since token, and returns for each id the ETag, or the status of
// a removed card.
func (s *session) sync(token string) (changes map[string]string, order []string, next string) {
	s.t.Helper()
	ms := s.multistatus("REPORT", s.book(), askSync(token), "Depth", "0")
	changes = make(map[string]string)
	for _, row := range ms.Rows {
		if strings.TrimSuffix(row.Href, "/")+"/" == s.bookPath() && row.Status == nil {
			continue
		}
		id := row.id()
		if row.Status != nil {
			changes[id] = *row.Status
		} else {
			changes[id] = row.text("getetag")
		}
		order = append(order, id)
	}
	return changes, order, ms.Token
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

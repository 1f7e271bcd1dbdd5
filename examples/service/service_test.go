package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const day = 24 * time.Hour

// person is a customer, and what happens to their password.
type person struct {
	*icloudtest.Account
	id    string
	mails []mail
	want  []string // the mails that they should get, by a part of each
}

type mail struct {
	at         time.Time
	text, link string
}

// year is a service, its customers, and iCloud.
type year struct {
	*service
	t      *testing.T
	start  time.Time
	srv    *icloudtest.Server
	people []*person
}

func newYear(t *testing.T) *year {
	y := &year{t: t, start: time.Now(), srv: icloudtest.NewServer()}
	t.Cleanup(y.srv.Close)
	nobody := func(*http.Request) (string, error) { return "", errors.New("nobody is signed in") }
	s, err := newService("https://app.acme.example/icloud/", []byte(strings.Repeat("s", 32)), memory{make(map[string][]byte)},
		icloud.Options{Transport: y.srv.Transport()}, nobody)
	if err != nil {
		t.Fatal(err)
	}
	s.every = 12 * time.Hour
	y.service = s
	s.mail = func(_ context.Context, id, text, link string) {
		i := slices.IndexFunc(y.people, func(p *person) bool { return p.id == id })
		y.people[i].mails = append(y.people[i].mails, mail{time.Now(), text, link})
	}
	for i := range 20 {
		p := &person{id: fmt.Sprint("customer-", i), Account: y.srv.Account(fmt.Sprintf("person%d@example.com", i))}
		for j := range 5 {
			p.put(j, "first")
		}
		y.people = append(y.people, p)
		s.add(p.id)
	}
	return y
}

func (p *person) put(i int, name string) {
	p.Put(fmt.Sprintf("%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%d\r\nFN:%s\r\nEND:VCARD\r\n", i, name))
}

// memory is a Store. DirStore waits for a disk at each Save, of which a year has many.
type memory struct{ m map[string][]byte }

func (s memory) Load(_ context.Context, key string) ([]byte, error) {
	return slices.Clone(s.m[key]), nil
}

func (s memory) Save(_ context.Context, key string, data []byte) error {
	s.m[key] = slices.Clone(data)
	return nil
}

func (s memory) Forget(_ context.Context, key string) error {
	delete(s.m, key)
	return nil
}

// until runs the service until a day.
func (y *year) until(d float64) {
	ctx, cancel := context.WithDeadline(y.t.Context(), y.start.Add(time.Duration(d*float64(day))))
	defer cancel()
	y.work(ctx)
}

// connect enters a new password on the page, behind a link.
func (y *year) connect(p *person, link string) {
	y.t.Helper()
	cred := p.Issue()
	form := url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}, "fresh": {"yes"}}
	r := httptest.NewRequest("POST", link, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	y.page.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		y.t.Fatalf("%s: the page answered %d: %s", p.id, w.Code, w.Body)
	}
}

func (y *year) invite(p *person) {
	y.t.Helper()
	link, err := y.page.Link(y.t.Context(), p.id, day)
	if err != nil {
		y.t.Fatal(err)
	}
	y.connect(p, link)
}

func (y *year) support(p *person) string {
	r := httptest.NewRequest("GET", "/status/"+p.id, nil)
	r.SetPathValue("id", p.id)
	w := httptest.NewRecorder()
	y.status(w, r)
	return w.Body.String()
}

// TestYear: every customer gets the right mails, a customer who has nothing to do gets
// none, and the contacts are those of the address books.
func TestYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYear(t)
		rnd := rand.New(rand.NewPCG(1, 2))
		expire, renew, revoked, late, gone, well := y.people[0:3], y.people[3:5], y.people[5:8], y.people[8:10], y.people[10], y.people[11:]
		for _, p := range slices.Concat(expire, renew) {
			y.invite(p)
			p.want = []string{"may stop working around 31 December"}
		}
		for _, p := range expire {
			p.want = append(p.want, "because of its age")
		}
		for _, p := range slices.Concat(revoked, late) {
			p.want = []string{"was removed"}
		}
		y.until(50)
		for _, p := range slices.Concat(revoked, late, []*person{gone}, well) {
			y.invite(p)
		}
		edit := func() {
			for _, p := range y.people {
				p.put(rnd.IntN(9), fmt.Sprint(rnd.Int()))
				p.Delete(fmt.Sprintf("%d.vcf", rnd.IntN(9)))
			}
		}
		y.until(100)
		edit()
		for _, p := range slices.Concat(revoked, late) {
			p.RevokeAll()
		}
		y.until(130)
		edit()
		for i, p := range late {
			if len(p.mails) == 0 {
				t.Fatalf("%s was told nothing", p.id)
			}
			y.connect(p, p.mails[0].link)
			if got := y.support(p); i == 0 && !strings.HasPrefix(got, "active") {
				t.Errorf("support sees %q, want active", got)
			}
		}
		if got := y.support(revoked[0]); !strings.HasPrefix(got, "signed out") || !strings.Contains(got, "was removed") {
			t.Errorf("support sees %q, want signed out, and why", got)
		}
		// For five hours iCloud refuses everybody.
		y.until(149)
		y.every = 20 * time.Minute
		y.until(150)
		y.srv.SetIntercept(icloudtest.For(5*time.Hour, icloudtest.Unauthorized))
		y.until(151)
		y.every = 12 * time.Hour
		// For ten days iCloud answers one customer's requests with nothing.
		y.srv.SetIntercept(func(w http.ResponseWriter, r *http.Request) bool {
			user, _, _ := r.BasicAuth()
			return user == well[0].AppleID() && icloudtest.Stall(w, r)
		})
		before := well[1].Requests()
		y.until(161)
		if n := well[1].Requests() - before; n < 15 {
			t.Errorf("got %d requests for another customer in ten days, want at least 15", n)
		}
		y.srv.SetIntercept(nil)
		y.until(200)
		edit()
		key, err := icloud.AccountKey("", gone.AppleID())
		if err != nil {
			t.Fatal(err)
		}
		if data, err := y.store.Load(t.Context(), key); err != nil || len(data) == 0 {
			t.Errorf("before forget: got %d bytes, %v", len(data), err)
		}
		if err := y.forget(t.Context(), gone.id); err != nil {
			t.Error(err)
		}
		asked := gone.Requests()
		y.until(340)
		for _, p := range renew {
			if len(p.mails) == 0 {
				t.Fatalf("%s was not warned", p.id)
			}
			y.connect(p, p.mails[0].link)
		}
		y.until(360)
		edit()
		y.until(370)
		if data, err := y.store.Load(t.Context(), key); err != nil || data != nil || gone.Requests() != asked {
			t.Errorf("forgotten: got %d bytes, %v, and %d requests more", len(data), err, gone.Requests()-asked)
		}
		for _, p := range y.people {
			told := len(p.mails) == len(p.want)
			for i := range min(len(p.mails), len(p.want)) {
				told = told && strings.Contains(p.mails[i].text, p.want[i])
			}
			if !told {
				t.Errorf("%s: got %v, want %q", p.id, p.mails, p.want)
			}
		}
		for _, p := range slices.Concat(renew, late, well) {
			c, _ := y.row(p.id, read)
			n := 0
			for id, vcard := range p.Cards() {
				if n++; c.book[id] != vcard {
					t.Errorf("%s: got card %s %q, want %q", p.id, id, c.book[id], vcard)
				}
			}
			if len(c.book) != n {
				t.Errorf("%s: got %d cards, want %d", p.id, len(c.book), n)
			}
		}
		// The contacts stay when the password has died.
		for _, p := range revoked {
			if c, _ := y.row(p.id, read); len(c.book) == 0 {
				t.Errorf("%s: the contacts are gone", p.id)
			}
		}
	})
}

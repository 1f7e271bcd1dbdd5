package icloud_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// memoryStore is a Store for one account. A test can read its data and make it fail.
type memoryStore struct {
	mu       sync.Mutex
	data     []byte
	keys     map[string]bool
	loads    int
	saves    int
	failLoad error
	failSave error
}

func (s *memoryStore) Load(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(key)
	s.loads++
	if s.failLoad != nil {
		return nil, s.failLoad
	}
	return bytes.Clone(s.data), ctx.Err()
}

func (s *memoryStore) Save(ctx context.Context, key string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(key)
	if s.failSave != nil {
		return s.failSave
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.saves++
	s.data = bytes.Clone(data)
	return nil
}

func (s *memoryStore) note(key string) {
	if s.keys == nil {
		s.keys = make(map[string]bool)
	}
	s.keys[key] = true
}

// set changes the saved JSON.
func (s *memoryStore) set(t *testing.T, change func(map[string]any)) {
	t.Helper()
	data := s.get(t)
	change(data)
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	s.data = text
}

// get returns the saved data.
func (s *memoryStore) get(t *testing.T) map[string]any {
	t.Helper()
	data := map[string]any{}
	if len(s.data) > 0 {
		if err := json.Unmarshal(s.data, &data); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// TestLatchOutlivesTheClient: a new Client with the same Store returns an equal verdict,
// without a request and without a call of OnStatus.
func TestLatchOutlivesTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: icloud.DirStore(t.TempDir())})
		r.mustList()
		time.Sleep(100*day + 123456789)
		r.mustList()
		r.srv.RevokeAll()
		doubt := verdictOf(t, r.list())
		r.toldSoFar()

		r.restart()
		if got := r.Status().State; got != icloud.Untested {
			t.Errorf("before the first call: got state %v, want untested", got)
		}
		if n := r.requests(func() {
			if ae := verdictOf(t, r.list()); *ae != *doubt || !reflect.DeepEqual(ae, doubt) {
				t.Errorf("got %+v, want %+v", ae, doubt)
			}
		}); n != 0 {
			t.Errorf("in doubt: got %d requests within the minute, want 0", n)
		}
		if told := r.toldSoFar(); told != "" {
			t.Errorf("OnStatus was told %q, want nothing", told)
		}
		time.Sleep(15 * time.Minute)
		final := verdictOf(t, r.list())
		if !final.Confirmed || !final.Refused.Equal(doubt.Refused) {
			t.Errorf("got %v, want it confirmed: the dwell began before the restart", final)
		}
		if told := r.toldSoFar(); told != "signed out" {
			t.Errorf("OnStatus was told %q", told)
		}
		for range 3 {
			r.restart()
			n := r.requests(func() {
				for range 10 {
					if ae := verdictOf(t, r.list()); *ae != *final {
						t.Errorf("got %+v, want %+v", ae, final)
					}
					if ae := verdictOf(t, r.Authenticate(t.Context())); *ae != *final {
						t.Errorf("Authenticate: got %+v, want %+v", ae, final)
					}
				}
			})
			if n != 0 {
				t.Errorf("got %d requests, want 0", n)
			}
			if got := r.Status(); got.State != icloud.SignedOut || got.Err == nil {
				t.Errorf("got status %+v, want signed out", got)
			}
			if told := r.toldSoFar(); told != "" {
				t.Errorf("OnStatus was told %q, want nothing", told)
			}
		}
		// All Clients together send one probe a day.
		n := r.requests(func() {
			for range 10 * 24 {
				time.Sleep(time.Hour)
				r.restart()
				_ = r.list()
			}
		})
		if n != 10 {
			t.Errorf("got %d requests in 10 days, want 10", n)
		}
		// The verdict does not apply to another password of the account.
		r.cred = r.srv.Issue()
		r.restart()
		r.mustList()
		// The verdict about the old password is still known.
		r.cred.Password = icloud.UncheckedPassword(r.cred.Password.Reveal() + "x")
		r.restart()
		if ae := verdictOf(t, r.list()); ae.Err != icloud.ErrPasswordRejected {
			t.Errorf("a password never seen: got %v", ae)
		}
	})
}

// TestReconnectOutlivesTheClient: a new Client knows what was learned of the new password.
func TestReconnectOutlivesTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		r.mustList()
		r.srv.RevokeAll()
		_ = r.list()
		time.Sleep(time.Hour)
		final := verdictOf(t, r.list())
		old := r.cred
		r.cred = r.srv.Issue()
		if err := r.Reconnect(t.Context(), r.cred); err != nil {
			t.Fatal(err)
		}
		r.mustList()
		r.toldSoFar()
		r.restart()
		r.mustList()
		if told := r.toldSoFar(); told != "" {
			t.Errorf("OnStatus was told %q, want nothing", told)
		}
		if got := len(store.get(t)["passwords"].([]any)); got != 2 {
			t.Errorf("got %d passwords, want 2", got)
		}
		// A worker with the old password keeps its verdict, and its probe does not undo
		// the Reconnect.
		newer := r.cred
		r.cred = old
		r.restart()
		if ae := verdictOf(t, r.list()); *ae != *final {
			t.Errorf("got %+v, want %+v", ae, final)
		}
		time.Sleep(25 * time.Hour)
		_ = r.list()
		r.cred = newer
		r.restart()
		if n := r.requests(r.mustList); n != 1 {
			t.Errorf("got %d requests, want 1: the book is remembered", n)
		}
	})
}

// TestWrongOnesAreForgottenFirst: if the owner tries many passwords, the Client does not forget
// what it knows of its own.
func TestWrongOnesAreForgottenFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		r.mustList()
		r.srv.RevokeAll()
		_ = r.list()
		time.Sleep(time.Hour)
		final := verdictOf(t, r.list())
		for i := range 10 {
			time.Sleep(time.Minute)
			verdictOf(t, r.Reconnect(t.Context(), icloud.Credential{AppleID: r.cred.AppleID, Password: icloud.UncheckedPassword(fmt.Sprint("wrong", i))}))
		}
		// The good password, and two that have never worked.
		if got := len(store.get(t)["passwords"].([]any)); got != 3 {
			t.Errorf("got %d passwords, want 3", got)
		}
		r.restart()
		if n := r.requests(func() {
			if ae := verdictOf(t, r.list()); *ae != *final {
				t.Errorf("got %+v, want %+v", ae, final)
			}
		}); n != 0 {
			t.Errorf("got %d requests, want 0", n)
		}
	})
}

// TestSavedSecrets: the saved data contains no form of the password that reveals it, no account
// name and no contact.
func TestSavedSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		var all []string
		keep := func() { all = append(all, string(store.data)) }
		r.mustList()
		keep()
		_, _ = r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
		_, _ = r.Put(t.Context(), "secret-id.vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Person 9\r\nEND:VCARD\r\n"), "")
		r.srv.Delete("secret-id.vcf")
		r.srv.RevokeAll()
		_ = r.list()
		keep()
		time.Sleep(time.Hour)
		_ = r.list()
		keep()
		_ = r.Reconnect(t.Context(), icloud.Credential{AppleID: r.cred.AppleID, Password: icloud.UncheckedPassword("hunter2-hunter2")})
		keep()
		next := r.srv.Issue()
		if err := r.Reconnect(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		keep()
		secrets := map[string]string{
			"account": r.cred.AppleID, "contact": "Person ", "card": "BEGIN:", "ID": "secret-id",
		}
		for _, p := range []string{r.cred.Password.Reveal(), "hunter2-hunter2", next.Password.Reveal()} {
			for _, form := range []string{p, strings.ReplaceAll(p, "-", ""), strings.ToUpper(p), r.cred.AppleID + ":" + p} {
				name := "password " + form
				secrets[name] = form
				for h, sum := range map[string][]byte{
					"md5": sum(md5.Sum([]byte(form))), "sha1": sum20(sha1.Sum([]byte(form))),
					"sha256": sum32(sha256.Sum256([]byte(form))), "sha512": sum64(sha512.Sum512([]byte(form))), "plain": []byte(form),
				} {
					secrets[h+" hex of "+form] = hex.EncodeToString(sum)
					secrets[h+" base64 of "+form] = base64.StdEncoding.EncodeToString(sum)
					secrets[h+" base64url of "+form] = base64.RawURLEncoding.EncodeToString(sum)
				}
			}
		}
		for i, text := range all {
			for name, secret := range secrets {
				if strings.Contains(strings.ToLower(text), strings.ToLower(strings.TrimRight(secret, "="))) {
					t.Errorf("what was saved at step %d holds the %s", i, name)
				}
			}
		}
		// Each salt is different, so equal passwords cannot be recognized.
		other := &memoryStore{}
		r.opts.Store = other
		r.cred = next
		r.restart()
		r.mustList()
		salts := regexp.MustCompile(`"(salt|hash)":"([^"]+)"`)
		for _, m := range salts.FindAllStringSubmatch(string(other.data), -1) {
			if raw, err := base64.StdEncoding.DecodeString(m[2]); err != nil || len(raw) < 16 || bytes.Contains(store.data, []byte(m[2])) {
				t.Errorf("%s %q: %v, want at least 16 bytes not used before", m[1], m[2], err)
			}
		}
		if !strings.Contains(string(other.data), `"hash"`) {
			t.Error("found no hash")
		}
		// Keys are hashes too.
		for key := range store.keys {
			if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(key) {
				t.Errorf("got key %q, want 64 hexadecimal digits", key)
			}
		}
		if len(store.keys) != 1 || len(other.keys) != 1 || !maps.Equal(store.keys, other.keys) {
			t.Errorf("got keys %v and %v, want one", store.keys, other.keys)
		}
	})
}

func sum(s [16]byte) []byte { return s[:] }

func sum20(s [20]byte) []byte { return s[:] }

func sum32(s [32]byte) []byte { return s[:] }

func sum64(s [64]byte) []byte { return s[:] }

// TestKey: all spellings of an account have one key, and other accounts or endpoints have other
// keys.
func TestKey(t *testing.T) {
	t.Parallel()
	key := func(appleID, endpoint string) string {
		store := &memoryStore{failLoad: errors.New("no")}
		c, err := icloud.New(icloud.Credential{AppleID: appleID, Password: icloud.UncheckedPassword("x")}, &icloud.Options{Endpoint: endpoint, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Authenticate(t.Context())
		return slices.Collect(maps.Keys(store.keys))[0]
	}
	want := key("ada@example.com", "")
	for _, same := range [][2]string{{"Ada@Example.com", ""}, {" ada@example.com\n", ""}, {"ada@example.com", "https://contacts.icloud.com"},
		{"ada@example.com", "https://CONTACTS.icloud.com./"}, {"ada@example.com", "https://contacts.icloud.com:443"}} {
		if got := key(same[0], same[1]); got != want {
			t.Errorf("%q: got another key", same)
		}
	}
	for _, other := range [][2]string{{"eda@example.com", ""}, {"ada@example.com", icloud.ChinaEndpoint}, {"ada@example.com", "https://contacts.icloud.com/x"}} {
		if got := key(other[0], other[1]); got == want {
			t.Errorf("%q: got the same key", other)
		}
	}
}

// TestSavesAtMostHourly: while the password works, the Store is written once an hour, however
// many calls and Clients there are.
func TestSavesAtMostHourly(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &memoryStore{}
			r := newRig(t, icloud.Options{Store: store})
			r.mustList()
			before := store.saves
			for range 12 * 20 {
				time.Sleep(3 * time.Minute)
				if restart {
					r.restart()
				}
				r.mustList()
			}
			if got := store.saves - before; got < 10 || got > 12 {
				t.Errorf("restart %v: got %d saves in 12 hours, want about 12 and no more", restart, got)
			}
			// It is read at most once a minute, to learn of a doubt of another
			// Client.
			if looks := 12 * 20; !restart && store.loads > 1+store.saves+looks {
				t.Errorf("got %d loads for %d saves", store.loads, store.saves)
			}
			var last time.Time
			for _, p := range store.get(t)["passwords"].([]any) {
				last, _ = time.Parse(time.RFC3339Nano, p.(map[string]any)["last_accepted"].(string))
			}
			if time.Since(last) > time.Hour {
				t.Errorf("the last acceptance saved was %v ago", time.Since(last))
			}
		})
	}
}

// TestSavedBeforeReturned: a verdict is saved before it is returned.
func TestSavedBeforeReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		told := ""
		r := newRig(t, icloud.Options{Store: store, OnStatus: func(context.Context, icloud.Status) { told = string(store.data) }})
		r.mustList()
		r.srv.RevokeAll()
		if strings.Contains(string(store.data), "verdict") {
			t.Fatal("a verdict before there is one")
		}
		_ = r.list()
		if !strings.Contains(string(store.data), `"revoked"`) || told != string(store.data) {
			t.Errorf("when it was returned the Store had %s, when it was told %s", store.data, told)
		}
		time.Sleep(time.Hour)
		_ = r.list()
		if !strings.Contains(string(store.data), `"confirmed":true`) || told != string(store.data) {
			t.Errorf("when it was returned the Store had %s, when it was told %s", store.data, told)
		}
	})
}

// TestSaveFails: a verdict is returned with the Store's error until it can be saved. A call that
// succeeds does not return that error.
func TestSaveFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full at /var/lib/account1")
		store := &memoryStore{failSave: full}
		r := newRig(t, icloud.Options{Store: store})
		for range 5 {
			r.mustList()
		}
		store.failSave = nil
		r.mustList() // saves again, although no hour has passed
		if store.saves != 1 {
			t.Errorf("got %d saves, want 1", store.saves)
		}
		store.failSave = full
		r.srv.RevokeAll()
		for i := range 3 {
			err := r.list()
			ae := verdictOf(t, err)
			if !errors.Is(err, full) || ae.Confirmed {
				t.Errorf("call %d: got %v, want the verdict and the Store's error", i, err)
			}
			if strings.Contains(err.Error(), "/var/lib") {
				t.Errorf("the error repeats the Store's: %v", err)
			}
		}
		time.Sleep(time.Hour)
		err := r.list()
		if final := verdictOf(t, err); !errors.Is(err, full) || !final.Confirmed {
			t.Errorf("got %v, want it confirmed, and the Store's error", err)
		}
		if n := r.requests(func() {
			if err := r.list(); !errors.Is(err, full) {
				t.Errorf("got %v, want the Store's error too", err)
			}
		}); n != 0 {
			t.Errorf("got %d requests, want 0", n)
		}
		store.failSave = nil
		err = r.list()
		if verdictOf(t, err); errors.Is(err, full) {
			t.Errorf("got %v, want no more of the Store's error", err)
		}
		r.restart()
		if n := r.requests(func() { verdictOf(t, r.list()) }); n != 0 {
			t.Errorf("after a restart: got %d requests, want 0", n)
		}
		if got, want := r.toldSoFar(), "active, doubted, signed out"; got != want {
			t.Errorf("OnStatus was told %q, want %q", got, want)
		}
		// The Load before a save can fail too. Reconnect works nevertheless.
		store.failLoad = full
		r.cred = r.srv.Issue()
		if err := r.Reconnect(t.Context(), r.cred); err != nil {
			t.Errorf("Reconnect: got %v, want no error", err)
		}
		store.failLoad = nil
		r.mustList()
		r.restart()
		if n := r.requests(r.mustList); n != 1 {
			t.Errorf("after a restart: got %d requests, want 1", n)
		}
	})
}

// TestLoadFails: a Client that cannot read whether its password is refused does not send it.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("connection refused to db.internal")
		store := &memoryStore{failLoad: broken}
		r := newRig(t, icloud.Options{Store: store})
		n := r.requests(func() {
			for name, err := range map[string]error{
				"Contacts": r.list(), "Authenticate": r.Authenticate(t.Context()), "Reconnect": r.Reconnect(t.Context(), r.cred),
			} {
				noVerdict(t, err)
				if !errors.Is(err, broken) || strings.Contains(err.Error(), "db.internal") {
					t.Errorf("%s: got %q", name, err)
				}
			}
		})
		if n != 0 || store.saves != 0 {
			t.Errorf("got %d requests and %d saves, want none", n, store.saves)
		}
		if got := r.Status().State; got != icloud.Untested {
			t.Errorf("got state %v, want untested", got)
		}
		store.failLoad = nil
		r.mustList()
	})
}

// TestCorruptData: corrupt data is an error that names the key, and is not overwritten. Empty
// data means none.
func TestCorruptData(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		r.mustList()
		good := bytes.Clone(store.data)
		for _, data := range []string{
			"x", "{", "[]", "null", `"x"`, "1", `{"v":"x"}`, `{"v":1,"passwords":{}}`, `{"v":1,"passwords":["x"]}`, `{"v":1,"passwords":[null]}`,
			`{"v":1,"passwords":[{"salt":"AA==","hash":"AA==","refused":"yesterday"}]}`, `{"v":1}{"v":1}`, "\x00\x01", string(good[:len(good)/2]), string(good) + "x",
			"<html>" + r.cred.AppleID,
		} {
			store.data = []byte(data)
			r.restart()
			before := store.saves
			n := r.requests(func() {
				for _, err := range []error{r.list(), r.Authenticate(t.Context())} {
					noVerdict(t, err)
					key := slices.Collect(maps.Keys(store.keys))[0]
					if !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), r.cred.AppleID) {
						t.Errorf("data %q: got %q, want an error that names the key", data, err)
					}
				}
			})
			if n != 0 || store.saves != before || string(store.data) != data {
				t.Errorf("data %q: got %d requests, and data %q", data, n, store.data)
			}
		}
		for _, data := range []string{"", " \n", "{}", `{"v":1}`, `{"v":1,"passwords":null}`, `{"v":1,"passwords":[]}`, `{"v":1,"passwords":[{}]}`,
			`{"v":1,"book":"","home":""}`, `{"v":1,"passwords":[{"salt":"","hash":"","verdict":{"reason":"revoked","confirmed":true},"refused":"2000-01-01T00:00:00Z"}]}`} {
			store.data = []byte(data)
			r.restart()
			r.mustList()
			if !strings.Contains(string(store.data), "last_accepted") {
				t.Errorf("after data %q, %s is saved", data, store.data)
			}
		}
		// If the data becomes corrupt while the Client runs, the verdict is returned
		// with the error, and the data is not overwritten.
		r.srv.RevokeAll()
		store.data = []byte("corrupt")
		err := r.list()
		verdictOf(t, err)
		if !strings.Contains(err.Error(), "corrupt") || string(store.data) != "corrupt" {
			t.Errorf("got %v, and data %q", err, store.data)
		}
	})
}

// TestOtherVersions: fields of a later version are kept when this one saves. For a verdict that
// this version does not know, a probe is sent.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		r.mustList()
		store.set(t, func(data map[string]any) {
			data["v"] = 7
			data["later"] = map[string]any{"a": []any{1.5, "b"}}
			p := data["passwords"].([]any)[0].(map[string]any)
			p["later"] = "x"
			p["verdict"] = map[string]any{"reason": "moved", "certainty": 9, "confirmed": true}
			p["refused"], p["asked"] = time.Now().Format(time.RFC3339), time.Now().Format(time.RFC3339)
		})
		r.restart()
		time.Sleep(2 * time.Hour)
		r.mustList()
		got := store.get(t)
		p := got["passwords"].([]any)[0].(map[string]any)
		if got["v"] != 7.0 || fmt.Sprint(got["later"]) != "map[a:[1.5 b]]" || p["later"] != "x" {
			t.Errorf("got %v", got)
		}
		r.srv.RevokeAll()
		_ = r.list()
		time.Sleep(time.Hour)
		_ = r.list()
		got = store.get(t)
		p = got["passwords"].([]any)[0].(map[string]any)
		if got["v"] != 7.0 || fmt.Sprint(got["later"]) != "map[a:[1.5 b]]" || p["later"] != "x" {
			t.Errorf("after a verdict: got %v", got)
		}
		// Data of an older version needs only the hash.
		store.set(t, func(data map[string]any) {
			delete(data, "v")
			delete(data, "book")
			delete(data, "later")
			data["passwords"] = []any{map[string]any{"salt": p["salt"], "hash": p["hash"]}}
		})
		r.cred.Issued = time.Time{}
		r.restart()
		if ae := verdictOf(t, r.list()); ae.Err != icloud.ErrPasswordRejected || ae.Confirmed {
			t.Errorf("got %v", ae)
		}
		// A certainty above the largest counts as the largest.
		store.set(t, func(data map[string]any) {
			p := data["passwords"].([]any)[0].(map[string]any)
			p["verdict"].(map[string]any)["certainty"] = 99
		})
		r.restart()
		if ae := verdictOf(t, r.list()); ae.Certainty > icloud.Certain || !strings.Contains(ae.Error(), "certain") {
			t.Errorf("got %v", ae)
		}
	})
}

// hangingStore returns only when the context ends.
type hangingStore struct {
	icloud.Store
	load, save bool
}

func (s *hangingStore) Load(ctx context.Context, key string) ([]byte, error) {
	if s.load {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.Load(ctx, key)
}

func (s *hangingStore) Save(ctx context.Context, key string, data []byte) error {
	if s.save {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Save(ctx, key, data)
}

// TestStoreHangs: every call returns when its own context ends, and not when that of another call
// ends. Status does not wait.
func TestStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hangingStore{Store: &memoryStore{}, load: true}
		r := newRig(t, icloud.Options{Store: store})
		call := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			start := time.Now()
			err := r.listCtx(ctx)
			if took := time.Since(start); took > d {
				t.Errorf("a call of %v took %v", d, took)
			}
			return err
		}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				err := call(time.Duration(i+1) * time.Second)
				noVerdict(t, err)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the deadline", err)
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		_ = r.Status()
		if took := time.Since(start); took > 0 {
			t.Errorf("Status took %v", took)
		}
		wg.Wait()
		store.load = false
		if err := call(time.Second); err != nil {
			t.Errorf("got %v, want no error", err)
		}

		// If Save hangs, a call that succeeds returns at the latest when its context
		// ends, and a refusal comes with the error of the Store.
		time.Sleep(2 * time.Hour)
		store.save = true
		if err := call(time.Second); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		r.srv.RevokeAll()
		for range 3 {
			err := call(time.Second)
			if ae := verdictOf(t, err); ae.Confirmed || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want a doubt and the deadline", err)
			}
		}
		store.save = false
		err := call(time.Second)
		if ae := verdictOf(t, err); ae.Confirmed || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a doubt alone", err)
		}
	})
}

// TestTwoClients: two Clients of one account on one Store share what they learn,
// and neither undoes what the other has learned.
func TestTwoClients(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *rig, *rig){
		"the dwell is shared": func(t *testing.T, a, b *rig) {
			a.mustList()
			b.mustList()
			a.srv.RevokeAll()
			doubt := verdictOf(t, a.list())
			time.Sleep(16 * time.Minute)
			if ae := verdictOf(t, b.list()); !ae.Confirmed || !ae.Refused.Equal(doubt.Refused) {
				t.Errorf("got %v, want it confirmed", ae)
			}
			if told := a.toldSoFar() + "; " + b.toldSoFar(); strings.Count(told, "signed out") != 1 {
				t.Errorf("OnStatus was told %q", told)
			}
			// The other Client learns of it at its next call, and does not report it
			// again.
			if ae := verdictOf(t, a.list()); !ae.Confirmed {
				t.Errorf("got %v, want it confirmed", ae)
			}
			if told := a.toldSoFar(); strings.Contains(told, "signed out") {
				t.Errorf("OnStatus was told %q, a second time", told)
			}
		},
		"a later acceptance wins": func(t *testing.T, a, b *rig) {
			a.mustList()
			b.mustList()
			a.srv.Intercept = icloudtest.For(20*time.Minute, icloudtest.Unauthorized)
			_ = a.list()
			time.Sleep(10 * time.Minute)
			a.srv.Intercept = nil
			time.Sleep(time.Hour)
			b.mustList() // and saves
			a.srv.Intercept = icloudtest.For(time.Minute, icloudtest.Unauthorized)
			if ae := verdictOf(t, a.list()); ae.Confirmed || !ae.Refused.Equal(time.Now()) {
				t.Errorf("got %v since %v, want a new doubt: the password has worked since", ae, ae.Refused)
			}
		},
		"both meet the 401 at once": func(t *testing.T, a, b *rig) {
			a.mustList()
			b.mustList()
			a.srv.RevokeAll()
			for range 2 {
				var wg sync.WaitGroup
				for _, r := range []*rig{a, b} {
					wg.Go(func() { verdictOf(t, r.list()) })
				}
				wg.Wait()
				time.Sleep(16 * time.Minute)
			}
			x, y := verdictOf(t, a.list()), verdictOf(t, b.list())
			if *x != *y || !x.Confirmed {
				t.Errorf("got %+v and %+v", x, y)
			}
			// A Store has no transactions, so both Clients may report the verdict.
			// At least one must, and none twice.
			one, other := a.toldSoFar(), b.toldSoFar()
			first, second := strings.Count(one, "signed out"), strings.Count(other, "signed out")
			if first > 1 || second > 1 || first+second == 0 {
				t.Errorf("OnStatus was told %q and %q", one, other)
			}
		},
		"one is latched, the other reconnects": func(t *testing.T, a, b *rig) {
			a.mustList()
			b.mustList()
			a.srv.RevokeAll()
			_, _ = a.list(), b.list()
			time.Sleep(time.Hour)
			_, _ = a.list(), b.list()
			next := a.srv.Issue()
			if err := a.Reconnect(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			for range 30 {
				time.Sleep(5 * time.Hour)
				a.mustList()
				verdictOf(t, b.list())
			}
			a.cred = next
			a.restart()
			if n := a.requests(a.mustList); n != 1 {
				t.Errorf("got %d requests, want 1", n)
			}
			if err := b.Reconnect(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			b.mustList()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &memoryStore{}
				a := newRig(t, icloud.Options{Store: store})
				b := &rig{t: t, srv: a.srv, cred: a.cred, opts: a.opts}
				b.opts.OnStatus = func(_ context.Context, s icloud.Status) {
					b.mu.Lock()
					defer b.mu.Unlock()
					b.told = append(b.told, s.State.String())
				}
				b.restart()
				test(t, a, b)
			})
		})
	}
}

// TestExpiringIsTold: a service whose processes end before its passwords gets Expiring from
// OnStatus, once.
func TestExpiringIsTold(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, icloud.Options{Store: &memoryStore{}})
			for range 360 * 24 / 36 {
				if restart {
					r.restart()
				}
				r.mustList()
				time.Sleep(36 * time.Hour)
			}
			if got, want := r.toldSoFar(), "active, expiring"; got != want {
				t.Errorf("restart %v: OnStatus was told %q, want %q", restart, got, want)
			}
		})
	}
}

// FuzzSaved: with any data in the Store nothing panics, no password is sent to another host, and
// no verdict has an invalid certainty. Data that cannot be read is not changed, and what was
// saved can be read again.
func FuzzSaved(f *testing.F) {
	cred := icloud.Credential{AppleID: "a@example.com", Password: icloud.UncheckedPassword("secret-word"), Issued: time.Now().Add(-day)}
	for _, latched := range []bool{false, true} {
		store := &memoryStore{}
		transport := http.RoundTripper(new(watched))
		if latched {
			transport = wire401("WWW-Authenticate", `Basic realm="MMCalDav"`)
		}
		client, err := icloud.New(cred, &icloud.Options{Store: store, Transport: transport})
		if err != nil {
			f.Fatal(err)
		}
		for range client.Contacts(f.Context()) {
		}
		_ = client.Authenticate(f.Context())
		f.Add(store.data)
	}
	for _, data := range []string{"", "{}", "null", "[]", `{"v":9,"passwords":[{}],"x":1}`, `{"book":"https://attacker.test/","home":"//attacker.test"}`} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		store := &memoryStore{data: bytes.Clone(data)}
		w := new(watched)
		client, err := icloud.New(cred, &icloud.Options{Store: store, Transport: w})
		if err != nil {
			t.Fatal(err)
		}
		for range client.Contacts(t.Context()) {
		}
		err = client.Authenticate(t.Context())
		if ae, ok := errors.AsType[*icloud.AuthError](err); ok {
			if ae.Certainty < icloud.Possible || ae.Certainty > icloud.Certain || ae.Err == nil || ae.Error() == "" || ae.Remedy() == "" {
				t.Errorf("got %#v", ae)
			}
		}
		if err != nil && strings.Contains(err.Error(), "corrupt") && (!bytes.Equal(store.data, data) || len(w.attempts) > 0) {
			t.Errorf("corrupt data was overwritten, by %q, after requests to %q", store.data, w.attempts)
		}
		for _, a := range w.attempts {
			if a != "https://icloud.com" && (!strings.HasPrefix(a, "https://") || !strings.HasSuffix(a, ".icloud.com")) {
				t.Errorf("the password was about to go to %q", a)
			}
		}
		if _, err := json.Marshal(client.Status()); err != nil {
			t.Errorf("a date that no calendar has: %v", err)
		}
		if err == nil {
			client, _ = icloud.New(cred, &icloud.Options{Store: store, Transport: new(watched)})
			if err := client.Authenticate(t.Context()); err != nil {
				t.Errorf("%q was saved over %q, and gives %v", store.data, data, err)
			}
		}
	})
}

// TestClocks: the clocks of several workers differ, and one is set back. A doubt that was refuted
// ends nevertheless, and a refusal after an acceptance counts. Every bubble begins at the same
// time, so each has its own clock.
func TestClocks(t *testing.T) {
	t.Parallel()
	// worker runs f in a bubble whose clock is ahead, with a Client of the account.
	// *refuse is how many of the next requests are refused.
	worker := func(t *testing.T, store *memoryStore, ahead time.Duration, f func(t *testing.T, c *icloud.Client, refuse *int)) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(ahead)
			refuse := 0
			client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
				Endpoint: bookURL, Store: store,
				Transport: wire(func(r *http.Request, _ string) *http.Response {
					switch {
					case refuse > 0:
						refuse--
						return answer(401, "", "WWW-Authenticate", `Basic realm="x"`)
					case r.Method == "PROPFIND":
						return answer(207, bookAnswer)
					}
					return answer(207, multistatus(row("/book/a.vcf", card("a"))))
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			f(t, client, &refuse)
		})
	}
	const many = 1 << 20
	next := icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("another")}
	accepted := func(t *testing.T, c *icloud.Client) {
		t.Helper()
		if _, err := list(t, c); err != nil || c.Status().State != icloud.Active {
			t.Errorf("an acceptance: got %v, state %v", err, c.Status().State)
		}
	}
	refused := func(t *testing.T, c *icloud.Client, confirmed bool) {
		t.Helper()
		_, err := list(t, c)
		ae := verdictOf(t, err)
		if ae.Confirmed != confirmed || ae.LastAccepted.After(time.Now()) || ae.Refused.After(time.Now()) {
			t.Errorf("got %+v, want Confirmed %v and no date in the future", ae, confirmed)
		}
	}
	t.Run("a refusal by a clock that is ahead", func(t *testing.T) {
		store := &memoryStore{}
		worker(t, store, 5*time.Minute, func(t *testing.T, c *icloud.Client, refuse *int) {
			accepted(t, c)
			*refuse = many
			refused(t, c, false)
		})
		worker(t, store, 0, func(t *testing.T, c *icloud.Client, refuse *int) {
			for range 3 {
				accepted(t, c)
			}
			time.Sleep(time.Hour)
			*refuse = 1
			_, err := list(t, c)
			noVerdict(t, err)
			accepted(t, c)
		})
	})
	t.Run("a new password refused by a clock that is ahead", func(t *testing.T) {
		store := &memoryStore{}
		worker(t, store, 5*time.Minute, func(t *testing.T, c *icloud.Client, refuse *int) {
			accepted(t, c)
			*refuse = many
			verdictOf(t, c.Reconnect(t.Context(), next))
		})
		worker(t, store, 0, func(t *testing.T, c *icloud.Client, refuse *int) {
			accepted(t, c)
			if err := c.Reconnect(t.Context(), next); err != nil || c.Status().State != icloud.Active {
				t.Fatalf("Reconnect: got %v, state %v", err, c.Status().State)
			}
			accepted(t, c)
			accepted(t, c)
		})
	})
	t.Run("an acceptance by a clock that is years ahead", func(t *testing.T) {
		store := &memoryStore{}
		worker(t, store, 5*365*day, func(t *testing.T, c *icloud.Client, _ *int) { accepted(t, c) })
		worker(t, store, 0, func(t *testing.T, c *icloud.Client, refuse *int) {
			*refuse = many
			refused(t, c, false)
			time.Sleep(2 * time.Minute)
			refused(t, c, false)
			time.Sleep(time.Hour)
			refused(t, c, true)
		})
	})
	t.Run("a clock that stands still", func(t *testing.T) {
		store := &memoryStore{}
		worker(t, store, 0, func(t *testing.T, c *icloud.Client, refuse *int) {
			accepted(t, c)
			*refuse = 2
			verdictOf(t, c.Reconnect(t.Context(), next))
			if err := c.Reconnect(t.Context(), next); err != nil || c.Status().State != icloud.Active {
				t.Fatalf("Reconnect: got %v, state %v", err, c.Status().State)
			}
			accepted(t, c)
			accepted(t, c)
		})
	})
}

// TestSharedProbe: the Clients that share a Store send one probe a minute, or a day, together. An
// acceptance by one ends the doubt of another.
func TestSharedProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		var workers [5]*icloud.Client
		for i := range workers {
			r.restart()
			r.mustList()
			workers[i] = r.Client
		}
		each := func() int {
			return r.requests(func() {
				for _, w := range workers {
					r.Client = w
					verdictOf(t, r.list())
				}
			})
		}
		// Clients that do not know of the refusal yet are refused themselves.
		r.srv.RevokeAll()
		if n := each(); n != 2*len(workers) {
			t.Errorf("at first: got %d requests, want %d", n, 2*len(workers))
		}
		time.Sleep(2 * time.Minute)
		if n := each(); n != 1 {
			t.Errorf("in doubt: got %d requests, want 1", n)
		}
		time.Sleep(time.Hour)
		if n := each(); n != 1 {
			t.Errorf("the dwell is over: got %d requests, want 1", n)
		}
		for range 3 {
			time.Sleep(25 * time.Hour)
			if n := each(); n != 1 {
				t.Errorf("signed out: got %d requests in a day, want 1", n)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: &memoryStore{}})
		r.mustList()
		a := r.Client
		r.restart()
		r.mustList()
		b := r.Client
		time.Sleep(time.Minute)

		r.Client = a
		r.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
		verdictOf(t, r.list())
		time.Sleep(time.Minute)
		r.Client = b
		r.mustList()
		time.Sleep(20 * time.Minute)
		r.Client = a
		r.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
		if ae := verdictOf(t, r.list()); ae.Confirmed {
			t.Errorf("got %v, though another Client's acceptance was in between", ae)
		}
	})
}

// TestSharedVerdict: a verdict of another Client is not refuted by an earlier acceptance,
// nor hidden by a Store that cannot be read.
func TestSharedVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		r.mustList()
		a := r.Client
		r.restart()
		r.mustList()
		b := r.Client

		// b has a doubt, which a refutes. Then the password dies, and a learns that.
		r.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
		verdictOf(t, r.list())
		r.Client = a
		time.Sleep(2 * time.Minute)
		r.mustList()
		time.Sleep(time.Minute)
		r.srv.RevokeAll()
		verdictOf(t, r.list())
		time.Sleep(20 * time.Minute)
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Fatalf("got %v, want it confirmed", ae)
		}
		r.Client = b
		if n := r.requests(func() {
			if ae := verdictOf(t, r.list()); !ae.Confirmed {
				t.Errorf("the other Client: got %v, want it confirmed", ae)
			}
		}); n != 0 {
			t.Errorf("the other Client: got %d requests, want 0", n)
		}

		time.Sleep(25 * time.Hour)
		store.failLoad = errors.New("no connection")
		err := r.list()
		if ae := verdictOf(t, err); !ae.Confirmed || !errors.Is(err, store.failLoad) {
			t.Errorf("got %v, want the verdict and the Store's error", err)
		}
	})
}

// TestSyncInTransaction: the application may hold the connection for which its Store waits.
// A Sync ends nevertheless, also before its first call of apply.
func TestSyncInTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := &heldStore{Store: &memoryStore{}}
		r := newRig(t, icloud.Options{Store: held})
		sync := func(when string, want error) {
			t.Helper()
			held.held = true
			began := time.Now()
			_, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
			held.held = false
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", when, err, want)
			}
			if d := time.Since(began); d > 30*time.Second {
				t.Errorf("%s: it waited for %v", when, d)
			}
		}
		if n := r.requests(func() { sync("just started", context.DeadlineExceeded) }); n != 0 {
			t.Errorf("got %d requests by a Client that has not read the Store, want 0", n)
		}
		r.mustList()
		sync("known", nil)
		r.srv.RevokeAll()
		sync("refused", icloud.ErrPasswordRevoked)
		time.Sleep(time.Hour)
		sync("refused again", context.DeadlineExceeded)
	})
}

// heldStore waits while its connection is held.
type heldStore struct {
	icloud.Store
	held bool
}

func (s *heldStore) Load(ctx context.Context, key string) ([]byte, error) {
	if s.held {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.Load(ctx, key)
}

func (s *heldStore) Save(ctx context.Context, key string, data []byte) error {
	if s.held {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Save(ctx, key, data)
}

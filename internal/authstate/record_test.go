package authstate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

// TestCorrupt: data that could not be saved again must not be loaded.
func TestCorrupt(t *testing.T) {
	t.Parallel()
	entry := func(member, date string) string {
		return fmt.Sprintf(`{"v":1,"passwords":[{"salt":"AA==","hash":"AA==","refused":"2025-01-01T00:00:00Z","asked":"2025-01-01T00:00:00Z",%q:%q}]}`, member, date)
	}
	for _, tt := range []struct {
		data string
		ok   bool
	}{
		{"", true}, {" \n", true}, {"{}", true}, {`{"v":1,"passwords":[{}]}`, true},
		{"null", false}, {"[]", false}, {"{", false}, {`{"passwords":[1]}`, false},
		{entry("issued", "9999-12-31T23:59:59Z"), false},
		{entry("issued", "9999-12-31T23:59:59-14:00"), false},
		{entry("last_accepted", "9998-12-31T23:59:59-14:00"), false},
		{entry("last_accepted", "9998-12-31T23:59:59Z"), true},
		{entry("asked", "0001-01-01T00:00:00+01:00"), false},
		{entry("asked", "0001-01-01T00:00:00Z"), true},
		{entry("told_for", "0000-01-01T00:00:00Z"), false},
		{`{"passwords":[{"verdict":{"reason":"expired","expires":"9999-01-01T00:00:00Z"},"refused":"2025-01-01T00:00:00Z"}]}`, false},
	} {
		record, err := authstate.Decode([]byte(tt.data))
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want ok %v", tt.data, err, tt.ok)
		}
		if err != nil {
			if strings.ContainsAny(err.Error(), "0123456789{") {
				t.Errorf("%s: the error repeats the data: %v", tt.data, err)
			}
			continue
		}
		// Data that was loaded can be saved after every event.
		a := newAccount(t, rules, authstate.Claims{})
		a.s.Merge(record, a.now, false)
		for _, event := range []string{"accepted", "refused", "refused", "accepted"} {
			a.do(event)
			a.save(nil, true)
		}
	}
}

// TestTold: data of an earlier version says that the verdict in it was reported.
func TestTold(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		a := newAccount(t, rules, authstate.Claims{Issued: noon})
		a.load(false)
		a.do("accepted")
		a.now = a.now.Add(day)
		a.do("refused")
		a.now = a.now.Add(15 * minute)
		a.do("refused")
		var data map[string]any
		if err := json.Unmarshal(a.store, &data); err != nil {
			t.Fatal(err)
		}
		entry := data["passwords"].([]any)[0].(map[string]any)
		delete(entry, "told_for")
		entry["told"] = told
		a.store, _ = json.Marshal(data)
		a.restart(rules, authstate.Claims{})
		a.now = a.now.Add(day)
		// The daily probe is refused again. A verdict that was reported is not reported
		// again; one that was not reported because of a crash is.
		a.do("refused")
		if got := a.s.Notify(a.now); got == told {
			t.Errorf("told %v: got news %v", told, got)
		}
		if record, err := authstate.Decode(a.store); err != nil || record.Status(a.now).Phase != authstate.SignedOut {
			t.Errorf("told %v: got %v, %v", told, record, err)
		}
		// The password works again, and dies later: this is another verdict, which is
		// reported.
		a.do("accepted")
		a.look(false)
		a.now = a.now.Add(day)
		a.do("refused")
		a.look(false)
		a.now = a.now.Add(15 * minute)
		a.do("refused")
		if got := a.look(false); got != "signed out revoked likely hold for 24h0m0s told" {
			t.Errorf("told %v: got %q", told, got)
		}
	}
}

// TestMerge: two Clients of one account save in turn.
func TestMerge(t *testing.T) {
	t.Parallel()
	pair := func(t *testing.T) (a, b *account) {
		a = newAccount(t, rules, authstate.Claims{Issued: noon})
		a.load(false)
		a.do("accepted")
		b = newAccount(t, rules, authstate.Claims{Issued: noon})
		b.store = a.store
		b.load(false)
		a.look(false)
		b.look(false)
		return a, b
	}
	hand := func(from, to *account) { // one saves, and the other loads that
		to.store, to.now = from.store, from.now
		to.load(false)
	}
	t.Run("a doubt is shared", func(t *testing.T) {
		a, b := pair(t)
		a.now = a.now.Add(day)
		a.do("refused")
		hand(a, b)
		if got := b.look(false); got != "doubted revoked likely hold for 1m0s told" {
			t.Errorf("got %q", got)
		}
		b.now = b.now.Add(15 * minute)
		b.do("refused")
		if got := b.look(false); got != "signed out revoked likely hold for 24h0m0s told" {
			t.Errorf("got %q", got)
		}
		hand(b, a)
		// A verdict that one Client has reported is not reported by the other.
		if got := a.look(false); got != "signed out revoked likely hold for 24h0m0s" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("an acceptance elsewhere clears it, and is saved at once", func(t *testing.T) {
		a, b := pair(t)
		a.now = a.now.Add(day)
		a.do("refused")
		b.now = a.now.Add(minute)
		b.s.Accepted(b.s.Current(), b.s.Sent(), b.now)
		b.store = a.store
		b.load(false)
		if got := b.s.Due(b.now); got != authstate.DueNow {
			t.Errorf("got due %v, want it saved at once: the other would confirm its doubt", got)
		}
		b.save(nil, false)
		hand(b, a)
		if got := a.look(false); got != "active send" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a verdict stays one value", func(t *testing.T) {
		a, _ := pair(t)
		a.now = a.now.Add(day)
		a.do("refused")
		v := a.s.Status(a.now, false).Verdict
		for range 3 {
			a.load(false)
			if got := a.s.Status(a.now, false).Verdict; got != v {
				t.Errorf("got another value, %+v", got)
			}
		}
	})
	t.Run("a clock that is ahead", func(t *testing.T) {
		a, b := pair(t)
		a.now = a.now.Add(day + 4*minute)
		a.do("refused")
		b.now = b.now.Add(day + minute)
		b.do("accepted")
		// The refusal was first, but the clocks say otherwise, so that cannot be known.
		b.store = a.store
		b.load(false)
		b.do("accepted")
		b.save(nil, false)
		hand(b, a)
		if got := a.look(false); got != "active send" {
			t.Errorf("got %q", got)
		}
	})
}

// TestTrim: the passwords that matter are kept.
func TestTrim(t *testing.T) {
	t.Parallel()
	a := newAccount(t, rules, authstate.Claims{Issued: noon})
	a.load(false)
	a.do("accepted")
	for i := range 6 {
		a.now = a.now.Add(day)
		e := a.s.Candidate(hashOf(fmt.Sprint("good", i)), authstate.Claims{}, a.now)
		a.s.Replace(e, a.now)
		a.save(nil, false)
	}
	reject := func(password string) {
		a.now = a.now.Add(minute)
		e := a.s.Candidate(hashOf(password), authstate.Claims{}, a.now)
		at, _ := a.s.Refused(e, a.s.Sent())
		r := a.s.Reject(e, at, a.now, authstate.Interactive, false)
		a.save(r, true)
		a.s.Commit(r)
	}
	for i := range 10 {
		reject(fmt.Sprint("wrong", i))
	}
	var data struct {
		Passwords []struct {
			LastAccepted time.Time `json:"last_accepted"`
		}
	}
	if err := json.Unmarshal(a.store, &data); err != nil {
		t.Fatal(err)
	}
	worked := 0
	for _, p := range data.Passwords {
		if !p.LastAccepted.IsZero() {
			worked++
		}
	}
	if len(data.Passwords) != 4 || worked != 2 {
		t.Errorf("got %d passwords, of which %d have worked; want 4 and 2", len(data.Passwords), worked)
	}
	// The account's password is still the one that was accepted last.
	record, err := authstate.Decode(a.store)
	if err != nil || record.Status(a.now).Phase != authstate.Active {
		t.Errorf("got %+v, %v", record.Status(a.now), err)
	}
	for _, password := range []string{"good5", "good4", "wrong9", "wrong8"} {
		if e := a.s.Candidate(hashOf(password), authstate.Claims{}, a.now); e.LastAccepted.IsZero() && e.Verdict == nil {
			t.Errorf("%s is forgotten", password)
		}
	}
}

// TestDue: when the data is saved.
func TestDue(t *testing.T) {
	t.Parallel()
	a := newAccount(t, rules, authstate.Claims{Issued: noon})
	a.load(false)
	due := func(after time.Duration, want authstate.Due) {
		t.Helper()
		a.now = a.now.Add(after)
		if got := a.s.Due(a.now); got != want {
			t.Errorf("got due %v, want %v", got, want)
		}
	}
	accept := func() { a.s.Accepted(a.s.Current(), a.s.Sent(), a.now) }
	due(0, authstate.DueNothing)
	accept()
	due(0, authstate.DueNow) // it has become Active
	a.look(false)
	a.save(nil, true)
	due(0, authstate.DueNothing)
	accept()
	due(minute-1, authstate.DueNothing)
	due(1, authstate.DueRead)
	a.load(false)
	due(0, authstate.DueNothing)
	due(59*minute, authstate.DueLazily)
	// After a Store has failed, the next call saves again. After it has hung, a call a
	// minute later does.
	for _, hung := range []bool{false, true} {
		if _, err := a.s.Save(nil, "", "", a.now); err != nil {
			t.Fatal(err)
		}
		a.s.SaveFailed(false, hung, a.now)
		if want := map[bool]authstate.Due{false: authstate.DueLazily, true: authstate.DueNothing}[hung]; a.s.Due(a.now) != want {
			t.Errorf("hung %v: got due %v, want %v", hung, a.s.Due(a.now), want)
		}
	}
	due(minute, authstate.DueLazily)
	a.s.FoundBook()
	due(0, authstate.DueNow)
}

// FuzzDecode: data from a Store is an error, or it can be merged, judged and saved.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"v":1,"new":[1]}`, `{"passwords":[null,{}]}`,
		`{"passwords":[{"salt":"AA==","hash":"cEE=","told":true,"verdict":{"reason":"expired","certainty":-9,"confirmed":true},"refused":"9998-12-31T23:59:59Z","asked":"2025-01-01T00:00:00Z"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := authstate.Decode(data)
		if err != nil {
			return
		}
		a := newAccount(t, rules, authstate.Claims{})
		record.Status(a.now)
		a.s.Merge(record, a.now, false)
		for _, event := range []string{"refused", "accepted", "refused"} {
			a.do(event)
			a.look(true)
			a.save(nil, true)
			a.load(false)
			a.now = a.now.Add(20 * minute)
		}
	})
}

// TestAhead: an acceptance has a date in the future, and the Store can be read but not written.
// A refusal is valid nevertheless.
func TestAhead(t *testing.T) {
	t.Parallel()
	other := newAccount(t, rules, authstate.Claims{Issued: noon})
	other.now = noon.Add(5 * minute)
	other.load(false)
	other.do("accepted")
	a := newAccount(t, rules, authstate.Claims{Issued: noon})
	a.store = other.store
	a.load(false)
	e := a.s.Current()
	at, _ := a.s.Refused(e, a.s.Sent())
	a.s.Commit(a.s.Reject(e, at, a.now, authstate.Unattended, false))
	a.load(false)
	if got := a.look(false); got != "doubted revoked likely hold for 1m0s told" {
		t.Errorf("got %q", got)
	}
	// A later acceptance by the same clock refutes it.
	other.now = other.now.Add(minute)
	other.s.Accepted(other.s.Current(), other.s.Sent(), other.now)
	other.save(nil, true)
	a.store, a.now = other.store, a.now.Add(minute)
	a.load(false)
	if got := a.look(false); got != "active send told" {
		t.Errorf("got %q", got)
	}
}

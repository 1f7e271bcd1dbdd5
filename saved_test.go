// Impossible dates in the data of a Store.

package icloud_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// TestSavedDatesAtTheEdge: JSON has no dates before the year 0 and after the year 9999. A
// date in the Store that becomes one of these, in UTC or by a computation, is corrupt data:
// it is an error at once, and the data is not overwritten. It must not make every later
// Save fail.
func TestSavedDatesAtTheEdge(t *testing.T) {
	t.Parallel()
	fields := []string{
		"issued", "account_changed", "first_accepted", "last_accepted", "refused", "asked",
		"verdict refused", "verdict issued", "verdict expires", "verdict last_accepted", "verdict account_changed",
	}
	for _, date := range []string{
		"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-01:00", "9999-12-31T12:00:00-23:59", "9999-12-01T00:00:00Z",
		"0000-01-01T00:00:00Z", "0000-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00",
	} {
		for _, field := range fields {
			for _, accepted := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %s, then accepted %v", field, date, accepted), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { savedAtTheEdge(t, field, date, accepted) })
				})
			}
		}
	}
}

// savedAtTheEdge is the case of one date, and of the answer that comes next.
func savedAtTheEdge(t *testing.T, field, date string, accepted bool) {
	store := &memoryStore{}
	r := newRig(t, icloud.Options{Store: store})
	r.mustList()
	r.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
	verdictOf(t, r.list())
	store.set(t, func(data map[string]any) {
		entry := data["passwords"].([]any)[0].(map[string]any)
		if name, ok := strings.CutPrefix(field, "verdict "); ok {
			entry["verdict"].(map[string]any)[name] = date
			return
		}
		entry[field] = date
	})
	before, saves := string(store.data), store.saves
	r.restart()
	if accepted {
		time.Sleep(2 * time.Hour)
	} else {
		// The doubt goes on, with the verdict that was saved.
		time.Sleep(2 * time.Minute)
		r.srv.RevokeAll()
	}
	var err error
	n := r.requests(func() { err = r.list() })
	if err != nil && strings.Contains(err.Error(), "corrupt") {
		noVerdict(t, err)
		for key := range store.keys {
			if !strings.Contains(err.Error(), key) {
				t.Errorf("got %v, want it to name the key", err)
			}
		}
		if string(store.data) != before || n != 0 {
			t.Errorf("corrupt data: got %d requests, and %s is saved", n, store.data)
		}
		return
	}
	if accepted && err != nil {
		t.Fatalf("got %v, want no error, or that the data is corrupt", err)
	}
	// The data was read, so what is learned from now on is saved, and the next program can
	// read it.
	for i := range 4 {
		if store.saves == saves {
			t.Fatalf("call %d: nothing is saved, and the call returns %v", i, err)
		}
		saves = store.saves
		r.restart()
		time.Sleep(25 * time.Hour)
		if err = r.list(); accepted {
			if err != nil {
				t.Fatalf("call %d: got %v, want no error", i, err)
			}
			continue
		}
		verdictOf(t, err)
	}
}

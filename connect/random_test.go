package connect_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-icloud/icloud"
)

// TestRandom: many customers do random things at once. A link connects at most once; only
// what iCloud has accepted is saved, for the account of the link; and every form is
// answered.
func TestRandom(t *testing.T) {
	t.Parallel()
	const accounts, visitors, steps = 4, 12, 40
	s := newService(t, nil)
	good := make(map[string][]icloud.Credential)
	for n := range accounts {
		id := fmt.Sprint("account", n)
		apple := s.icloud.Account(id + "@example.com")
		for range 20 {
			good[id] = append(good[id], apple.Issue())
		}
		s.accounts[id] = &account{}
	}
	var mu sync.Mutex
	links := make(map[string][]string) // by account
	served := make(map[string]int)     // how often a link has connected, by link
	done := make(map[string]int)       // how often an account was connected, by account
	var group sync.WaitGroup
	for visitor := range visitors {
		random := rand.New(rand.NewPCG(uint64(visitor), 7))
		group.Go(func() {
			for range steps {
				id := fmt.Sprint("account", random.IntN(accounts))
				cred := good[id][random.IntN(len(good[id]))]
				mu.Lock()
				if len(links[id]) == 0 || random.IntN(4) == 0 {
					links[id] = append(links[id], s.link(t, id))
				}
				link := links[id][random.IntN(len(links[id]))]
				mu.Unlock()
				values := []string{"apple_id", cred.AppleID, "password", cred.Password.Reveal()}
				switch random.IntN(8) {
				case 0:
					values[3] = ownPassword
				case 1:
					values[3] = "abcd-efgh-ijkl-mnop"
				case 2:
					other := good[fmt.Sprint("account", random.IntN(accounts))][0]
					values[1], values[3] = other.AppleID, other.Password.Reveal()
				case 3:
					if a := s.get(t, link); a.Code != http.StatusOK && a.Code != http.StatusGone {
						t.Errorf("got %d", a.Code)
					}
					continue
				}
				a := s.post(t, link, values...)
				switch a.Code {
				case http.StatusOK:
					mu.Lock()
					served[link]++
					done[id]++
					mu.Unlock()
				case http.StatusGone, http.StatusUnprocessableEntity, http.StatusTooManyRequests:
				default:
					t.Errorf("got %d: %s", a.Code, a.text)
				}
			}
		})
	}
	group.Wait()
	for link, times := range served {
		if times > 1 {
			t.Errorf("%s has served %d times", link, times)
		}
	}
	total := 0
	for id := range good {
		cred, saves := s.saved(id)
		total += saves
		if saves != done[id] {
			t.Errorf("%s: saved %d times, and told %d times", id, saves, done[id])
		}
		if saves == 0 {
			continue
		}
		known := false
		for _, all := range good {
			for _, g := range all {
				known = known || g.Password.Equal(cred.Password) && strings.EqualFold(g.AppleID, cred.AppleID)
			}
		}
		if !known {
			t.Errorf("%s: what is saved is not what iCloud accepts", id)
		}
	}
	if total < accounts {
		t.Errorf("only %d have connected", total)
	}
}

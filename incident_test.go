// How long an incident of a Fleet holds back right verdicts.

package icloud_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

// TestIncidentEndsInADay: the passwords of all accounts of a small Fleet die at
// once, which looks like an incident. It is held back for a day at most, however
// often the accounts are polled.
func TestIncidentEndsInADay(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{5 * time.Minute, 20 * time.Minute, time.Hour} {
		for _, accounts := range []int{3, 5, 10} {
			t.Run(fmt.Sprintf("%d accounts, every %v", accounts, every), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					rigs := fleetOf(t, accounts, new(icloud.Fleet))
					for _, r := range rigs {
						r.mustList()
						r.srv.RevokeAll()
					}
					held := make([]time.Duration, accounts)
					refused := make([]time.Time, accounts)
					for range 30 * time.Hour / every {
						for i, r := range rigs {
							ae, ok := errors.AsType[*icloud.AuthError](r.list())
							if !ok {
								t.Fatalf("account %d: got no verdict", i)
							}
							if refused[i].IsZero() {
								refused[i] = time.Now()
							}
							if ae.Confirmed && held[i] == 0 {
								held[i] = time.Since(refused[i])
							}
						}
						time.Sleep(every)
					}
					for i, d := range held {
						if d == 0 || d > 24*time.Hour {
							t.Errorf("account %d: held back for %v (0: for ever), want a day at most", i, d)
						}
					}
				})
			})
		}
	}
}

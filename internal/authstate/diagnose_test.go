package authstate_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// noon is the time from which the table counts days.
var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns the time a number of days after noon.
func at(days float64) time.Time {
	return noon.Add(time.Duration(days * float64(day)))
}

// TestDiagnose has the kinds of evidence, with the limits of each. A password that is issued on
// day 0 ends on day 365.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	const minute = 1.0 / (24 * 60)
	expired, revoked, rejected := authstate.Expired, authstate.Revoked, authstate.Rejected
	for _, tt := range []struct {
		name      string
		e         authstate.Evidence // if zero, Now is Refused, and Lifetime is a year
		reason    authstate.Reason
		certainty authstate.Certainty
	}{
		// The account's password changed after the issue and the last acceptance.
		{"changed", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(101), Refused: at(102)}, revoked, authstate.Certain},
		{"changed a minute after the last acceptance", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(100 + minute), Refused: at(102)}, revoked, authstate.Certain},
		{"changed with the last acceptance", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(100), Refused: at(102)}, revoked, authstate.Likely},
		{"changed, then accepted", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(50), Refused: at(102)}, revoked, authstate.Likely},
		{"changed, then accepted until the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(364), Changed: at(50), Refused: at(365.1)}, expired, authstate.Likely},
		{"changed, never worked", authstate.Evidence{Issued: at(0), Changed: at(10), Refused: at(20)}, revoked, authstate.Certain},
		{"changed a day after the issue", authstate.Evidence{Issued: at(0), Changed: at(1), Refused: at(20)}, rejected, authstate.Likely},
		{"changed a day and a minute after the issue", authstate.Evidence{Issued: at(0), Changed: at(1 + minute), Refused: at(20)}, revoked, authstate.Certain},
		{"changed before the issue", authstate.Evidence{Issued: at(0), Changed: at(-5), Refused: at(20)}, rejected, authstate.Likely},
		{"changed past the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(360), Changed: at(366), Refused: at(367)}, revoked, authstate.Certain},
		{"changed after the refusal began", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(103), Refused: at(102), Now: at(104)}, revoked, authstate.Certain},
		{"changed, issue unknown, once accepted", authstate.Evidence{First: at(0), Last: at(100), Changed: at(101), Refused: at(102)}, revoked, authstate.Certain},
		{"changed, issue unknown, accepted by the caller's word", authstate.Evidence{Said: at(100), Changed: at(102), Refused: at(103)}, revoked, authstate.Certain},
		{"changed, nothing else known", authstate.Evidence{Changed: at(10), Refused: at(20)}, rejected, authstate.Likely},
		{"changed in the future", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(103), Refused: at(102)}, revoked, authstate.Likely},
		{"changed, no lifetime", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(101), Refused: at(102), Lifetime: -1}, revoked, authstate.Certain},

		// Worked until within 14 days of the end, refused later than 2 days before it.
		{"expired", authstate.Evidence{Issued: at(0), First: at(0), Last: at(364.9), Refused: at(365)}, expired, authstate.Likely},
		{"expired, last used 14 days before", authstate.Evidence{Issued: at(0), First: at(0), Last: at(351), Refused: at(365)}, expired, authstate.Likely},
		{"expired, last used 14 days and a minute before", authstate.Evidence{Issued: at(0), First: at(0), Last: at(351 - minute), Refused: at(365)}, expired, authstate.Possible},
		{"refused 2 days before the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(362.9), Refused: at(363)}, revoked, authstate.Likely},
		{"refused a minute less before the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(362.9), Refused: at(363 + minute)}, expired, authstate.Likely},
		{"worked a little past the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(370), Refused: at(370.1)}, expired, authstate.Likely},
		{"worked until a minute less than 14 days past the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(379 - minute), Refused: at(380)}, expired, authstate.Likely},
		{"worked until the end, then unused for years", authstate.Evidence{Issued: at(0), First: at(0), Last: at(360), Refused: at(1500)}, expired, authstate.Likely},
		{"issue recorded an hour late", authstate.Evidence{Issued: at(1.0 / 24), First: at(0), Last: at(364.95), Refused: at(365)}, expired, authstate.Likely},
		{"issue recorded a day late", authstate.Evidence{Issued: at(1), First: at(0), Last: at(364.9), Refused: at(365)}, expired, authstate.Likely},
		{"issue recorded a day early", authstate.Evidence{Issued: at(-1), First: at(0), Last: at(364.9), Refused: at(365)}, expired, authstate.Likely},

		// Worked, then unused until after the end.
		{"unused across the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(200), Refused: at(400)}, expired, authstate.Possible},
		{"used once", authstate.Evidence{Issued: at(0), First: at(0), Last: at(0), Refused: at(366)}, expired, authstate.Possible},

		// Worked well past the end.
		{"worked 14 days past the end", authstate.Evidence{Issued: at(0), First: at(0), Last: at(379), Refused: at(380)}, revoked, authstate.Likely},
		{"worked for years", authstate.Evidence{Issued: at(0), First: at(0), Last: at(1000), Refused: at(1001)}, revoked, authstate.Likely},

		// Worked, refused within its lifetime.
		{"revoked", authstate.Evidence{Issued: at(0), First: at(0), Last: at(100), Refused: at(100.1)}, revoked, authstate.Likely},
		{"revoked, by the caller's word", authstate.Evidence{Issued: at(0), Said: at(100), Refused: at(150)}, revoked, authstate.Likely},
		{"revoked, no lifetime", authstate.Evidence{Issued: at(0), First: at(0), Last: at(364.9), Refused: at(365), Lifetime: -1}, revoked, authstate.Likely},
		{"revoked at 90 days of 100", authstate.Evidence{Issued: at(0), First: at(0), Last: at(90), Refused: at(90.1), Lifetime: 100 * day}, revoked, authstate.Likely},
		{"expired at 100 days", authstate.Evidence{Issued: at(0), First: at(0), Last: at(99.9), Refused: at(100.1), Lifetime: 100 * day}, expired, authstate.Likely},

		// Never worked.
		{"never worked, past a lifetime", authstate.Evidence{Issued: at(0), Refused: at(365 + minute)}, expired, authstate.Possible},
		{"never worked, just a lifetime", authstate.Evidence{Issued: at(0), Refused: at(365)}, rejected, authstate.Likely},
		{"never worked, two years, no lifetime", authstate.Evidence{Issued: at(0), Refused: at(730), Lifetime: -1}, rejected, authstate.Likely},
		{"never worked, young", authstate.Evidence{Issued: at(0), Refused: at(0.01)}, rejected, authstate.Likely},
		{"nothing known", authstate.Evidence{Refused: at(0)}, rejected, authstate.Likely},

		// Issue unknown: the first acceptance takes its place, the last 30 days before
		// the end count as the end, and no verdict is more certain than Possible.
		{"no issue, refused inside", authstate.Evidence{First: at(0), Last: at(100), Refused: at(101)}, revoked, authstate.Possible},
		{"no issue, 30 days before the end", authstate.Evidence{First: at(0), Last: at(334.9), Refused: at(335)}, revoked, authstate.Possible},
		{"no issue, less than 30 days before the end", authstate.Evidence{First: at(0), Last: at(334.9), Refused: at(335 + minute)}, expired, authstate.Possible},
		{"no issue, expired", authstate.Evidence{First: at(0), Last: at(364.9), Refused: at(365)}, expired, authstate.Possible},
		{"no issue, worked well past", authstate.Evidence{First: at(0), Last: at(379), Refused: at(380)}, revoked, authstate.Possible},
		{"no issue, no lifetime", authstate.Evidence{First: at(0), Last: at(100), Refused: at(101), Lifetime: -1}, revoked, authstate.Possible},
		{"no issue, by the caller's word alone", authstate.Evidence{Said: at(0), Refused: at(400)}, expired, authstate.Possible},
		{"no issue, the caller's word is older than our own", authstate.Evidence{Said: at(0), First: at(200), Last: at(364.9), Refused: at(365)}, expired, authstate.Possible},

		// Impossible dates count as unknown.
		{"issued in the future", authstate.Evidence{Issued: at(10), First: at(0), Last: at(4), Refused: at(5)}, revoked, authstate.Possible},
		{"issued a second in the future", authstate.Evidence{Issued: noon.Add(time.Second), Refused: noon}, rejected, authstate.Likely},
		{"issued in the future, changed", authstate.Evidence{Issued: at(10), Changed: at(4), Refused: at(5)}, rejected, authstate.Likely},
		{"last accepted in the future", authstate.Evidence{Issued: at(0), Said: at(10), Refused: at(5)}, rejected, authstate.Likely},
		{"issued at Unix' zero", authstate.Evidence{Issued: time.Unix(0, 0), Refused: at(0)}, rejected, authstate.Likely},
		{"issued at a spreadsheet's zero", authstate.Evidence{Issued: time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC), Changed: at(-3), Refused: at(0)}, rejected, authstate.Likely},
		{"issued at FAT's zero", authstate.Evidence{Issued: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), Changed: at(-3), Refused: at(0)}, rejected, authstate.Likely},
		{"all before Christ", authstate.Evidence{Issued: time.Date(-44, 3, 15, 0, 0, 0, 0, time.UTC), Said: time.Date(-43, 1, 1, 0, 0, 0, 0, time.UTC),
			Changed: time.Date(-42, 1, 1, 0, 0, 0, 0, time.UTC), Refused: at(0)}, rejected, authstate.Likely},
		{"changed before Christ", authstate.Evidence{Issued: at(0), Changed: time.Unix(math.MinInt64, 0), Refused: at(20)}, rejected, authstate.Likely},
		{"all at the end of time", authstate.Evidence{Issued: time.Unix(1<<60, 0), Said: time.Unix(1<<60, 0), Changed: time.Unix(1<<60, 1), Refused: at(0)}, rejected, authstate.Likely},

		// A clock that was set back: dates in the future count as now.
		{"accepted a day from now", authstate.Evidence{Issued: at(0), First: at(2), Last: at(101), Refused: at(100), Now: at(100)}, revoked, authstate.Likely},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := tt.e
			if e.Now.IsZero() {
				e.Now = e.Refused
			}
			switch e.Lifetime {
			case 0:
				e.Lifetime = year
			case -1:
				e.Lifetime = 0
			}
			// The verdict must not depend on the time zones of the dates.
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("west", -11*3600), time.FixedZone("east", 14*3600)} {
				z := e
				for _, d := range []*time.Time{&z.Issued, &z.Said, &z.Changed} {
					if !d.IsZero() {
						*d = d.In(zone)
					}
				}
				certainty, reason := authstate.Diagnose(z)
				if reason != tt.reason || certainty != tt.certainty {
					t.Errorf("%s: got %v (%v), want %v (%v)", zone, reason, certainty, tt.reason, tt.certainty)
				}
			}
		})
	}
}

// TestDiagnoseBounds tries every order of a few dates, near and far. No verdict is more certain
// than the evidence allows, and none panics.
func TestDiagnoseBounds(t *testing.T) {
	t.Parallel()
	dates := []time.Time{{}, time.Unix(math.MinInt64, 0), time.Unix(0, 0), at(-400), at(-366), at(-364), at(-10), at(-1.5), at(0), at(1), time.Unix(math.MaxInt64, 0)}
	seen := map[string]int{}
	for _, issued := range dates {
		for _, said := range dates {
			for _, changed := range dates {
				for _, last := range []time.Time{{}, at(-400), at(-20), at(-3), at(5)} {
					for _, lifetime := range []time.Duration{0, 1, 30 * day, year, math.MaxInt64} {
						e := authstate.Evidence{Issued: issued, Said: said, Changed: changed, First: last, Last: last, Refused: at(0), Now: at(0), Lifetime: lifetime}
						certainty, reason := authstate.Diagnose(e)
						seen[fmt.Sprint(reason, certainty)]++
						past := func(d time.Time) bool { return d.After(at(-1e4)) && !d.After(at(0)) }
						switch {
						case certainty == authstate.Certain && (reason != authstate.Revoked || !past(changed)):
							t.Errorf("%+v: got %v (%v) without a change of the account's password", e, reason, certainty)
						case certainty == authstate.Likely && !past(issued) && reason != authstate.Rejected:
							t.Errorf("%+v: got %v (%v), though the issue is unknown", e, reason, certainty)
						case reason == authstate.Expired && lifetime == 0:
							t.Errorf("%+v: got %v without a lifetime", e, reason)
						}
						worked := !last.IsZero() || past(said)
						if worked && reason == authstate.Rejected {
							t.Errorf("%+v: got %v, though it worked", e, reason)
						}
						if !worked && !past(issued) && reason != authstate.Rejected {
							t.Errorf("%+v: got %v, though nothing is known", e, reason)
						}
						if t.Failed() {
							return // one failure is enough
						}
					}
				}
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("got %d different verdicts, %v: the table has 6", len(seen), seen)
	}
}

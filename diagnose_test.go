package icloud_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
)

const (
	day  = 24 * time.Hour
	year = icloud.DefaultLifetime
)

// noon is where the table's clock begins. Days are counted from it.
var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns noon and so many days; a fraction is a part of a day.
func at(days float64) time.Time {
	return noon.Add(time.Duration(days * float64(day)))
}

// TestDiagnose is the table of the design, row by row, with the edges of each.
// A password issued on day 0 ends on day 365.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	const minute = 1.0 / (24 * 60)
	expired, revoked, rejected := icloud.ErrPasswordExpired, icloud.ErrPasswordRevoked, icloud.ErrPasswordRejected
	for _, tt := range []struct {
		name      string
		e         icloud.Evidence // Now is Refused, Lifetime a year, if they are zero
		err       error
		certainty icloud.Certainty
	}{
		// The account's password changed after the issue and the last acceptance.
		{"changed", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(101), Refused: at(102)}, revoked, icloud.Certain},
		{"changed a minute after the last acceptance", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(100 + minute), Refused: at(102)}, revoked, icloud.Certain},
		{"changed with the last acceptance", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(100), Refused: at(102)}, revoked, icloud.Likely},
		{"changed, then accepted", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(50), Refused: at(102)}, revoked, icloud.Likely},
		{"changed, then accepted until the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(364), Changed: at(50), Refused: at(365.1)}, expired, icloud.Likely},
		{"changed, never worked", icloud.Evidence{Issued: at(0), Changed: at(10), Refused: at(20)}, revoked, icloud.Certain},
		{"changed a day after the issue", icloud.Evidence{Issued: at(0), Changed: at(1), Refused: at(20)}, rejected, icloud.Likely},
		{"changed a day and a minute after the issue", icloud.Evidence{Issued: at(0), Changed: at(1 + minute), Refused: at(20)}, revoked, icloud.Certain},
		{"changed before the issue", icloud.Evidence{Issued: at(0), Changed: at(-5), Refused: at(20)}, rejected, icloud.Likely},
		{"changed past the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(360), Changed: at(366), Refused: at(367)}, revoked, icloud.Certain},
		{"changed after the refusal began", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(103), Refused: at(102), Now: at(104)}, revoked, icloud.Certain},
		{"changed, issue unknown, once accepted", icloud.Evidence{First: at(0), Last: at(100), Changed: at(101), Refused: at(102)}, revoked, icloud.Certain},
		{"changed, issue unknown, accepted by the caller's word", icloud.Evidence{Said: at(100), Changed: at(102), Refused: at(103)}, revoked, icloud.Certain},
		{"changed, nothing else known", icloud.Evidence{Changed: at(10), Refused: at(20)}, rejected, icloud.Likely},
		{"changed in the future", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(103), Refused: at(102)}, revoked, icloud.Likely},
		{"changed, no lifetime", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Changed: at(101), Refused: at(102), Lifetime: -1}, revoked, icloud.Certain},

		// Worked until within 14 days of the end, refused later than 2 days before it.
		{"expired", icloud.Evidence{Issued: at(0), First: at(0), Last: at(364.9), Refused: at(365)}, expired, icloud.Likely},
		{"expired, last used 14 days before", icloud.Evidence{Issued: at(0), First: at(0), Last: at(351), Refused: at(365)}, expired, icloud.Likely},
		{"expired, last used 14 days and a minute before", icloud.Evidence{Issued: at(0), First: at(0), Last: at(351 - minute), Refused: at(365)}, expired, icloud.Possible},
		{"refused 2 days before the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(362.9), Refused: at(363)}, revoked, icloud.Likely},
		{"refused a minute less before the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(362.9), Refused: at(363 + minute)}, expired, icloud.Likely},
		{"worked a little past the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(370), Refused: at(370.1)}, expired, icloud.Likely},
		{"worked until a minute less than 14 days past the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(379 - minute), Refused: at(380)}, expired, icloud.Likely},
		{"worked until the end, then unused for years", icloud.Evidence{Issued: at(0), First: at(0), Last: at(360), Refused: at(1500)}, expired, icloud.Likely},
		{"issue recorded an hour late", icloud.Evidence{Issued: at(1.0 / 24), First: at(0), Last: at(364.95), Refused: at(365)}, expired, icloud.Likely},
		{"issue recorded a day late", icloud.Evidence{Issued: at(1), First: at(0), Last: at(364.9), Refused: at(365)}, expired, icloud.Likely},
		{"issue recorded a day early", icloud.Evidence{Issued: at(-1), First: at(0), Last: at(364.9), Refused: at(365)}, expired, icloud.Likely},

		// Worked, then unused across the end.
		{"unused across the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(200), Refused: at(400)}, expired, icloud.Possible},
		{"used once", icloud.Evidence{Issued: at(0), First: at(0), Last: at(0), Refused: at(366)}, expired, icloud.Possible},

		// Worked well past the end.
		{"worked 14 days past the end", icloud.Evidence{Issued: at(0), First: at(0), Last: at(379), Refused: at(380)}, revoked, icloud.Likely},
		{"worked for years", icloud.Evidence{Issued: at(0), First: at(0), Last: at(1000), Refused: at(1001)}, revoked, icloud.Likely},

		// Worked, refused inside its lifetime.
		{"revoked", icloud.Evidence{Issued: at(0), First: at(0), Last: at(100), Refused: at(100.1)}, revoked, icloud.Likely},
		{"revoked, by the caller's word", icloud.Evidence{Issued: at(0), Said: at(100), Refused: at(150)}, revoked, icloud.Likely},
		{"revoked, no lifetime", icloud.Evidence{Issued: at(0), First: at(0), Last: at(364.9), Refused: at(365), Lifetime: -1}, revoked, icloud.Likely},
		{"revoked at 90 days of 100", icloud.Evidence{Issued: at(0), First: at(0), Last: at(90), Refused: at(90.1), Lifetime: 100 * day}, revoked, icloud.Likely},
		{"expired at 100 days", icloud.Evidence{Issued: at(0), First: at(0), Last: at(99.9), Refused: at(100.1), Lifetime: 100 * day}, expired, icloud.Likely},

		// Never worked.
		{"never worked, past a lifetime", icloud.Evidence{Issued: at(0), Refused: at(365 + minute)}, expired, icloud.Possible},
		{"never worked, just a lifetime", icloud.Evidence{Issued: at(0), Refused: at(365)}, rejected, icloud.Likely},
		{"never worked, two years, no lifetime", icloud.Evidence{Issued: at(0), Refused: at(730), Lifetime: -1}, rejected, icloud.Likely},
		{"never worked, young", icloud.Evidence{Issued: at(0), Refused: at(0.01)}, rejected, icloud.Likely},
		{"nothing known", icloud.Evidence{Refused: at(0)}, rejected, icloud.Likely},

		// Issue unknown: the first acceptance stands in, 30 days before the end
		// count, and nothing is more than possible.
		{"no issue, refused inside", icloud.Evidence{First: at(0), Last: at(100), Refused: at(101)}, revoked, icloud.Possible},
		{"no issue, 30 days before the end", icloud.Evidence{First: at(0), Last: at(334.9), Refused: at(335)}, revoked, icloud.Possible},
		{"no issue, less than 30 days before the end", icloud.Evidence{First: at(0), Last: at(334.9), Refused: at(335 + minute)}, expired, icloud.Possible},
		{"no issue, expired", icloud.Evidence{First: at(0), Last: at(364.9), Refused: at(365)}, expired, icloud.Possible},
		{"no issue, worked well past", icloud.Evidence{First: at(0), Last: at(379), Refused: at(380)}, revoked, icloud.Possible},
		{"no issue, no lifetime", icloud.Evidence{First: at(0), Last: at(100), Refused: at(101), Lifetime: -1}, revoked, icloud.Possible},
		{"no issue, by the caller's word alone", icloud.Evidence{Said: at(0), Refused: at(400)}, expired, icloud.Possible},
		{"no issue, the caller's word is older than our own", icloud.Evidence{Said: at(0), First: at(200), Last: at(364.9), Refused: at(365)}, expired, icloud.Possible},

		// Dates that no password can have are unknown.
		{"issued in the future", icloud.Evidence{Issued: at(10), First: at(0), Last: at(4), Refused: at(5)}, revoked, icloud.Possible},
		{"issued a second in the future", icloud.Evidence{Issued: noon.Add(time.Second), Refused: noon}, rejected, icloud.Likely},
		{"issued in the future, changed", icloud.Evidence{Issued: at(10), Changed: at(4), Refused: at(5)}, rejected, icloud.Likely},
		{"last accepted in the future", icloud.Evidence{Issued: at(0), Said: at(10), Refused: at(5)}, rejected, icloud.Likely},
		{"issued at Unix' zero", icloud.Evidence{Issued: time.Unix(0, 0), Refused: at(0)}, rejected, icloud.Likely},
		{"issued at a spreadsheet's zero", icloud.Evidence{Issued: time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC), Changed: at(-3), Refused: at(0)}, rejected, icloud.Likely},
		{"issued at FAT's zero", icloud.Evidence{Issued: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), Changed: at(-3), Refused: at(0)}, rejected, icloud.Likely},
		{"all before Christ", icloud.Evidence{Issued: time.Date(-44, 3, 15, 0, 0, 0, 0, time.UTC), Said: time.Date(-43, 1, 1, 0, 0, 0, 0, time.UTC),
			Changed: time.Date(-42, 1, 1, 0, 0, 0, 0, time.UTC), Refused: at(0)}, rejected, icloud.Likely},
		{"changed before Christ", icloud.Evidence{Issued: at(0), Changed: time.Unix(math.MinInt64, 0), Refused: at(20)}, rejected, icloud.Likely},
		{"all at the end of time", icloud.Evidence{Issued: time.Unix(1<<60, 0), Said: time.Unix(1<<60, 0), Changed: time.Unix(1<<60, 1), Refused: at(0)}, rejected, icloud.Likely},

		// A clock that was set back: what happened, happened by now.
		{"accepted a day from now", icloud.Evidence{Issued: at(0), First: at(2), Last: at(101), Refused: at(100), Now: at(100)}, revoked, icloud.Likely},
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
			// The verdict must not depend on how the dates are written.
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("west", -11*3600), time.FixedZone("east", 14*3600)} {
				z := e
				for _, d := range []*time.Time{&z.Issued, &z.Said, &z.Changed} {
					if !d.IsZero() {
						*d = d.In(zone)
					}
				}
				certainty, err := icloud.Diagnose(z)
				if err != tt.err || certainty != tt.certainty {
					t.Errorf("%s: got %v (%v), want %v (%v)", zone, err, certainty, tt.err, tt.certainty)
				}
			}
		})
	}
}

// TestDiagnoseBounds tries every order of a few dates, near and far: whatever
// they are, no verdict is surer than the evidence, and none panics.
func TestDiagnoseBounds(t *testing.T) {
	t.Parallel()
	dates := []time.Time{{}, time.Unix(math.MinInt64, 0), time.Unix(0, 0), at(-400), at(-366), at(-364), at(-10), at(-1.5), at(0), at(1), time.Unix(math.MaxInt64, 0)}
	seen := map[string]int{}
	for _, issued := range dates {
		for _, said := range dates {
			for _, changed := range dates {
				for _, last := range []time.Time{{}, at(-400), at(-20), at(-3), at(5)} {
					for _, lifetime := range []time.Duration{0, 1, 30 * day, year, math.MaxInt64} {
						e := icloud.Evidence{Issued: issued, Said: said, Changed: changed, First: last, Last: last, Refused: at(0), Now: at(0), Lifetime: lifetime}
						certainty, err := icloud.Diagnose(e)
						seen[fmt.Sprint(err, certainty)]++
						past := func(d time.Time) bool { return d.After(at(-1e4)) && !d.After(at(0)) }
						switch {
						case certainty == icloud.Certain && (err != icloud.ErrPasswordRevoked || !past(changed)):
							t.Errorf("%+v: got %v (%v) without a change of the account's password", e, err, certainty)
						case certainty == icloud.Likely && !past(issued) && err != icloud.ErrPasswordRejected:
							t.Errorf("%+v: got %v (%v), though the issue is unknown", e, err, certainty)
						case err == icloud.ErrPasswordExpired && lifetime == 0:
							t.Errorf("%+v: got %v without a lifetime", e, err)
						}
						worked := !last.IsZero() || past(said)
						if worked && err == icloud.ErrPasswordRejected {
							t.Errorf("%+v: got %v, though it worked", e, err)
						}
						if !worked && !past(issued) && err != icloud.ErrPasswordRejected {
							t.Errorf("%+v: got %v, though nothing is known", e, err)
						}
						if t.Failed() {
							return // one is enough to read
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

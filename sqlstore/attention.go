// Attention: the accounts whose owners have to do something.

package sqlstore

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"github.com/go-icloud/icloud"
)

// Account is what the Store knows about an account.
type Account struct {
	Key     string        // see [icloud.AccountKey]
	Status  icloud.Status // as [icloud.ParseStatus] returns it
	Updated time.Time     // when the row was last saved, in UTC, by the database's clock
}

// Attention yields the accounts whose owner has to do something: those whose password is
// refused for good, and those whose password is estimated to end before until. It
// includes accounts that nobody polls any more. It never yields an account whose password
// is Doubted. The order is that of due_at, earliest first: the beginning of the refusal,
// or the estimated end. If until is zero, only the first kind is yielded. The caller
// records who was notified.
//
// Attention yields an error last, with a zero Account. It reads pages of rows through an
// index, and holds no connection while the caller works with an Account. So an account
// that is saved at the same time may be missing or come twice.
func (s *Store) Attention(ctx context.Context, until time.Time) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		d, err := s.dialect()
		if err != nil {
			yield(Account{}, err)
			return
		}
		// A refusal is listed whatever until is, and its due_at is not after now.
		last := until
		if now := time.Now(); last.Before(now) {
			last = now
		}
		// This omits rows of older versions that Create has not filled yet.
		after := cursor{due: time.Unix(0, 0).UTC().Format(d.layout)}
		for {
			accounts, more, err := s.attention(ctx, d, &after, timeArg(last, d))
			for _, a := range accounts {
				if !deserves(a.Status, until) {
					continue
				}
				if !yield(a, nil) {
					return
				}
			}
			if err != nil {
				yield(Account{}, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// deserves says whether Attention yields an account. It looks at the data, because the other
// columns may be older if an older version has saved the row.
func deserves(st icloud.Status, until time.Time) bool {
	switch st.State {
	case icloud.SignedOut:
		return true
	case icloud.Doubted:
		return false
	}
	return !st.Expires.IsZero() && st.Expires.Before(until)
}

// cursor is the place of a row in the index.
type cursor struct {
	due string // as an argument
	key string
}

// attention reads the page of accounts that follows after, and advances after. more says
// that there may be another page.
func (s *Store) attention(ctx context.Context, d dialect, after *cursor, last any) (accounts []Account, more bool, err error) {
	next := *after
	err = s.try(ctx, "attention", func() error {
		accounts, more, next = nil, false, *after
		rows, err := s.db.QueryContext(ctx, d.attention, after.due, last, after.due, after.key)
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var (
				a            Account
				data         []byte
				updated, due string
			)
			if err := rows.Scan(&a.Key, &data, &updated, &due); err != nil {
				return err
			}
			when, err := time.Parse(layout, due)
			if err != nil {
				return err
			}
			next = cursor{when.Format(d.layout), a.Key}
			// Data that no Client has saved is not listed.
			if a.Status, err = icloud.ParseStatus(data); err != nil {
				continue
			}
			if a.Updated, err = time.Parse(layout, updated); err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
		more = n == pageSize
		return rows.Err()
	})
	if err != nil {
		return nil, false, err
	}
	*after = next
	return accounts, more, nil
}

// conclusion has the values of the columns beside data, as arguments of a statement.
type conclusion struct {
	due, confirmed, reason, lastAccepted any
}

// conclude computes the columns beside data.
func conclude(data []byte, d dialect) conclusion {
	st, err := icloud.ParseStatus(data)
	if err != nil {
		return conclusion{} // NULLs
	}
	e := st.Event()
	due := st.Expires
	if e.Confirmed {
		due = e.Refused
	}
	return conclusion{
		due:          timeArg(due, d),
		confirmed:    e.Confirmed,
		reason:       sql.NullString{String: e.Reason, Valid: e.Reason != ""},
		lastAccepted: timeArg(st.LastAccepted, d),
	}
}

// earliest is later than the time that marks rows of older versions, and in the range of
// every database.
var earliest = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)

// timeArg returns a time as an argument of a statement. The zero time is NULL.
func timeArg(t time.Time, d dialect) any {
	if t.IsZero() {
		return nil
	}
	if t.Before(earliest) {
		t = earliest
	}
	return t.UTC().Format(d.layout)
}

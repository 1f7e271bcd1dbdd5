// Making the table, and bringing an older one up to date.

package sqlstore

import (
	"context"
	"errors"
)

// Create creates the table if it does not exist. If the table was created by an older
// version of this package, Create adds the missing columns and the index, and fills the
// columns in the existing rows. It may be called at any time, and by several programs
// concurrently. Workers of both versions may share the table; but if an older version
// saves an existing row, it does not update the new columns.
func (s *Store) Create(ctx context.Context) error {
	d, err := s.dialect()
	if err != nil {
		return err
	}
	// Check first whether anything is to do, because CREATE and ALTER take locks and are
	// replicated even if they change nothing.
	err = s.fill(ctx, d)
	if err == nil || ctx.Err() != nil {
		return err
	}
	statements := []string{d.schema}
	if lacksColumn(errors.Unwrap(err)) {
		statements = d.columns
	}
	var failed error
	for _, statement := range statements {
		// A statement fails if another program has done the same meanwhile. The others
		// are executed nevertheless.
		if err := s.write(ctx, "create", statement); err != nil && failed == nil {
			failed = err
		}
	}
	// Check again at the end. If two programs create the table at once, PostgreSQL fails
	// one of them despite IF NOT EXISTS; and another table of this name may lack the
	// columns.
	switch missing := s.fill(ctx, d); {
	case missing == nil:
		return nil
	case failed == nil:
		return missing
	}
	return failed
}

// fill computes the columns of the rows that an older version has written. It fails if the
// table does not exist or lacks a column.
func (s *Store) fill(ctx context.Context, d dialect) error {
	for {
		rows, err := s.unfilled(ctx, d)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			c := conclude(r.data, d)
			// This changes nothing if the data was saved in the meantime.
			if err := s.write(ctx, "create", d.fill, c.due, c.confirmed, c.reason, c.lastAccepted, r.key, r.data); err != nil {
				return err
			}
		}
	}
}

// row is a row that fill reads.
type row struct {
	key  string
	data []byte
}

// unfilled returns a page of the rows whose columns were not computed yet.
func (s *Store) unfilled(ctx context.Context, d dialect) (page []row, err error) {
	err = s.try(ctx, "create", func() error {
		page = nil
		rows, err := s.db.QueryContext(ctx, d.unfilled)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				r                                        row
				updated, confirmed, reason, lastAccepted any
			)
			if err := rows.Scan(&r.key, &r.data, &updated, &confirmed, &reason, &lastAccepted); err != nil {
				return err
			}
			page = append(page, r)
		}
		return rows.Err()
	})
	return page, err
}

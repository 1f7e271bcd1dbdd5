package drivertest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// lastSaved is a Store that keeps what was saved last.
type lastSaved struct{ data []byte }

func (s *lastSaved) Load(context.Context, string) ([]byte, error) { return s.data, nil }
func (s *lastSaved) Save(_ context.Context, _ string, data []byte) error {
	s.data = data
	return nil
}

// BenchmarkLoad makes a Client for each of 100,000 accounts and loads it from PostgreSQL,
// as a worker does that has just been started: through a pool of eight connections, and
// what each row holds is what a Client has saved after a sync.
func BenchmarkLoad(b *testing.B) {
	db := openPostgres(b)
	defer db.Close()
	store := sqlstore.New(db, sqlstore.PostgreSQL)
	if err := store.Create(b.Context()); err != nil {
		b.Fatal(reveal(err))
	}
	defer db.Exec("DROP TABLE icloud_store")

	// The accounts have one password. A row does not tell it from others.
	srv := icloudtest.NewServer()
	defer srv.Close()
	cred, saved := srv.Issue(), new(lastSaved)
	client, err := icloud.New(cred, &icloud.Options{Store: saved, Transport: srv.Transport()})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := client.Sync(b.Context(), "", func(icloud.Change) error { return nil }); err != nil {
		b.Fatal(err)
	}
	const accounts = 100_000
	options := &icloud.Options{Store: store, Fleet: new(icloud.Fleet)}
	each := func(do func(cred icloud.Credential) error) {
		b.Helper()
		var wg sync.WaitGroup
		for worker := range workers {
			wg.Go(func() {
				for i := worker; i < accounts; i += workers {
					cred := cred
					cred.AppleID = fmt.Sprintf("account%d@example.com", i)
					if err := do(cred); err != nil {
						b.Error(reveal(err))
						return
					}
				}
			})
		}
		wg.Wait()
	}
	each(func(cred icloud.Credential) error {
		key, err := icloud.AccountKey("", cred.AppleID)
		if err != nil {
			return err
		}
		return store.Save(b.Context(), key, saved.data)
	})
	if _, err := db.ExecContext(b.Context(), "ANALYZE icloud_store"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		each(func(cred icloud.Credential) error {
			client, err := icloud.New(cred, options)
			if err != nil {
				return err
			}
			if err := client.Load(b.Context()); err != nil {
				return err
			}
			if s := client.Status(); s.State != icloud.Active {
				return fmt.Errorf("got %v, want %v", s.State, icloud.Active)
			}
			return nil
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/accounts, "ns/account")
	b.ReportMetric(float64(len(saved.data)), "B/record")
}

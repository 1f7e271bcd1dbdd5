// How an account comes in, and comes back: what the web form of a service does
// when an owner has entered an app-specific password.

package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/go-icloud/icloud"
)

// connect asks iCloud about a password, while its owner waits for the answer, and
// hands the account to the workers. Called for an account that is there it
// reconnects it, which keeps its contacts and their sync token. A password that is
// refused changes nothing; the error's Remedy is for its owner.
func (f *fleet) connect(ctx context.Context, cred icloud.Credential) error {
	cred.AppleID = strings.ToLower(strings.TrimSpace(cred.AppleID))
	client, err := icloud.New(cred, &f.options)
	if err != nil {
		return err
	}
	if err := client.Authenticate(ctx); err != nil {
		return err
	}
	sealed := f.sealer.seal(cred)
	return pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		var id int64
		// It waits for a sync that is under way with the old password.
		err := tx.QueryRow(ctx, `
			INSERT INTO accounts (apple_id, password, issued) VALUES ($1, $2, $3)
			ON CONFLICT (apple_id) DO UPDATE SET password = excluded.password, issued = excluded.issued,
				generation = accounts.generation + 1, state = 'active', hold = NULL, due = now()
			RETURNING id`, cred.AppleID, sealed, cred.Issued).Scan(&id)
		if err != nil {
			return err
		}
		result, err := f.jobs.InsertTx(ctx, tx, syncArgs{id}, nil)
		if err == nil && result.UniqueSkippedAsDuplicate {
			// It may be snoozing, because of the old password for instance.
			_, err = f.jobs.JobRetryTx(ctx, tx, result.Job.ID)
		}
		return err
	})
}

// sealer encrypts passwords for the database, so that a dump of it, a backup or a
// replica opens nobody's address book.
type sealer struct{ aead cipher.AEAD }

// newSealer takes a key of 32 bytes, in base64.
func newSealer(key string) (*sealer, error) {
	bytes, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(bytes) != 32 {
		return nil, errors.New("FLEET_KEY is not 32 bytes in base64")
	}
	block, err := aes.NewCipher(bytes)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead}, err
}

// seal encrypts a password. The Apple ID is sealed with it, though not in it, so
// that one account's password cannot be moved into another's row.
func (s *sealer) seal(cred icloud.Credential) []byte {
	return s.aead.Seal(nil, nil, []byte(cred.Password.Reveal()), []byte(cred.AppleID))
}

// open is the inverse of seal.
func (s *sealer) open(sealed []byte, appleID string) (icloud.Password, error) {
	text, err := s.aead.Open(nil, nil, sealed, []byte(appleID))
	if err != nil {
		return icloud.Password{}, errors.New("a sealed password cannot be opened with this FLEET_KEY")
	}
	return icloud.UncheckedPassword(string(text)), nil
}

// How passwords are kept.

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"

	"github.com/go-icloud/icloud"
)

// sealer encrypts passwords for the database, so that nobody can read an address book
// with a dump, a backup or a replica.
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

// seal encrypts a password. The Apple ID is authenticated with it but not stored in it,
// so that the password cannot be moved into the row of another account.
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

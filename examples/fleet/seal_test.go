package main

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/go-icloud/icloud"
)

// A sealed password can be opened only with the same key and for the same account.
func TestSealer(t *testing.T) {
	t.Parallel()
	sealer := func(b byte) *sealer {
		s, err := newSealer(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	cred := icloud.Credential{AppleID: "a@example.com", Password: icloud.UncheckedPassword("abcd-efgh-ijkl-mnop")}
	sealed := sealer(1).seal(cred)
	if bytes.Contains(sealed, []byte("abcd")) || bytes.Equal(sealed, sealer(1).seal(cred)) {
		t.Errorf("got %q, want nothing to be read, or to be recognized", sealed)
	}
	if p, err := sealer(1).open(sealed, cred.AppleID); err != nil || p.Reveal() != cred.Password.Reveal() {
		t.Errorf("got %v, want the password back", err)
	}
	if _, err := sealer(2).open(sealed, cred.AppleID); err == nil {
		t.Error("another key opens it")
	}
	if _, err := sealer(1).open(sealed, "b@example.com"); err == nil {
		t.Error("it opens for another account")
	}
	for _, key := range []string{"", "short", base64.StdEncoding.EncodeToString(make([]byte, 16))} {
		if _, err := newSealer(key); err == nil {
			t.Errorf("%q is taken for a key", key)
		}
	}
}

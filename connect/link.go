// Links: what they contain, how they are signed, and when they are valid.

package connect

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// linkParam is the query parameter that carries a link's token.
	linkParam = "link"

	minSecret = 32
	maxID     = 512
	tagSize   = sha256.Size
	maxToken  = (8 + tagSize + maxID + tagSize + 2) / 3 * 4
)

// A token is, in base64url,
//
//	8 bytes      when it expires, in milliseconds since 1970
//	32 bytes     HMAC of the account's id and generation, at the time of signing
//	n bytes      the id
//	32 bytes     HMAC of all that
//
// The last HMAC is checked first, so that a forged token causes no call of
// Config.Account. The other HMAC is then compared with the account's generation.

// claim is what a token with a good signature says.
type claim struct {
	id         string
	expires    time.Time
	generation []byte
}

// signer makes and checks tokens. It has a key for each of the two HMACs.
type signer struct{ token, generation []byte }

func newSigner(secret []byte) signer {
	return signer{token: derive(secret, "icloud/connect link v1"), generation: derive(secret, "icloud/connect generation v1")}
}

// derive returns the key for one use, which is worthless for any other use of the Secret.
func derive(secret []byte, use string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, use, sha256.Size)
	if err != nil {
		panic(err) // happens only for keys of more than 8 KiB
	}
	return key
}

// sign returns a token.
func (s signer) sign(id, generation string, expires time.Time) string {
	token := binary.BigEndian.AppendUint64(nil, uint64(expires.UnixMilli()))
	token = append(token, s.mark(id, generation)...)
	token = append(token, id...)
	token = append(token, tag(s.token, token)...)
	return base64.RawURLEncoding.EncodeToString(token)
}

// check returns what a token says, if s has signed it and it was not changed.
func (s signer) check(text string) (claim, bool) {
	if len(text) > maxToken {
		return claim{}, false
	}
	token, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(token) <= 8+2*tagSize {
		return claim{}, false
	}
	signed, signature := token[:len(token)-tagSize], token[len(token)-tagSize:]
	if !hmac.Equal(signature, tag(s.token, signed)) {
		return claim{}, false
	}
	return claim{
		id:         string(signed[8+tagSize:]),
		expires:    time.UnixMilli(int64(binary.BigEndian.Uint64(signed))),
		generation: signed[8 : 8+tagSize],
	}, true
}

// used says whether the generation of the account has changed since c was signed.
func (s signer) used(c claim, generation string) bool {
	return !hmac.Equal(c.generation, s.mark(c.id, generation))
}

// mark returns the HMAC of a generation. It includes the id so that nobody can see which
// accounts have the same generation.
func (s signer) mark(id, generation string) []byte {
	return tag(s.generation, []byte(id+generation))
}

func tag(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

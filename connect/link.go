// Links: what is under their signature, and when they are good.

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
//	8 bytes      when it runs out, in milliseconds since 1970
//	32 bytes     HMAC of the account's id and generation, at the time of signing
//	n bytes      the id
//	32 bytes     HMAC of all that
//
// The last is checked first, so that a token that was made up costs neither a look
// at the service's records nor anything else; the other one afterwards, against the
// record.

// claim is what a token with a good signature says.
type claim struct {
	id         string
	expires    time.Time
	generation []byte
}

// signer makes and checks tokens. Each of its keys has one use.
type signer struct{ token, generation []byte }

func newSigner(secret []byte) signer {
	return signer{token: derive(secret, "icloud/connect link v1"), generation: derive(secret, "icloud/connect generation v1")}
}

// derive returns the key for one use. The Secret may serve other uses elsewhere.
func derive(secret []byte, use string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, use, sha256.Size)
	if err != nil {
		panic(err) // for keys of more than 8 KiB only
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

// check returns what a token says, if it is one of ours and was not changed.
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

// used says whether the account has changed since c was signed.
func (s signer) used(c claim, generation string) bool {
	return !hmac.Equal(c.generation, s.mark(c.id, generation))
}

// mark stands for a generation in a token. The id is under it so that nobody sees
// which accounts have the same generation.
func (s signer) mark(id, generation string) []byte {
	return tag(s.generation, []byte(id+generation))
}

func tag(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

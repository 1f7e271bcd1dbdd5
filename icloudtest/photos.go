// Photos, which are not in the cards but on a host of their own.

package icloudtest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

type photo struct {
	data      []byte
	mediaType string
}

// PutPhoto adds a photo to the account and returns its URL, for a line
// PHOTO;VALUE=uri: of a card. Behind the URL it is served, with the media
// type, to requests with the account's credentials.
func (a *Account) PutPhoto(data []byte, mediaType string) (url string) {
	// What iCloud hashes is not known; that two photos differ is enough.
	sum := sha256.Sum256(data)
	path := "/contacts/" + a.dsid + "/ck/card/" + base64.RawURLEncoding.EncodeToString(sum[:20])
	a.mu.Lock()
	defer a.mu.Unlock()
	a.photos[path] = photo{append([]byte(nil), data...), mediaType}
	return "https://gateway.icloud.com" + path
}

// servePhoto answers on the photo host, which asks for the password as the
// others do and knows nothing but photos.
func (a *Account) servePhoto(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	p, ok := a.photos[r.URL.Path]
	a.mu.Unlock()
	switch {
	case !ok:
		empty(w, http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		empty(w, http.StatusBadRequest)
	default:
		w.Header().Set("Content-Type", p.mediaType)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(p.data)))
	}
}

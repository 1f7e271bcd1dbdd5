// Photos that are not in the cards but on the photo host.

package icloudtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

type photo struct {
	data      []byte
	mediaType string
}

// oldPhotos follows the account's number in the URLs of older photos.
const oldPhotos = "/wbs/"

// PutPhoto adds a photo to the account and returns its URL, for a line PHOTO;VALUE=uri: in a
// card. The Server serves the photo with this media type to requests with a password of the
// account.
func (a *Account) PutPhoto(data []byte, mediaType string) (url string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.putPhoto(data, mediaType)
}

// putPhoto is PutPhoto for a caller that holds a.mu.
func (a *Account) putPhoto(data []byte, mediaType string) (url string) {
	// What iCloud hashes is not known. Different photos need different URLs.
	sum := sha256.Sum256(data)
	host, path := "gateway.icloud.com", "/contacts/"+a.dsid+"/ck/card/"+base64.RawURLEncoding.EncodeToString(sum[:20])
	if a.srv.OldPhotos {
		host, path = "p02-contacts.icloud.com:443", "/"+a.dsid+oldPhotos+hex.EncodeToString(sum[:21])
		if a.partition == "p02" {
			host = "p06-contacts.icloud.com:443"
		}
	}
	a.photos[path] = photo{append([]byte(nil), data...), mediaType}
	return "https://" + host + path
}

// movePhotos replaces the photos in a card by their URLs. A photo that cannot be decoded is
// not changed. The caller holds a.mu.
func (a *Account) movePhotos(vcard string) string {
	var b strings.Builder
	for _, l := range lines(vcard) {
		data, err := base64.StdEncoding.DecodeString(l.value)
		if !strings.EqualFold(l.name, "PHOTO") || !l.base64() || err != nil || len(data) == 0 {
			b.WriteString(l.raw)
			continue
		}
		if l.group != "" {
			b.WriteString(l.group + ".")
		}
		b.WriteString(l.name)
		mediaType := "image/jpeg"
		for _, param := range l.params {
			name, value, _ := strings.Cut(param, "=")
			switch strings.ToUpper(name) {
			case "ENCODING", "BASE64":
			case "TYPE":
				mediaType = "image/" + strings.ToLower(value)
			default:
				b.WriteString(";" + param)
			}
		}
		b.WriteString(";VALUE=uri:" + a.putPhoto(data, mediaType))
		b.WriteString(l.raw[len(strings.TrimRight(l.raw, "\r\n")):])
	}
	return b.String()
}

// base64 says whether the value of a line is binary data (RFC 2426, section
// 2.4.1, and vCard 2.1).
func (l line) base64() bool {
	for _, param := range l.params {
		switch strings.ToUpper(param) {
		case "ENCODING=B", "ENCODING=BASE64", "BASE64":
			return true
		}
	}
	return false
}

// servePhoto answers a request for a photo. The caller has checked the password.
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

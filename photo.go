// Photos, which are in the card or, as in the cards that Apple's programs write, at a
// URL on another of iCloud's hosts.

package icloud

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-icloud/icloud/internal/origin"
	"github.com/go-icloud/icloud/internal/vcf"
)

// maxPhoto bounds a photo. Apple allows 224 KB.
const maxPhoto = 1 << 20

var (
	errPhotoTooLarge = fmt.Errorf("icloud: the photo is larger than %d MiB", maxPhoto>>20)
	errPhotoUnread   = errors.New("icloud: the photo cannot be decoded")
)

// unescaped undoes what vCard does to text, and some servers to addresses, where a
// backslash can mean nothing else. Base64 has none.
var unescaped = strings.NewReplacer(`\:`, ":", `\,`, ",", `\;`, ";", `\\`, `\`)

// Photo returns the photo of a contact and its media type, such as "image/jpeg", which
// it finds by looking at the data. data is nil if the card has no photo. Photo sends a
// request only if the card has the URL of a photo, as iCloud's cards do. The password is
// sent with this request if the URL is on a host that may see the password; any other
// URL is an error.
//
// The answer is never evidence about the password: a 401 to the request is a
// [*ResponseError]. The error is [ErrNotFound] if there is no photo at the URL. A photo
// of more than 1 MiB is an error.
func (c *Client) Photo(ctx context.Context, contact *Contact) (data []byte, mediaType string, err error) {
	if contact == nil {
		return nil, "", errors.New("icloud: Photo of a nil Contact")
	}
	line, ok := vcf.Find(contact.VCard, "PHOTO")
	value := strings.TrimSpace(unescaped.Replace(string(line.Value)))
	if !ok || value == "" {
		return nil, "", nil
	}
	// What the card says: MEDIATYPE in vCard 4.0, TYPE=JPEG before.
	said := line.Param("MEDIATYPE")
	if t := strings.ToLower(line.Param("TYPE")); said == "" && t != "" {
		said = "image/" + strings.TrimPrefix(t, "image/")
	}
	scheme, rest, _ := strings.Cut(value, ":")
	switch scheme = strings.ToLower(scheme); {
	case scheme == "data":
		data, said, err = dataURI(rest)
	case scheme == "http", scheme == "https":
		call := c.begin()
		data, said, err = c.fetchPhoto(ctx, value)
		err = call.endOther(ctx, err)
	// cid: for one, which means a part of an e-mail.
	case strings.EqualFold(line.Param("VALUE"), "uri"):
		err = errors.New("icloud: the photo's address is of an unknown kind")
	// With or without ENCODING=b: nothing else can be meant.
	default:
		data, err = decodeBase64(value)
	}
	if err != nil || len(data) == 0 {
		return nil, "", err
	}
	mediaType = http.DetectContentType(data)
	if !strings.HasPrefix(mediaType, "image/") {
		if strings.HasPrefix(mediaType, "text/") && !strings.HasPrefix(said, "image/svg") {
			return nil, "", errPhotoUnread // a page that says why there is none
		}
		if strings.HasPrefix(said, "image/") {
			mediaType = said // HEIC, for one, is not sniffed
		}
	}
	return data, mediaType, nil
}

// fetchPhoto gets a photo from one of iCloud's hosts.
func (c *Client) fetchPhoto(ctx context.Context, address string) (data []byte, said string, err error) {
	// The card's word, and so the word of whoever could write it: it passes the
	// same gate as a server's.
	u, err := c.gate.Resolve(c.endpoint, address)
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", origin.ErrBadURL
	}
	resp, err := c.do(req, photoRequest)
	if err != nil {
		return nil, "", err
	}
	defer discard(resp)
	if wait, ok := throttled(resp); ok {
		// For the caller to know. The account is another service's matter.
		return nil, "", &ResponseError{Method: req.Method, StatusCode: resp.StatusCode, RetryAfter: max(wait, 0)}
	}
	if resp.StatusCode != http.StatusOK || isPage(resp) {
		return nil, "", notFound(responseError(resp))
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxPhoto+1))
	switch {
	case err != nil:
		return nil, "", bodyError(req, err)
	case len(data) > maxPhoto:
		return nil, "", errPhotoTooLarge
	case len(data) == 0:
		return nil, "", errPhotoUnread // the card says that there is one
	}
	return data, resp.Header.Get("Content-Type"), nil
}

// dataURI decodes what follows "data:" (RFC 2397).
func dataURI(s string) (data []byte, said string, err error) {
	head, body, ok := strings.Cut(s, ",")
	if !ok {
		return nil, "", errPhotoUnread
	}
	said, _, _ = strings.Cut(head, ";")
	plain, err := url.PathUnescape(body)
	if err != nil {
		return nil, "", errPhotoUnread
	}
	if strings.HasSuffix(strings.ToLower(head), ";base64") {
		data, err = decodeBase64(plain)
		return data, said, err
	}
	if len(plain) > maxPhoto {
		return nil, "", errPhotoTooLarge
	}
	return []byte(plain), said, nil
}

// decodeBase64 decodes base64 as people fold it: white space anywhere, padding or
// none.
func decodeBase64(s string) ([]byte, error) {
	// The padding is dropped too, since cards are found with and without.
	compact := bytes.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == '=' {
			return -1
		}
		return r
	}, []byte(s))
	// Before anything is allocated for it.
	if base64.RawStdEncoding.DecodedLen(len(compact)) > maxPhoto {
		return nil, errPhotoTooLarge
	}
	data := make([]byte, base64.RawStdEncoding.DecodedLen(len(compact)))
	n, err := base64.RawStdEncoding.Decode(data, compact)
	if err != nil {
		return nil, errPhotoUnread
	}
	return data[:n], nil
}

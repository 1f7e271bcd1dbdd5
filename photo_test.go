package icloud_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

var jpeg = append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF"), bytes.Repeat([]byte{1, 2, 3, 250}, 200)...)

// fold folds a line after 75 bytes.
func fold(line string) string {
	var b strings.Builder
	for len(line) > 75 {
		b.WriteString(line[:75] + "\r\n ")
		line = line[75:]
	}
	return b.String() + line
}

func withPhoto(line string) *icloud.Contact {
	return &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:x\r\n" + line + "END:VCARD\r\n")}
}

func TestPhotoInline(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 0)
	text := base64.StdEncoding.EncodeToString(jpeg)
	tests := []struct {
		name, line string
		data       []byte
		mediaType  string
		fails      bool
	}{
		{"none", "", nil, "", false},
		{"empty", "PHOTO:\r\n", nil, "", false},
		{"inline", "PHOTO;ENCODING=b;TYPE=JPEG:" + text + "\r\n", jpeg, "image/jpeg", false},
		{"folded", fold("PHOTO;X-ABCROP-RECTANGLE=ABClipRect_1&0&0&1&1&x==;ENCODING=b;TYPE=JPEG:"+text) + "\r\n", jpeg, "image/jpeg", false},
		{"2.1", "PHOTO;JPEG;ENCODING=BASE64:" + text + "\r\n\r\n", jpeg, "image/jpeg", false},
		{"in a group", "item1.photo;encoding=b:" + strings.TrimRight(text, "=") + "\r\n", jpeg, "image/jpeg", false},
		{"data URI", fold("PHOTO:data:image/jpeg;base64,"+text) + "\r\n", jpeg, "image/jpeg", false},
		{"data URI, escaped", "PHOTO;VALUE=uri:data:image/png,%89PNG%0D%0A%1A%0A\r\n", []byte("\x89PNG\r\n\x1a\n"), "image/png", false},
		{"data URI, as text is escaped", fold(`PHOTO:data:image/jpeg\;base64\,`+text) + "\r\n", jpeg, "image/jpeg", false},
		{"data URI, drawn", "PHOTO:data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>\r\n", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml", false},
		{"the type lies", "PHOTO;ENCODING=b;TYPE=PNG:" + text + "\r\n", jpeg, "image/jpeg", false},
		{"a type that cannot be sniffed", "PHOTO;ENCODING=b;TYPE=HEIC:" + base64.StdEncoding.EncodeToString([]byte{0, 1, 2, 3, 250}) + "\r\n", []byte{0, 1, 2, 3, 250}, "image/heic", false},
		{"junk", "PHOTO;ENCODING=b:!!!\r\n", nil, "", true},
		{"too large", "PHOTO;ENCODING=b:" + strings.Repeat("AAAA", 1<<20/3+1) + "\r\n", nil, "", true},
		{"unknown scheme", "PHOTO;VALUE=uri:ftp://contacts.icloud.com/x\r\n", nil, "", true},
	}
	for _, test := range tests {
		data, mediaType, err := client.Photo(t.Context(), withPhoto(test.line))
		if !bytes.Equal(data, test.data) || mediaType != test.mediaType || (err != nil) != test.fails {
			t.Errorf("%s: got %d bytes, %q, %v", test.name, len(data), mediaType, err)
		}
	}
	if server.Requests() != 0 {
		t.Errorf("%d requests were sent", server.Requests())
	}
	if _, _, err := client.Photo(t.Context(), nil); err == nil {
		t.Error("a nil contact has a photo")
	}
}

func TestPhotoURI(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 0)
	contact := withPhoto(fold("PHOTO;X-ABCROP-RECTANGLE=ABClipRect_1&0&14&381&381&x==;VALUE=uri:"+server.PutPhoto(jpeg, "image/jpeg")) + "\r\n")
	escaped := withPhoto("PHOTO;VALUE=uri:" + strings.ReplaceAll(server.PutPhoto(jpeg, "image/jpeg"), ":", `\:`) + "\r\n")
	if data, _, err := client.Photo(t.Context(), escaped); !bytes.Equal(data, jpeg) || err != nil {
		t.Errorf("an address with escaped colons: got %d bytes, %v", len(data), err)
	}
	data, mediaType, err := client.Photo(t.Context(), contact)
	if !bytes.Equal(data, jpeg) || mediaType != "image/jpeg" || err != nil {
		t.Fatalf("got %d bytes, %q, %v", len(data), mediaType, err)
	}
	// A photo does not prove that the password works, and its absence does not prove the
	// opposite.
	if state := client.Status().State; state != icloud.Untested {
		t.Errorf("the state is %v", state)
	}
	for name, fault := range map[string]icloudtest.Fault{
		"401":    icloudtest.Unauthorized,
		"404":    icloudtest.Status(404),
		"empty":  icloudtest.Status(200),
		"portal": icloudtest.CaptivePortal,
		"cut":    icloudtest.Cut(10),
		"reset":  icloudtest.Reset,
	} {
		server.Intercept = fault
		before := server.Requests()
		data, _, err := client.Photo(t.Context(), contact)
		if _, ok := errors.AsType[*icloud.AuthError](err); data != nil || err == nil || ok || client.Status().State != icloud.Untested {
			t.Errorf("%s: got %d bytes, %v, state %v", name, len(data), err, client.Status().State)
		}
		if name == "401" && server.Requests()-before != 1 {
			t.Errorf("a photo's 401 was asked about: %d requests", server.Requests()-before)
		}
	}
	server.Intercept = nil
	if _, _, err := client.Photo(t.Context(), withPhoto("PHOTO;VALUE=uri:"+server.PutPhoto(make([]byte, 1<<20+1), "image/jpeg")+"\r\n")); err == nil {
		t.Error("a photo over the bound has no error")
	}
}

func TestPhotoElsewhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"https://attacker.test/p", "https://icloud.com.attacker.test/p", "http://gateway.icloud.com/p",
		"https://gateway.icloud.com:8443/p", "https://user@gateway.icloud.com/p", `https://gateway.icloud.com\@attacker.test/p`,
	} {
		client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
			Transport: wire(func(r *http.Request, _ string) *http.Response {
				t.Errorf("%s: sent", address)
				return answer(200, "")
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := client.Photo(t.Context(), withPhoto("PHOTO;VALUE=uri:"+address+"\r\n")); err == nil {
			t.Errorf("%s: got no error", address)
		}
	}
}

// TestPhotoBehindEmpty: a PHOTO without a value does not hide the photo.
func TestPhotoBehindEmpty(t *testing.T) {
	t.Parallel()
	_, client := fake(t, 0)
	photo := "PHOTO;ENCODING=b;TYPE=PNG:iVBORw0KGgo=\r\n"
	for _, lines := range []string{photo, "PHOTO:\r\n" + photo, "PHOTO;VALUE=uri:  \r\n" + photo} {
		data, kind, err := client.Photo(t.Context(), withPhoto(lines))
		if err != nil || kind != "image/png" || len(data) != 8 {
			t.Errorf("%q: got %d bytes, %q, %v", lines, len(data), kind, err)
		}
	}
	if data, _, err := client.Photo(t.Context(), withPhoto("PHOTO:\r\n")); data != nil || err != nil {
		t.Errorf("got %d bytes, %v of an empty one", len(data), err)
	}
}

// TestPhotoIsNoEvidence: refusals and acceptances of the photo host say nothing about the
// password.
func TestPhotoIsNoEvidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		url := r.srv.PutPhoto([]byte("\x89PNG\r\n\x1a\n"), "image/png")
		contact := &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;VALUE=uri:" + url + "\r\nEND:VCARD\r\n")}
		r.mustList()
		before := r.Status()
		r.toldSoFar()
		r.srv.Intercept = icloudtest.Unauthorized // would refuse a probe too
		for range 5 {
			_, _, err := r.Photo(t.Context(), contact)
			refuted(t, err)
			time.Sleep(time.Hour)
		}
		if got := r.Status(); got != before {
			t.Errorf("got status %+v, want %+v", got, before)
		}
		// A success of the photo host refutes nothing.
		slow := make(chan error)
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.Host == "gateway.icloud.com" {
				time.Sleep(time.Minute)
				return false
			}
			return icloudtest.Unauthorized(w, req)
		}
		go func() {
			_, _, err := r.Photo(t.Context(), contact)
			slow <- err
		}()
		verdictOf(t, r.list())
		if err := <-slow; err != nil {
			t.Errorf("photo: got %v, want no error", err)
		}
		if got := r.Status().State; got != icloud.Doubted {
			t.Errorf("got state %v, want doubted", got)
		}
	})
}

package icloudtest_test

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// The forms of ETags: the present one, and the one from before 2021.
var (
	etagForm    = regexp.MustCompile(`^"[0-9a-z]{8}"$`)
	oldETagForm = regexp.MustCompile(`^"C=\d+@U=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"$`)
)

func TestReadCard(t *testing.T) {
	t.Parallel()
	s := start(t)
	card := cardNamed("Zoë & <co>" + strings.Repeat(" ", 5000)) // too long for net/http's own Content-Length
	s.srv.Put("a.vcf", card)
	url := s.book() + "a.vcf"
	a := s.want(http.StatusOK, "GET", url, "")
	equal(t, "body", a.body, card)
	etag := a.Header.Get("Etag")
	if !etagForm.MatchString(etag) {
		t.Errorf("ETag %s, want iCloud's form", etag)
	}
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/vcard") {
		t.Errorf("Content-Type %q", got)
	}
	h := s.want(http.StatusOK, "HEAD", url, "")
	equal(t, "body of HEAD", h.body, "")
	equal(t, "ETag of HEAD", h.Header.Get("Etag"), etag)
	equal(t, "length by HEAD", h.ContentLength, int64(len(card)))
	equal(t, "body of 304", s.want(http.StatusNotModified, "GET", url, "", "If-None-Match", etag).body, "")
	s.want(http.StatusOK, "GET", url, "", "If-None-Match", `"other"`)
	s.want(http.StatusNotFound, "GET", s.book()+"b.vcf", "")
	s.want(http.StatusNotFound, "PROPFIND", s.book()+"b.vcf", askETags)
	rows := s.rows("PROPFIND", url, askETags, "Depth", "0")
	equal(t, "ETag by PROPFIND", rows[0].text("getetag"), etag)
	// With Depth 0 a card has an empty resourcetype.
	row := s.rows("PROPFIND", url, `<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>`, "Depth", "0")[0]
	if p, status := row.get("resourcetype"); status != "HTTP/1.1 200 OK" || len(p.Any) != 0 {
		t.Errorf("resourcetype of a card at Depth 0: %v, %q; want it empty, at 200", p, status)
	}
	s.srv.OldForms = true
	if old := s.want(http.StatusOK, "GET", url, "").Header.Get("Etag"); !oldETagForm.MatchString(old) {
		t.Errorf("ETag %s, want the older form", old)
	} else {
		s.want(http.StatusNoContent, "PUT", url, card, "If-Match", old)
	}
}

// TestSpelling: a card is found by any spelling of its URL, and keeps the spelling with which
// it was created.
func TestSpelling(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a%20b%c3%a9'.vcf", cardNamed("x"))
	for _, id := range []string{"a%20b%c3%a9'.vcf", "a%20b%C3%A9%27.vcf", "%61%20bé'.vcf"} {
		s.want(http.StatusOK, "GET", s.book()+id, "")
		s.want(http.StatusNoContent, "PUT", s.book()+id, cardNamed("y"))
		ms := s.multistatus("REPORT", s.book(), askCards(s.bookPath()+id))
		if row := ms.Rows[0]; row.id() != "a%20b%c3%a9'.vcf" || row.text("address-data") != cardNamed("y") {
			t.Errorf("multiget of %s: %+v", id, row)
		}
	}
	s.want(http.StatusCreated, "PUT", s.book()+"new%2eVCF", cardNamed("z"))
	if got, _, _ := s.sync(""); got["new%2eVCF"] == "" {
		t.Errorf("changes %v, want the id as the client wrote it", got)
	}
}

func TestWriteCard(t *testing.T) {
	t.Parallel()
	s := start(t)
	url := s.book() + "a.vcf"
	etag := func() string {
		t.Helper()
		return s.want(http.StatusOK, "GET", url, "").Header.Get("Etag")
	}
	s.want(http.StatusPreconditionFailed, "PUT", url, cardNamed("a"), "If-Match", `"C=1"`)
	s.want(http.StatusPreconditionFailed, "PUT", url, cardNamed("a"), "If-Match", `*`)
	s.want(http.StatusNotFound, "DELETE", url, "")
	s.want(http.StatusPreconditionFailed, "DELETE", url, "", "If-Match", `*`)

	first := s.want(http.StatusCreated, "PUT", url, cardNamed("a"), "If-None-Match", "*").Header.Get("Etag")
	equal(t, "ETag of the answer", first, etag())
	s.want(http.StatusPreconditionFailed, "PUT", url, cardNamed("b"), "If-None-Match", "*")
	s.want(http.StatusPreconditionFailed, "PUT", url, cardNamed("b"), "If-Match", `"C=1@U=other"`)
	s.want(http.StatusPreconditionFailed, "PUT", url, cardNamed("b"), "If-Match", "W/"+first) // strong comparison
	equal(t, "ETag after refused writes", etag(), first)

	second := s.want(http.StatusNoContent, "PUT", url, cardNamed("b"), "If-Match", `"x", `+first).Header.Get("Etag")
	if second == first || second != etag() || !etagForm.MatchString(second) {
		t.Errorf("ETags %s, then %s; want another", first, second)
	}
	s.want(http.StatusNoContent, "PUT", url, cardNamed("c"), "If-Match", "*")
	s.want(http.StatusPreconditionFailed, "DELETE", url, "", "If-Match", second)
	third := etag()
	s.want(http.StatusNoContent, "DELETE", url, "", "If-Match", third)
	s.want(http.StatusNotFound, "GET", url, "")

	// An ETag is never used again, because a client would take the new card for the old
	// one.
	s.want(http.StatusCreated, "PUT", url, cardNamed("a"))
	if now := etag(); now == first || now == second || now == third {
		t.Errorf("ETag %s was another state's", now)
	}
	for _, bad := range []string{"", "x", "BEGIN:VCARD\r\n", strings.Replace(cardNamed("x"), "VCARD", "VEVENT", 2)} {
		s.want(http.StatusForbidden, "PUT", url, bad)
	}
	s.want(http.StatusNoContent, "PUT", url, "begin:vcard\nend:vcard")
	equal(t, "the card", s.want(http.StatusOK, "GET", url, "").body, "begin:vcard\nend:vcard")
	four := "BEGIN:VCARD\r\nVERSION:4.0\r\nX-Z:1\r\nitem1.TEL:1\r\nFN:x\r\nEND:VCARD\r\n"
	s.want(http.StatusNoContent, "PUT", url, four)
	equal(t, "a card of version 4.0", s.multistatus("REPORT", s.book(), askCards(s.bookPath()+"a.vcf")).Rows[0].text("address-data"), four)

	s.srv.RefuseIfMatchAny = true
	s.want(http.StatusPreconditionFailed, "PUT", url, cardNamed("c"), "If-Match", "*")
	s.want(http.StatusPreconditionFailed, "DELETE", url, "", "If-Match", "*")
	s.want(http.StatusNoContent, "PUT", url, cardNamed("c"), "If-Match", etag())
	s.srv.RefuseDeleteDepth = true
	s.want(http.StatusBadRequest, "DELETE", url, "", "Depth", "0")
	s.srv.OmitETag = true
	a := s.want(http.StatusNoContent, "PUT", url, cardNamed("d"))
	equal(t, "ETag with OmitETag", a.Header.Get("Etag"), "")
}

// TestBrokenUpload: a card that does not arrive completely is not written.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	s := start(t)
	url := s.book() + "a.vcf"
	s.want(http.StatusRequestEntityTooLarge, "PUT", url, "BEGIN:VCARD"+strings.Repeat(" ", 17<<20)+"END:VCARD")
	broken := io.MultiReader(strings.NewReader(cardNamed("a")), iotest.ErrReader(errors.New("broken")))
	req, err := http.NewRequestWithContext(t.Context(), "PUT", url, broken)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
	if resp, err := s.via.RoundTrip(req); err == nil {
		t.Errorf("got %s, want the error of the body", resp.Status)
		resp.Body.Close()
	}
	s.want(http.StatusNotFound, "GET", url, "")
}

// TestPutDelete: the methods of Server have the same effect as requests.
func TestPutDelete(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	s.want(http.StatusPreconditionFailed, "PUT", s.book()+"a.vcf", cardNamed("b"), "If-None-Match", "*")
	before := s.want(http.StatusOK, "GET", s.book()+"a.vcf", "").Header.Get("Etag")
	s.srv.Put("a.vcf", cardNamed("b"))
	a := s.want(http.StatusOK, "GET", s.book()+"a.vcf", "")
	equal(t, "the card", a.body, cardNamed("b"))
	if a.Header.Get("Etag") == before {
		t.Error("the ETag is the same after another Put")
	}
	s.want(http.StatusPreconditionFailed, "PUT", s.book()+"a.vcf", cardNamed("c"), "If-Match", before)
	s.srv.Delete("a.vcf")
	s.want(http.StatusNotFound, "GET", s.book()+"a.vcf", "")

	for _, id := range []string{"", ".", "..", "a/b", "/a", "a?b", "a#b", "a\nb", "a\x00"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Put(%q) does not panic", id)
				}
			}()
			s.srv.Put(id, "")
		}()
	}
}

func TestLastModified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		time.Sleep(time.Hour)
		s.srv.Put("a.vcf", cardNamed("a"))
		time.Sleep(time.Hour)
		row := s.rows("PROPFIND", s.book(), "", "Depth", "1")[1]
		equal(t, "getlastmodified", row.text("getlastmodified"), "Sat, 01 Jan 2000 01:00:00 GMT")
	})
}

func TestPhoto(t *testing.T) {
	t.Parallel()
	s := start(t)
	data := []byte("\xff\xd8 not really")
	url := s.srv.PutPhoto(data, "image/jpeg")
	other := s.srv.PutPhoto([]byte("other"), "image/png")
	if !regexp.MustCompile(`^https://gateway\.icloud\.com/contacts/\d+/ck/card/[\w-]{20,}$`).MatchString(url) {
		t.Errorf("URL %q, want the form of iCloud's", url)
	}
	data[0] = 'X' // the Server must have its own copy
	a := s.want(http.StatusOK, "GET", url, "")
	equal(t, "photo", a.body, "\xff\xd8 not really")
	equal(t, "Content-Type", a.Header.Get("Content-Type"), "image/jpeg")
	equal(t, "the other", s.want(http.StatusOK, "GET", other, "").body, "other")
	s.want(http.StatusOK, "GET", strings.Replace(url, ".com/", ".com.cn/", 1), "")
	s.want(http.StatusNotFound, "GET", url+"x", "")
	s.want(http.StatusBadRequest, "PUT", url, "x")
	// Each host serves only its own paths.
	s.want(http.StatusNotFound, "PROPFIND", "https://gateway.icloud.com/", askPrincipal)
	s.want(http.StatusBadRequest, "GET", strings.Replace(url, "gateway", "contacts", 1), "")

	// A photo can be refused although the password is right.
	s.srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		return r.Host == "gateway.icloud.com" && icloudtest.Unauthorized(w, r)
	}
	s.want(http.StatusUnauthorized, "GET", url, "")
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
}

// TestCardLimits: cards and books over Apple's limits are refused if MaxCard and MaxCards
// are set.
func TestCardLimits(t *testing.T) {
	t.Parallel()
	s := start(t)
	large := strings.Replace(cardNamed("a"), "FN:", "NOTE:"+strings.Repeat("x", 1000)+"\r\nFN:", 1)
	s.want(http.StatusCreated, "PUT", s.book()+"a.vcf", large)
	s.srv.MaxCard, s.srv.MaxCards = len(large), 2
	s.want(http.StatusNoContent, "PUT", s.book()+"a.vcf", large)
	s.want(http.StatusForbidden, "PUT", s.book()+"a.vcf", large+" ")
	s.want(http.StatusCreated, "PUT", s.book()+"b.vcf", large)
	s.want(http.StatusForbidden, "PUT", s.book()+"c.vcf", cardNamed("c"))
	s.want(http.StatusNoContent, "PUT", s.book()+"b.vcf", cardNamed("b"))
	s.srv.Put("c.vcf", large+large) // the method Put has no limit
	s.want(http.StatusNotFound, "GET", s.book()+"d.vcf", "")
}

// TestPhotosAsURLs: a photo in a card that a program puts comes back as a URL, and the rest
// does not change.
func TestPhotosAsURLs(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		s := start(t)
		s.srv.PhotosAsURLs, s.srv.OldPhotos = true, old
		before, after := "BEGIN:VCARD\r\nFN:\"a;b\r\n", "NOTE:x\r\n  y\r\nPHOTO;ENCODING=b:!!!\r\nEND:VCARD\r\n"
		s.want(http.StatusCreated, "PUT", s.book()+"a.vcf",
			before+"item1.PHOTO;X-ABCROP-RECTANGLE=ABClipRect_1&0&14&381&381&x;ENCODING=b;TYPE=PNG:iVBO\r\n Rw0K\r\n"+after)
		got := s.want(http.StatusOK, "GET", s.book()+"a.vcf", "").body
		photo, ok := strings.CutPrefix(got, before+"item1.PHOTO;X-ABCROP-RECTANGLE=ABClipRect_1&0&14&381&381&x;VALUE=uri:")
		photo, rest, _ := strings.Cut(photo, "\r\n")
		if !ok || rest != after {
			t.Fatalf("the card came back as\n%s", got)
		}
		if strings.Contains(photo, "gateway.icloud.com") == old || partitionOf(photo) == partitionOf(s.book()) {
			t.Errorf("OldPhotos %v: the photo is at %s", old, photo)
		}
		a := s.want(http.StatusOK, "GET", photo, "")
		equal(t, "the photo", a.body, "\x89PNG\r\n")
		equal(t, "its type", a.Header.Get("Content-Type"), "image/png")
		stranger := *s
		stranger.cred = start(t).cred
		stranger.want(http.StatusUnauthorized, "GET", photo, "")
	}
}

// partitionOf returns the host of a URL.
func partitionOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	return host
}

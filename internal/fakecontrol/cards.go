// Cards and photos.

package fakecontrol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// maxCards is how many cards iCloud allows.
const maxCards = 50_000

// Card is a card of an address book.
type Card struct {
	ID    string `json:"id"`
	VCard string `json:"vcard"`
}

// Generate is the request for invented cards.
type Generate struct {
	Count int `json:"count"`
}

// IDs has the IDs of the cards that were put.
type IDs struct {
	IDs []string `json:"ids"`
}

// card returns the account and the card's id that the path names. The id is as written there.
func (c *call) card() (*account, string, error) {
	a, err := c.account()
	path := c.request.URL.EscapedPath()
	id := path[strings.LastIndex(path, "/")+1:]
	if err == nil && (id == "." || id == "..") {
		err = badRequest("that cannot be the name of a card")
	}
	return a, id, err
}

func (c *call) listCards() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	out := struct {
		Cards []Card `json:"cards"`
	}{[]Card{}}
	for id, vcard := range a.Cards() {
		out.Cards = append(out.Cards, Card{id, vcard})
	}
	return out, nil
}

func (c *call) getCard() (any, error) {
	a, id, err := c.card()
	if err != nil {
		return nil, err
	}
	vcard, ok := a.Card(id)
	if !ok {
		return nil, notFound("card")
	}
	return raw{"text/vcard; charset=utf-8", []byte(vcard)}, nil
}

func (c *call) putCard() (any, error) {
	a, id, err := c.card()
	if err != nil {
		return nil, err
	}
	a.Put(id, string(c.body))
	return Done{}, nil
}

func (c *call) deleteCard() (any, error) {
	a, id, err := c.card()
	if err != nil {
		return nil, err
	}
	if _, ok := a.Card(id); !ok {
		return nil, notFound("card")
	}
	a.Delete(id)
	return Done{}, nil
}

func (c *call) emptyBook() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	for id := range a.Cards() {
		a.Delete(id)
	}
	return Done{}, nil
}

// invent puts n invented cards into a book.
func (f *Fake) invent(a *account, n int) (ids []string) {
	for i := range n {
		id, vcard := f.config.Invent(i + 1)
		a.Put(id, vcard)
		ids = append(ids, id)
	}
	return ids
}

func (c *call) generate() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	var in Generate
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Count < 1 || in.Count > maxCards {
		return nil, badRequest("count must be 1 to %d, which is what iCloud holds", maxCards)
	}
	return IDs{c.fake.invent(a, in.Count)}, nil
}

// loadCards puts the cards of a .vcf file.
func (c *call) loadCards() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	cards := split(string(c.body))
	if len(cards) == 0 {
		return nil, badRequest("no card is in it: want lines from BEGIN:VCARD to END:VCARD")
	}
	out := IDs{[]string{}}
	for _, vcard := range cards {
		id := cardID(vcard)
		a.Put(id, vcard)
		out.IDs = append(out.IDs, id)
	}
	return out, nil
}

// split returns the cards of a .vcf file, byte for byte, without the text between them.
func split(text string) []string {
	var cards []string
	depth, from, at := 0, 0, 0
	for line := range strings.Lines(text) {
		switch name := strings.ToUpper(strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))); {
		case name == "BEGIN:VCARD":
			if depth++; depth == 1 {
				from = at
				if strings.HasPrefix(line, "\ufeff") {
					from += len("\ufeff")
				}
			}
		case name == "END:VCARD" && depth > 0:
			if depth--; depth == 0 {
				cards = append(cards, text[from:at+len(line)])
			}
		}
		at += len(line)
	}
	return cards
}

// cardID returns an ID for a card: its UID, or a hash of its bytes.
func cardID(vcard string) string {
	for line := range strings.Lines(vcard) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "UID") {
			if id := plain(strings.TrimPrefix(strings.TrimSpace(value), "urn:uuid:")); strings.Trim(id, "-.") != "" {
				return id + ".vcf"
			}
		}
	}
	sum := sha256.Sum256([]byte(vcard))
	return hex.EncodeToString(sum[:16]) + ".vcf"
}

// plain replaces characters that would have to be escaped in a URL.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r == '@' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, text)
}

// putPhoto adds a photo and returns its URL.
func (c *call) putPhoto() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	mediaType := c.request.Header.Get("Content-Type")
	if !strings.HasPrefix(mediaType, "image/") || len(c.body) == 0 {
		return nil, failure{http.StatusUnsupportedMediaType, fmt.Sprintf("want a photo and its type, as image/jpeg; got %d bytes", len(c.body))}
	}
	return struct {
		URL string `json:"url"`
	}{a.PutPhoto(c.body, mediaType)}, nil
}

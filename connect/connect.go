// Package connect is the page on which a customer of your product connects an
// iCloud account, and connects it again after its app-specific password has died:
// an [http.Handler] to mount, without JavaScript.
//
//	handler, err := connect.New(connect.Config{
//		Product:  "Acme",
//		BaseURL:  "https://app.acme.example/icloud/",
//		Secret:   secret,
//		Account:  service.account,
//		Save:     service.save,
//		Identify: service.session,
//	})
//	...
//	mux.Handle("/icloud/", handler)
//
// The page tells where at Apple an app-specific password is made, takes it in any
// form in which people paste it, recognizes the account's own password before
// anything is sent, and asks iCloud while the customer waits. When a password has
// died it says why, as far as package icloud knows. What is no fault of the
// customer's (an outage at Apple, a throttled account, an incident) is told as
// that, and the form keeps what was entered, but for the password.
//
// # Who may open it
//
// A customer who is signed in to your product is recognized by Config.Identify.
// One who is not, because the mail that says "please connect again" arrived on a
// phone, comes by a link from [Handler.Link]. A link is signed, is for one
// account, runs out, and is of no use once a password was saved by it or
// otherwise. Opening it changes nothing, so a scanner that fetches every link in a
// mail does no harm. Treat it like a password reset link: whoever has it can
// connect that account. It cannot show anything of the account but the
// reason why it has to be connected and a part of the Apple ID.
//
// A link opened in the session of another account is refused. Otherwise a customer
// could be led to connect their contacts to an account of somebody else's.
//
// # What is bounded
//
// For each of your accounts at most ten passwords within 15 minutes are sent to
// iCloud, and for each Apple ID at most 30, so that nobody can use the page to
// guess, or to have an Apple Account throttled. What iCloud asks to wait for is
// waited for. These counts are kept in the memory of the Handler: each process
// counts for itself, and a restart begins anew. Beyond the accounts that have tried
// something within the last 15 minutes nothing is kept.
//
// A form may have 16 KiB and take ten seconds to arrive, and iCloud has 20 seconds
// to answer: an http.Server.WriteTimeout of less than half a minute would cut the
// customer off. Where a middleware hides the connection from
// [http.ResponseController], the time for the form is bounded by
// http.Server.ReadTimeout alone.
//
// What is wrong with the configuration itself, and shows with a request only, is
// written to http.Server.ErrorLog; the customer is told that it is not their fault.
//
// # Languages
//
// The page comes in the language among English, German, French and Spanish that the
// browser asks for. Its texts are in the folder messages, one file a language.
// A new file there is a new language; what it lacks is shown in English.
package connect

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/go-icloud/icloud"
)

// Config is what a [Handler] needs to know of the service it is part of. Product,
// BaseURL, Secret, Account and Save are required. The functions are called
// concurrently, with the context of the request unless noted otherwise.
type Config struct {
	// Product is the name of the product. It is shown, and the customer is told to
	// file the password under it at Apple.
	Product string

	// BaseURL is the URL at which the Handler is mounted, and the beginning of every
	// link: absolute, https, or http on a loopback address, without query and
	// fragment. It is required because a link that is made from a request's Host
	// header could be made to lead elsewhere.
	BaseURL string

	// Secret signs the links: at least 32 bytes from a secure random source, the
	// same in all processes that make or serve links. Another Secret makes all
	// links invalid.
	Secret []byte

	// Account returns what the service has on record about an account. It is asked
	// at each request and each Link. An error of any kind is shown to the customer
	// as "not found".
	Account func(ctx context.Context, id string) (Account, error)

	// Save stores a credential that iCloud has just accepted: seal the password as
	// your other secrets, and change what Account returns as Generation in the same
	// transaction. Its context does not end when the customer closes the page. If
	// it returns an error, the page says that the password was good but could not be
	// stored, and a link stays good.
	Save func(ctx context.Context, id string, c icloud.Credential) error

	// Identify returns the id of the account in whose session a request was made,
	// or an error, or "", if there is no session. If nil, the page is open to those
	// who have a link, and to nobody else.
	Identify func(r *http.Request) (id string, err error)

	// Options returns the options with which a Client for an account is made, if
	// Account gives none: the Store, Fleet and Endpoint that your other Clients have.
	// If nil, or if it returns nil, they are zero options.
	Options func(id string) *icloud.Options

	// ReturnURL is where the customer is offered to go afterwards: an absolute URL
	// like BaseURL, or a path on BaseURL's host that begins with one slash. If empty
	// the customer is told to close the page. Nothing in a request changes it.
	ReturnURL string

	// Template draws the page. If nil it is ours, whose colors follow the CSS
	// variables --connect-background, --connect-text, --connect-muted,
	// --connect-border, --connect-accent, --connect-on-accent, --connect-error and
	// --connect-good, in light and in dark mode.
	//
	// One of your own finds the strings .Lang, .Product, .Title and .Nonce, and puts
	// ours into a frame of yours:
	//
	//	<!DOCTYPE html>
	//	<html lang="{{.Lang}}">
	//	<title>{{.Title}}</title>
	//	<meta name="viewport" content="width=device-width, initial-scale=1">
	//	<style nonce="{{.Nonce}}">{{template "style" .}}
	//	:root { --connect-accent: #a3195b }</style>
	//	<header><img src="/logo.png" alt="Acme"></header>
	//	{{template "content" .}}
	//
	// The Content-Security-Policy allows a style element with that Nonce, and images
	// of the same origin; no script, no style attribute, and nothing from elsewhere.
	// It must not have been executed before.
	Template *template.Template
}

// Account is what a service has on record about one of its accounts.
type Account struct {
	// AppleID is the Apple ID that the account is connected to, and "" before the
	// first time. Once it is set the page takes no other, so that the contacts of two
	// people are never merged.
	AppleID string

	// Generation is anything that changes whenever Save stores a credential: a
	// counter, a time, a hash of the sealed password. It is under the signature of a
	// link, so that a link that was used is dead. If it does not change, a link
	// stays good until it runs out.
	Generation string

	// Client is the process's Client of the account, if there is one: the new
	// password is given to its Reconnect, and the reason for which the old one died
	// is taken from it. If nil, a Client is made for the moment, with the options
	// from Config.Options, whose Store carries what it learns to the others.
	Client *icloud.Client
}

// A Handler serves the page. It is safe for concurrent use and need not be closed.
type Handler struct {
	config    Config
	base      *url.URL
	returnURL string // absolute, or ""
	signer    signer
	origins   *http.CrossOriginProtection
	languages languages
	page      *template.Template
	limits    limits
	turns     turns
}

// New returns a Handler. It calls none of the functions of c. The error is about
// c, and contains nothing secret.
func New(c Config) (*Handler, error) {
	h := &Handler{config: c}
	var err error
	switch {
	case strings.TrimSpace(c.Product) == "":
		return nil, errors.New("icloud/connect: Config.Product is empty")
	case strings.ContainsFunc(c.Product, unicode.IsControl):
		return nil, errors.New("icloud/connect: Config.Product contains a control character")
	case len(c.Secret) < minSecret:
		return nil, fmt.Errorf("icloud/connect: Config.Secret has %d bytes, and needs %d", len(c.Secret), minSecret)
	case c.Account == nil:
		return nil, errors.New("icloud/connect: Config.Account is nil")
	case c.Save == nil:
		return nil, errors.New("icloud/connect: Config.Save is nil")
	}
	if h.base, err = checkURL(c.BaseURL); err != nil {
		return nil, fmt.Errorf("icloud/connect: Config.BaseURL %w", err)
	}
	if h.base.RawQuery != "" || h.base.ForceQuery || h.base.Fragment != "" {
		return nil, errors.New("icloud/connect: Config.BaseURL has a query or a fragment")
	}
	if h.base.Path == "" {
		h.base.Path = "/"
	}
	if h.returnURL, err = checkReturn(c.ReturnURL, h.base); err != nil {
		return nil, fmt.Errorf("icloud/connect: Config.ReturnURL %w", err)
	}
	if h.languages, err = loadLanguages(); err != nil {
		return nil, err
	}
	if h.page, err = newTemplate(c.Template); err != nil {
		return nil, err
	}
	h.config.Product = strings.TrimSpace(c.Product)
	h.config.Secret = nil
	h.signer = newSigner(c.Secret)
	h.origins = http.NewCrossOriginProtection()
	// Behind a proxy that changes the Host header the two would differ.
	if err := h.origins.AddTrustedOrigin(origin(h.base)); err != nil {
		return nil, errors.New("icloud/connect: Config.BaseURL has no origin that a browser would name")
	}
	return h, nil
}

// origin is that of a URL as browsers name it: in lower case, and without the port
// that its scheme has anyway (RFC 6454, section 6.2).
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

// Link returns a link to the page for one account, to send to its owner by mail. It
// is good for ttl, and until a credential of the account is saved. A mail may lie
// unread over a weekend; a ttl of a week is a good choice.
//
// The link is signed and cannot be changed, but anybody who sees it can read the id
// in it. The error is about an argument, or is Config.Account's, wrapped.
func (h *Handler) Link(ctx context.Context, id string, ttl time.Duration) (string, error) {
	switch {
	case id == "":
		return "", errors.New("icloud/connect: Link without an id")
	case len(id) > maxID:
		return "", fmt.Errorf("icloud/connect: Link with an id of more than %d bytes", maxID)
	case ttl <= 0:
		return "", errors.New("icloud/connect: Link with a ttl that is not positive")
	}
	account, err := h.config.Account(ctx, id)
	if err != nil {
		return "", fmt.Errorf("icloud/connect: Config.Account: %w", err)
	}
	link := *h.base
	link.RawQuery = url.Values{linkParam: {h.signer.sign(id, account.Generation, time.Now().Add(ttl))}}.Encode()
	return link.String(), nil
}

// checkURL parses an absolute URL that a browser may be sent to.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return nil, errors.New("is empty")
	case err != nil || u.Opaque != "" || u.Hostname() == "" || strings.ContainsAny(text, "\\ "):
		return nil, errors.New("is not an absolute URL")
	case u.User != nil:
		return nil, errors.New("has a user name")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("is neither https nor http on a loopback address")
}

// checkReturn returns what Config.ReturnURL means.
func checkReturn(text string, base *url.URL) (string, error) {
	if text == "" {
		return "", nil
	}
	// Two slashes would begin with a host.
	if strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && !strings.Contains(text, "\\") {
		path, err := url.Parse(text)
		if err != nil {
			return "", errors.New("is not a path")
		}
		return base.ResolveReference(path).String(), nil
	}
	u, err := checkURL(text)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// isLoopback says whether host is this machine, whatever is on the network.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

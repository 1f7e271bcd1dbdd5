// Package connect has the web page on which a customer of your product connects an
// iCloud account, and connects it again after its app-specific password has died. The
// page is an [http.Handler] and uses no JavaScript.
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
// The page explains how to make an app-specific password at Apple's site. It accepts the
// password in any form in which people paste it, and recognizes the account's own
// password before anything is sent. Then it asks iCloud while the customer waits. If a
// password has died, the page says why, as far as package icloud knows. If something
// else has failed (an outage or an incident at Apple, a throttled account), the page says
// that it is not the customer's fault, and keeps what was entered except the password.
//
// # Who may open it
//
// Config.Identify recognizes a customer who is signed in to your product. Other
// customers, for example those who read the mail "please connect again" on a phone, use
// a link from [Handler.Link]. A link is signed and is for one account. It stops working
// at its end, and once a password of the account was saved. Opening a link changes
// nothing, so a scanner that fetches every link in a mail does no harm. Treat it like a
// link that resets a password: whoever has it can connect that account. The page shows
// nothing of the account but part of the Apple ID and the reason why it has to be
// connected again.
//
// The page refuses a link that is opened in the session of another account. Otherwise an
// attacker could make a customer connect their contacts to the attacker's account.
//
// # Limits
//
// Within 15 minutes the page sends at most 10 passwords for each of your accounts to
// iCloud, and at most 30 for each Apple ID. So nobody can use the page to guess
// passwords or to have an Apple Account throttled. If iCloud asks to wait, the page sends
// nothing until then. The Handler keeps these counts in memory, for 15 minutes: each
// process counts for itself, and a restart sets the counts to zero.
//
// A form may have 16 KiB and take 10 seconds to arrive, and iCloud has 20 seconds to
// answer. So an http.Server.WriteTimeout of less than 30 seconds may end a request too
// early. If a middleware hides the connection from [http.ResponseController], only
// http.Server.ReadTimeout limits the time for the form.
//
// Errors in the configuration that appear only during a request are written to
// http.Server.ErrorLog. The customer reads that it is not their fault.
//
// # Languages
//
// The page is in English, German, French or Spanish, whichever the browser prefers. The
// folder messages has a file of texts for each language. To add a language, add a file;
// texts that are missing in it are shown in English.
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

// Config describes your service to a [Handler]. Product, BaseURL, Secret, Account and
// Save are required. The Handler calls the functions concurrently, with the context of
// the request unless noted otherwise.
type Config struct {
	// Product is the name of your product. The page shows it, and tells customers to
	// give the password this name at Apple's site.
	Product string

	// BaseURL is the URL at which the Handler is mounted, and the beginning of every
	// link. It is an absolute https URL, or http on a loopback address, without query
	// and fragment. Links are not made from the Host header of a request, because an
	// attacker could change that.
	BaseURL string

	// Secret signs the links. It has at least 32 bytes from a secure random source, and
	// is the same in all processes that make or serve links. Links that were signed
	// with another Secret are invalid.
	Secret []byte

	// Account returns what the service has on record about an account. It is called at
	// each request and each Link. If it returns an error, the customer reads that the
	// account was not found.
	Account func(ctx context.Context, id string) (Account, error)

	// Save stores a credential that iCloud has just accepted. Issued is the present time
	// if the customer said that the password is new, else zero; store it too. Encrypt the
	// password like your other secrets, and change the Generation that Account returns in
	// the same transaction. The context does not end when the customer closes the page.
	// If Save returns an error, the page says that the password is right but could not
	// be stored, and a link remains valid.
	Save func(ctx context.Context, id string, c icloud.Credential) error

	// Identify returns the id of the account that is signed in with a request. If there
	// is no session, it returns "" or an error. If Identify is nil, only customers with
	// a link can open the page.
	Identify func(r *http.Request) (id string, err error)

	// Options returns the options for a new Client of an account, if Account has no
	// Client: the Store, Fleet and Endpoint of your other Clients. If Options is nil or
	// returns nil, the Client has zero options.
	Options func(id string) *icloud.Options

	// ReturnURL is the target of the link that the page shows after success: an absolute
	// URL like BaseURL, or a path on BaseURL's host that begins with one slash. If it is
	// empty, the page tells the customer to close it. No request can change ReturnURL.
	ReturnURL string

	// Template renders the page. If it is nil, the Handler uses its own template. The
	// colors of that template are the CSS variables --connect-background,
	// --connect-text, --connect-muted, --connect-border, --connect-accent,
	// --connect-on-accent, --connect-error and --connect-good, in light and dark mode.
	//
	// A template of yours gets the strings .Lang, .Product, .Title and .Nonce. It calls
	// the templates "style" and "content", which have the Handler's style and page:
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
	// The Content-Security-Policy allows a style element with that Nonce and images of
	// the same origin. It allows no script, no style attribute, and nothing from another
	// origin. The template must not have been executed before.
	Template *template.Template
}

// Account is what a service has on record about one of its accounts.
type Account struct {
	// AppleID is the Apple ID that the account is connected to; "" if it was never
	// connected. If it is set, the page accepts no other Apple ID, so that the contacts
	// of two people are never mixed.
	AppleID string

	// Generation is any text that changes whenever Save stores a credential, for example
	// a counter or a time. A link stops working when Generation changes. If it never
	// changes, a link works until its end.
	Generation string

	// Client is the Client of the account in this process, or nil if there is none. The
	// page calls its Reconnect with the new password, and shows the reason from its
	// Status. If it is nil, the page makes a Client with the options from
	// Config.Options. The Store tells other Clients that there is another password, but
	// not which: they need a Reconnect with the credential that Save has stored.
	Client *icloud.Client
}

// A Handler serves the page. Make it with [New]; the zero Handler is not usable. A
// Handler is safe for concurrent use and need not be closed.
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

// New returns a Handler. It calls none of the functions in c. It returns an error if a
// required field of c is empty, if Product contains a control character, if Secret is
// too short, if BaseURL or ReturnURL is not as described, or if executing Template
// fails. The error contains no secret.
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
	// Behind a proxy that changes the Host header, the header differs from the
	// Origin that browsers send.
	if err := h.origins.AddTrustedOrigin(origin(h.base)); err != nil {
		return nil, errors.New("icloud/connect: Config.BaseURL has no origin that a browser would name")
	}
	return h, nil
}

// origin returns the origin of a URL as browsers write it: in lower case, and without
// the default port of its scheme (RFC 6454, section 6.2).
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

// Link returns a link to the page for one account, to send to its owner by mail. The
// link works for ttl, and until a credential of the account is saved. A ttl of a week is
// a good choice, because a mail may be unread over a weekend.
//
// The link is signed and cannot be changed, but anybody who sees it can read the id in
// it. Link returns an error if id is empty or longer than 512 bytes, if ttl is not
// positive, or if Config.Account returns one, which it wraps.
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

// checkReturn returns Config.ReturnURL as an absolute URL, or "" if it is empty.
func checkReturn(text string, base *url.URL) (string, error) {
	if text == "" {
		return "", nil
	}
	// Two slashes would be followed by a host.
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

// isLoopback says whether host is localhost or a loopback address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

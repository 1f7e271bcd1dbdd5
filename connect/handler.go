// ServeHTTP: which account a request is for, by its link or session, and what all
// answers have in common.

package connect

import (
	"bytes"
	"context"
	"crypto/rand"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP serves the page. It uses the method and the query of the request, and not
// its path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{
		Handler:  h,
		w:        w,
		r:        r,
		language: h.languages.choose(strings.Join(r.Header.Values("Accept-Language"), ",")),
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		// Nothing is changed here, not even a count, because programs that scan
		// mails fetch every link in them.
		if v.recognize() && v.look(r.Context()) {
			p := new(page)
			v.form(r.Context(), p)
			v.render(http.StatusOK, p)
		}
	case http.MethodPost:
		v.submit()
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		v.problem(http.StatusMethodNotAllowed, "problem.method")
	}
}

// visit is one request.
type visit struct {
	*Handler
	w        http.ResponseWriter
	r        *http.Request
	language *language

	id      string // set by recognize
	link    *claim // nil if the account was found by the session
	account Account
}

// recognize finds out for which account the page is, without a call of Config.Account.
// If it cannot, it answers the request and returns false.
func (v *visit) recognize() bool {
	query, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return v.problem(http.StatusBadRequest, "problem.link")
	}
	session := ""
	if v.config.Identify != nil {
		if session, err = v.config.Identify(v.r); err != nil {
			session = ""
		}
	}
	tokens, linked := query[linkParam]
	if !linked {
		if session == "" {
			return v.problem(http.StatusForbidden, "problem.session")
		}
		v.id = session
		return true
	}
	if len(tokens) != 1 {
		return v.problem(http.StatusBadRequest, "problem.link")
	}
	link, ok := v.signer.check(tokens[0])
	switch {
	case !ok:
		return v.problem(http.StatusBadRequest, "problem.link")
	case !time.Now().Before(link.expires):
		return v.problem(http.StatusGone, "problem.expired")
	case session != "" && session != link.id:
		// The link is for somebody else's account. A customer who follows it
		// would give their contacts to that account.
		return v.problem(http.StatusForbidden, "problem.foreign")
	}
	v.id, v.link = link.id, &link
	return true
}

// look gets the account from the service. If there is none, or if the link was used, it
// answers the request and returns false.
func (v *visit) look(ctx context.Context) bool {
	account, err := v.config.Account(ctx, v.id)
	if err != nil {
		return v.problem(http.StatusNotFound, "problem.account")
	}
	if v.link != nil && v.signer.used(*v.link, account.Generation) {
		return v.problem(http.StatusGone, "problem.used")
	}
	v.account = account
	return true
}

// problem answers with a page without a form. It returns false.
func (v *visit) problem(status int, text string) bool {
	p := &page{Problem: text}
	v.page(p, kindProblem, "title.problem")
	v.render(status, p)
	return false
}

// page sets the fields of p that every kind of page has.
func (v *visit) page(p *page, kind, title string) {
	title = v.language.plain(title, "product", v.config.Product)
	p.Lang, p.language = v.language.tag, v.language
	p.Product = v.config.Product
	p.Kind, p.Title, p.Heading = kind, title, title
}

// render answers with p.
func (v *visit) render(status int, p *page) {
	p.Nonce = rand.Text()
	var body bytes.Buffer
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	h.Add("Vary", "Accept-Language")
	if err := v.Handler.page.Execute(&body, p); err != nil {
		// The template worked in New, so the error depends on this page. What was
		// rendered before the error is not sent.
		v.log("Config.Template: " + err.Error())
		body.Reset()
		body.WriteString(v.language.plain("fault.ours", "product", v.config.Product, "wait", v.language.wait(aMoment)) + "\n")
		h.Set("Content-Type", "text/plain; charset=utf-8")
		status = http.StatusInternalServerError
	}
	images := ""
	if v.config.Template != nil {
		images = "img-src 'self'; "
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Nonce+"'; "+images+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	// Not "no-referrer": with that, browsers send "Origin: null" with the form, and
	// browsers from before 2023 send no other header that shows the form's origin.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body.Bytes()) // an error means that the client has gone
	}
}

// log writes to the log to which net/http itself writes the errors of requests.
func (v *visit) log(text string) {
	logger := log.Default()
	if server, ok := v.r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.ErrorLog != nil {
		logger = server.ErrorLog
	}
	logger.Print("icloud/connect: " + text)
}

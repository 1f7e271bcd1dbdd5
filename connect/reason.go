// The form, and the reason that it shows: what is known of the account's password.

package connect

import (
	"context"
	"errors"

	"github.com/go-icloud/icloud"
)

// form makes p the page with the form, and sets the reason. It does not change the
// fields for what was entered and what is wrong with it.
func (v *visit) form(ctx context.Context, p *page) {
	if v.account.AppleID == "" {
		v.page(p, kindForm, "title.first")
		p.Reason = "reason.first"
		return
	}
	status := v.status(ctx)
	title := "title.renew"
	if status.State == icloud.SignedOut && status.Replaced.IsZero() {
		title = "title.again"
	}
	v.page(p, kindForm, title)
	p.Again, p.Masked = true, mask(v.account.AppleID)
	p.Reason, p.expires = reason(status), status.Expires
}

// status returns what is known of the account's password, from its Client or, if there
// is none, from the Store that its Clients share. It sends no request. If the Store
// cannot be read, nothing is known, and the customer can connect nevertheless.
func (v *visit) status(ctx context.Context) icloud.Status {
	if client := v.account.Client; client != nil {
		_ = client.Load(ctx)
		return client.Status()
	}
	opts := v.options()
	if opts == nil || opts.Store == nil {
		return icloud.Status{}
	}
	key, err := icloud.AccountKey(opts.Endpoint, v.account.AppleID)
	if err != nil {
		return icloud.Status{}
	}
	data, err := opts.Store.Load(ctx, key)
	if err != nil {
		return icloud.Status{}
	}
	status, err := icloud.ParseStatus(data)
	if err != nil {
		return icloud.Status{}
	}
	return status
}

// reason returns the key of the text about the account's password.
func reason(status icloud.Status) string {
	switch status.State {
	case icloud.Active:
		return "reason.active"
	case icloud.Expiring:
		return "reason.expiring"
	case icloud.Doubted:
		return "reason.doubted"
	case icloud.SignedOut:
		if !status.Replaced.IsZero() {
			return "reason.active"
		}
		auth, ok := errors.AsType[*icloud.AuthError](status.Err)
		switch {
		case !ok:
			return "reason.lost"
		case errors.Is(auth, icloud.ErrPasswordExpired) && auth.Certainty == icloud.Possible:
			return "reason.expired.possible"
		case errors.Is(auth, icloud.ErrPasswordExpired):
			return "reason.expired.likely"
		case errors.Is(auth, icloud.ErrPasswordRevoked) && auth.Certainty == icloud.Certain:
			return "reason.revoked.certain"
		case errors.Is(auth, icloud.ErrPasswordRevoked):
			return "reason.revoked"
		default:
			return "reason.rejected"
		}
	}
	return "reason.lost"
}

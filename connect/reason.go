// Why the page is shown: what is known of the password that there is.

package connect

import (
	"context"
	"errors"

	"github.com/go-icloud/icloud"
)

// form makes p the page with the form, for this account and what is known of its
// password. What was entered, and came of it, is left as it is.
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

// status returns what is known of the account's password, by its Client or, where
// there is none, by the Store that its Clients share. iCloud is not asked, and what
// cannot be read is not known: it keeps nobody from connecting.
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

// reason returns the key of what to tell of a password.
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

// Why the page is shown: what is known of the password that there is.

package connect

import (
	"context"
	"errors"

	"github.com/go-icloud/icloud"
)

// form returns the page with the form, as it is before anything was entered.
func (v *visit) form(ctx context.Context) *page {
	if v.account.AppleID == "" {
		p := v.page(kindForm, "title.first")
		p.Reason = "reason.first"
		return p
	}
	status := v.status(ctx)
	title := "title.again"
	switch status.State {
	case icloud.Active, icloud.Expiring, icloud.Doubted:
		title = "title.renew"
	}
	p := v.page(kindForm, title)
	p.Again, p.Masked = true, mask(v.account.AppleID)
	p.Reason, p.expires = reason(status), status.Expires
	return p
}

// status returns what is known of the account's password: nothing, where there is
// no Client.
func (v *visit) status(context.Context) icloud.Status {
	if v.account.Client == nil {
		return icloud.Status{}
	}
	return v.account.Client.Status()
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

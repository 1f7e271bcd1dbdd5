package icloud_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"text/template"

	"github.com/go-icloud/icloud"
)

// TestClientPrints: no verb, encoder, logger or template prints what a Client knows of the
// account: the name, the number, the address book and the password.
func TestClientPrints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: &memoryStore{}})
		r.mustList()
		r.srv.RevokeAll()
		verdictOf(t, r.list())
		private := []string{r.cred.AppleID, r.cred.Password.Reveal(), "carddavhome", "-contacts"}
		check := func(how, out string) {
			t.Helper()
			for _, secret := range private {
				// %x and %X print text in hexadecimal.
				for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("% x", secret)} {
					if strings.Contains(strings.ToLower(out), form) {
						t.Errorf("%s prints %s", how, secret)
					}
				}
			}
		}
		type service struct {
			Client *icloud.Client
			client *icloud.Client
		}
		s := service{r.Client, r.Client}
		for _, v := range []any{r.Client, s, &s, []*icloud.Client{r.Client}, map[string]*icloud.Client{"": r.Client}, any(&s.client)} {
			for _, verb := range []string{"v", "+v", "#v", "s", "q", "+q", "#q", "x", "X", "d", "t", "e", "U", "T", "p", "c", "b", "w"} {
				check(fmt.Sprintf("%%%s of a %T", verb, v), fmt.Sprintf("%"+verb, v))
			}
			if text, err := json.Marshal(v); err == nil {
				check("json", string(text))
			}
			if text, err := xml.Marshal(v); err == nil {
				check("xml", string(text))
			}
			var b strings.Builder
			slog.New(slog.NewTextHandler(&b, nil)).Info("client", "client", v)
			slog.New(slog.NewJSONHandler(&b, nil)).Info("client", "client", v)
			_ = template.Must(template.New("").Parse("{{.}} {{printf `%s %q` . .}}")).Execute(&b, v)
			check(fmt.Sprintf("slog, or a template, of a %T", v), b.String())
		}
	})
}

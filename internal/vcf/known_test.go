package vcf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/vcf"
)

// TestKnownParams reads more parameters than a Reader remembers, and longer ones, several
// times. A property must never get the parameters of another one.
func TestKnownParams(t *testing.T) {
	t.Parallel()
	var r vcf.Reader
	cards := make([][]byte, 200)
	for i := range cards {
		params := fmt.Sprintf(";TYPE=x%d;PREF=%d", i%90, i)
		if i%10 == 0 {
			params += ";X-LONG=" + strings.Repeat("y", 200)
		}
		cards[i] = card("FN"+params+":a", "FN;PREF=50:b", "TEL"+params+":1", "EMAIL;type=HOME;type=FAX:c", "item1.TEL"+params+":2",
			"item1.X-ABLabel:Boat", "NOTE"+params+":n")
	}
	for range 3 {
		for i, data := range cards {
			name := "a"
			if i > 50 {
				name = "b"
			}
			want := fmt.Sprintf("Name %q\nEmail \"home fax\" \"c\"\nPhone \"x%d\" \"1\"\nPhone \"Boat\" \"2\"\n", name, i%90)
			// The earlier bytes are overwritten, so the Reader must not refer to them.
			again := append([]byte(nil), data...)
			got := dump(r.Fields(again))
			clear(again)
			if !strings.Contains(got, want[strings.Index(want, "Email"):]) || !strings.Contains(got, want[:strings.Index(want, "Email")]) {
				t.Fatalf("%d: got\n%swant\n%s", i, got, want)
			}
		}
	}
}

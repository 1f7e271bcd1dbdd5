package origin_test

import (
	"slices"
	"testing"

	"github.com/go-icloud/icloud/internal/origin"
)

func TestChallenges(t *testing.T) {
	t.Parallel()
	both := []origin.Challenge{{Scheme: "Basic", Realm: "MMCalDav"}, {Scheme: "X-MobileMe-AuthToken", Realm: "MMCalDav"}}
	for _, tt := range []struct {
		headers []string
		want    []origin.Challenge
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`Basic realm="MMCalDav"`, `X-MobileMe-AuthToken realm="MMCalDav"`}, both},
		{[]string{`Basic realm="MMCalDav", X-MobileMe-AuthToken realm="MMCalDav"`}, both},
		{[]string{`Basic REALM = "MMCalDav",charset="UTF-8" , X-MobileMe-AuthToken realm=MMCalDav`}, both},
		{[]string{"Basic"}, []origin.Challenge{{Scheme: "Basic"}}},
		{[]string{`Negotiate YII==, Basic realm="a \"quoted\" one"`}, []origin.Challenge{{Scheme: "Negotiate"}, {Scheme: "Basic", Realm: `a "quoted" one`}}},
		// What does not end is not read, and the next header is.
		{[]string{`Digest realm="MMCalDav`, "Basic"}, []origin.Challenge{{Scheme: "Digest"}, {Scheme: "Basic"}}},
	} {
		if got := origin.Challenges(tt.headers); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.headers, got, tt.want)
		}
	}
}

// Whatever is sent for a challenge: no panic, and an end.
func FuzzChallenges(f *testing.F) {
	f.Add(`Basic realm="MMCalDav", X-MobileMe-AuthToken realm="MMCalDav"`)
	f.Add(`a=,b==c,"`)
	f.Fuzz(func(t *testing.T, header string) {
		if got := origin.Challenges([]string{header}); len(got) > len(header) {
			t.Errorf("got %d of %d bytes", len(got), len(header))
		}
	})
}

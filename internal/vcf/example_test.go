package vcf_test

import (
	"fmt"
	"strings"

	"github.com/go-icloud/icloud/internal/vcf"
)

func ExampleReader() {
	card := strings.Join([]string{
		"BEGIN:VCARD",
		"VERSION:3.0",
		"N:Doe;Jane;;Dr.;",
		`ORG:Doe\, Roe\; Sons;Sales`,
		"EMAIL;type=INTERNET;type=WORK;type=pref:jane@example.org",
		"item1.TEL:+1 555 0100",
		"item1.X-ABLabel:_$!<School>!$_",
		"END:VCARD",
	}, "\r\n")

	var r vcf.Reader
	r.Read([]byte(card), nil)
	emails, phones := vcf.Labels[vcf.Labeled](&r)
	fmt.Println(r.Name())
	fmt.Println(r.Org())
	fmt.Println(emails)
	fmt.Println(phones)
	// Output:
	// Dr. Jane Doe
	// Doe, Roe; Sons
	// [{work jane@example.org}]
	// [{School +1 555 0100}]
}

func ExampleEdit() {
	card := "BEGIN:VCARD\nVERSION:3.0\nFN:Jane\nitem1.TEL:1\nitem1.X-ABLabel:Boat\nitem2.URL;type=pref:http\\://example.org\nEND:VCARD\n"
	card2, err := vcf.Edit([]byte(card), []vcf.Property{
		{Name: "TEL", Fields: []vcf.Field{{Value: "2", Params: map[string][]string{"TYPE": {"HOME"}}}}},
		{Name: "NOTE", Fields: []vcf.Field{{Value: "sold the boat,\nat last"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", card2)
	// Output:
	// BEGIN:VCARD
	// VERSION:3.0
	// FN:Jane
	// TEL;TYPE=HOME:2
	// item2.URL;type=pref:http\://example.org
	// NOTE:sold the boat\,\nat last
	// END:VCARD
}

func ExampleFind() {
	card := "BEGIN:VCARD\nPHOTO;VALUE=uri:https://gateway.icloud.com/contacts/1/ck\n /card/2\nEND:VCARD\n"
	line, ok := vcf.Find([]byte(card), "PHOTO")
	fmt.Println(ok, line.Param("VALUE"), line.Text())
	// Output: true uri https://gateway.icloud.com/contacts/1/ck/card/2
}

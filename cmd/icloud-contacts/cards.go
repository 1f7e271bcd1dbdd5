// The address book of demo and fake. Its phone numbers are reserved for fiction by the
// regulators.

package main

import (
	"fmt"
	"strings"

	"github.com/go-icloud/icloud/icloudtest"
)

// sample has the lines of the cards; vcf makes cards of them.
var sample = []struct{ id, lines string }{
	{"ada.vcf", "UID:ada\nN:Lovelace;Ada;;;\nFN:Ada Lovelace\nORG:Analytical Engines\n" +
		"EMAIL;TYPE=INTERNET;TYPE=HOME:ada@engines.example\nTEL;TYPE=CELL:+44 20 7946 0843\nBDAY:1815-12-10\n" +
		"PHOTO;ENCODING=b;TYPE=PNG:" + dot},
	{"emmy.vcf", "UID:emmy\nN:Noether;Emmy;;;\nFN:Emmy Noether\n" +
		"EMAIL;TYPE=INTERNET;TYPE=WORK:noether@symmetry.example\nEMAIL;TYPE=INTERNET;TYPE=HOME:emmy@erlangen.example"},
	{"zhu.vcf", "UID:zhu\nN:祖;冲之;;;\nFN:祖冲之\n" +
		"EMAIL;TYPE=INTERNET:zu@pi.example\nitem1.TEL:+1 202 555 0113\nitem1.X-ABLabel:_$!<School>!$_"},
	{"sofya.vcf", "UID:sofya\nN:Ковалевская;Софья;;;\nFN:Софья Ковалевская\n" +
		"EMAIL;TYPE=INTERNET;TYPE=WORK:sofya@stockholm.example\nTEL;TYPE=WORK:+44 20 7946 0850"},
	{"erdos.vcf", "UID:erdos\nN:Erdős;Pál;;;\nFN:Pál Erdős\n" +
		"EMAIL;TYPE=INTERNET:suitcase@everywhere.example"},
	{"cafe.vcf", "UID:cafe\nN:;;;;\nFN:Café Gödel ☕\nORG:Café Gödel ☕\nX-ABShowAs:COMPANY\n" +
		"TEL;TYPE=MAIN:+1 202 555 0131"},
	{"group.vcf", "UID:group\nN:Mathematicians;;;;\nFN:Mathematicians\nX-ADDRESSBOOKSERVER-KIND:group\n" +
		"X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:ada\nX-ADDRESSBOOKSERVER-MEMBER:urn:uuid:emmy\n" +
		"X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:zhu\nX-ADDRESSBOOKSERVER-MEMBER:urn:uuid:sofya\n" +
		"X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:erdos"},
}

// dot is a PNG of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// vcf returns a card with these lines and line ends of CRLF.
func vcf(lines string) string {
	return strings.ReplaceAll("BEGIN:VCARD\nVERSION:3.0\n"+lines+"\nEND:VCARD\n", "\n", "\r\n")
}

// fill puts the sample and some more invented people into a Server.
func fill(srv *icloudtest.Server, more int) {
	for _, c := range sample {
		srv.Put(c.id, vcf(c.lines))
	}
	for i := range more {
		srv.Put(invented(i + 1))
	}
}

// invented returns the card of the n-th invented person.
func invented(n int) (id, vcard string) {
	return fmt.Sprintf("person-%d.vcf", n), vcf(fmt.Sprintf("UID:person-%d\nN:Person %d;;;;\nFN:Person %d\n"+
		"EMAIL;TYPE=INTERNET:person%d@people.example", n, n, n, n))
}

package vcf

// This file has the names of the properties that say something about a person.

// A detail is a property that Details has a field for.
type detail struct {
	name string // upper case
	kind detailKind

	// word is what the name means and the value does not have: the service of an
	// account, or the label of a value without another label.
	word string
}

type detailKind uint8

const (
	detailName detailKind = iota
	detailNickname
	detailTitle
	detailPhoneticGiven
	detailPhoneticFamily
	detailSound
	detailOrg
	detailAddress
	detailCountry
	detailLabel
	detailURL
	detailRelation
	detailIMPP
	detailProfile
	detailAccount
	detailBirthday
	detailDate
	detailNote
	detailCategories
)

// details are all of them. Those that begin with X-AB are Apple's. Before RFC 4770 defined
// IMPP, each program had properties of its own for accounts, and Apple still writes some
// of them in addition to IMPP. The services are spelled as in Apple's X-SERVICE-TYPE, and
// the labels as those between _$!< and >!$_, so that each has one name, whichever program
// has written the card.
var details = [...]detail{
	{"N", detailName, ""},
	{"NICKNAME", detailNickname, ""},
	{"TITLE", detailTitle, ""},
	{"X-PHONETIC-FIRST-NAME", detailPhoneticGiven, ""},
	{"X-PHONETIC-LAST-NAME", detailPhoneticFamily, ""},
	{"SOUND", detailSound, ""},
	{"ORG", detailOrg, ""},

	{"ADR", detailAddress, ""},
	{"X-ABADR", detailCountry, ""},
	{"X-ABLABEL", detailLabel, ""},
	{"URL", detailURL, ""},

	{"X-ABRELATEDNAMES", detailRelation, ""},
	{"RELATED", detailRelation, ""},
	{"X-SPOUSE", detailRelation, "Spouse"},
	{"X-MANAGER", detailRelation, "Manager"},
	{"X-ASSISTANT", detailRelation, "Assistant"},
	{"X-EVOLUTION-SPOUSE", detailRelation, "Spouse"},
	{"X-EVOLUTION-MANAGER", detailRelation, "Manager"},
	{"X-EVOLUTION-ASSISTANT", detailRelation, "Assistant"},
	{"X-MS-SPOUSE", detailRelation, "Spouse"},
	{"X-MS-MANAGER", detailRelation, "Manager"},
	{"X-MS-ASSISTANT", detailRelation, "Assistant"},
	{"X-KADDRESSBOOK-X-SPOUSESNAME", detailRelation, "Spouse"},
	{"X-KADDRESSBOOK-X-MANAGERSNAME", detailRelation, "Manager"},
	{"X-KADDRESSBOOK-X-ASSISTANTSNAME", detailRelation, "Assistant"},

	{"IMPP", detailIMPP, ""},
	{"X-SOCIALPROFILE", detailProfile, ""},
	{"SOCIALPROFILE", detailProfile, ""}, // RFC 9554
	{"X-AIM", detailAccount, "AIM"},
	{"X-JABBER", detailAccount, "Jabber"},
	{"X-MSN", detailAccount, "MSN"},
	{"X-YAHOO", detailAccount, "Yahoo"},
	{"X-ICQ", detailAccount, "ICQ"},
	{"X-SKYPE", detailAccount, "Skype"},
	{"X-SKYPE-USERNAME", detailAccount, "Skype"},
	{"X-GTALK", detailAccount, "GoogleTalk"},
	{"X-GOOGLE-TALK", detailAccount, "GoogleTalk"},
	{"X-GADUGADU", detailAccount, "GaduGadu"},
	{"X-GROUPWISE", detailAccount, "GroupWise"},
	{"X-QQ", detailAccount, "QQ"},
	{"X-TWITTER", detailAccount, "Twitter"},
	{"X-FACEBOOK", detailAccount, "Facebook"},
	{"X-LINKEDIN", detailAccount, "LinkedIn"},
	{"X-INSTAGRAM", detailAccount, "Instagram"},
	{"X-MS-IMADDRESS", detailAccount, ""},

	{"BDAY", detailBirthday, ""},
	{"X-ABDATE", detailDate, ""},
	{"ANNIVERSARY", detailDate, "Anniversary"},
	{"X-ANNIVERSARY", detailDate, "Anniversary"},
	{"X-EVOLUTION-ANNIVERSARY", detailDate, "Anniversary"},
	{"X-MS-ANNIVERSARY", detailDate, "Anniversary"},
	{"X-KADDRESSBOOK-X-ANNIVERSARY", detailDate, "Anniversary"},

	{"NOTE", detailNote, ""},
	{"CATEGORIES", detailCategories, ""},
}

// detailsByLength has the details by the length of their names. For most lines the length
// alone shows that they are not one.
var detailsByLength = func() (by [32][]*detail) {
	for i := range details {
		n := len(details[i].name)
		by[n] = append(by[n], &details[i])
	}
	return by
}()

// detailOf returns the detail with that name, in any case; nil if there is none.
func detailOf(name []byte) *detail {
	if len(name) >= len(detailsByLength) {
		return nil
	}
	for _, d := range detailsByLength[len(name)] {
		if is(name, d.name) {
			return d
		}
	}
	return nil
}

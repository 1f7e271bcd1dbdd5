package vcf

// This file knows by what names a card says something of a person.

// A detail is a property that Details has a place for.
type detail struct {
	name string // upper case
	kind detailKind

	// word is what the name says that is not in the value: the service of an
	// account, or the label of what has no other.
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

// details are all of them. Those that begin with X-AB are Apple's. For accounts
// every program had a property of its own before RFC 4770 brought IMPP, and
// Apple still writes some of them beside it. The services are spelled as Apple
// spells them in X-SERVICE-TYPE, and the labels as those between _$!< and >!$_,
// so that one thing has one name wherever the card comes from.
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

// detailsByLength has the details by the length of their names, which alone says
// of most lines that they are none.
var detailsByLength = func() (by [32][]*detail) {
	for i := range details {
		n := len(details[i].name)
		by[n] = append(by[n], &details[i])
	}
	return by
}()

// detailOf returns the detail of that name, in any case, nil if it is none.
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

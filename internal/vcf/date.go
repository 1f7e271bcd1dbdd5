package vcf

import "bytes"

// This file reads dates. These are one day as vCard 4.0, ISO 8601 and Apple in vCard 3.0
// write it, and that day without a year as vCard 4.0 and Apple write it:
//
//	BDAY:19850412
//	BDAY:1985-04-12T00:00:00Z
//	BDAY;value=date:1985-04-12
//	BDAY:--0412
//	BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-12
//
// Anything else is not read as a date: 04/12/85 is in April in one country and in December
// in another.

// A Date is a day of the Gregorian calendar. A part that the card does not have is 0.
type Date struct{ Year, Month, Day int }

// dateForms are the forms of RFC 6350, section 4.3.1, that of ISO 8601 with all its
// hyphens, and those in which a program has left out a 0. A month without a day must have
// its hyphen, because 198504 may also mean 4 May 1919.
var dateForms = [...]string{
	"YYYY-MM-DD", "YYYYMMDD", "--MM-DD", "--MMDD",
	"YYYY-M-D", "YYYY-M-DD", "YYYY-MM-D",
	"YYYY-MM", "YYYY", "--MM", "---DD",
}

// parseDate reads a date. A time may follow it. A time zone does not change the day,
// because somebody has entered that day. ok is false for a day that the calendar does not
// have. omit is the parameter X-APPLE-OMIT-YEAR: if the date has the year that it names,
// the year is unknown.
func parseDate(text, omit []byte) (d Date, ok bool) {
	text = bytes.TrimSpace(text)
	for _, form := range dateForms {
		d, rest, ok := matchDate(form, text)
		if ok && isTime(rest) && d.exists() {
			if d.Year == omittedYear || (len(omit) > 0 && d.Year > 0 && isYear(omit, d.Year)) {
				d.Year = 0
			}
			return d, d != Date{}
		}
	}
	return Date{}, false
}

// omittedYear is the year in Apple's cards if the year is unknown. It is a leap year, so
// that it has a 29th of February. A card that another program has rewritten may have lost
// the parameter X-APPLE-OMIT-YEAR. Nobody in an address book was born in 1604, so it
// always means that the year is unknown.
const omittedYear = 1604

func isYear(text []byte, year int) bool {
	d, rest, ok := matchDate("YYYY", bytes.TrimSpace(text))
	return ok && len(rest) == 0 && d.Year == year
}

// matchDate reads a date of one form at the beginning of text. A month or a day of 0 does
// not match.
func matchDate(form string, text []byte) (d Date, rest []byte, ok bool) {
	if len(text) < len(form) {
		return Date{}, nil, false
	}
	d = Date{Month: -1, Day: -1}
	for i := range len(form) {
		c := text[i]
		if form[i] == '-' {
			if c != '-' {
				return Date{}, nil, false
			}
			continue
		}
		if c < '0' || c > '9' {
			return Date{}, nil, false
		}
		field := &d.Year
		switch form[i] {
		case 'M':
			field = &d.Month
		case 'D':
			field = &d.Day
		}
		*field = 10*max(*field, 0) + int(c-'0')
	}
	if d.Month == 0 || d.Day == 0 {
		return Date{}, nil, false
	}
	d.Month, d.Day = max(d.Month, 0), max(d.Day, 0)
	return d, text[len(form):], true
}

// isTime reports whether text is empty or a time, which begins with the letter T or, as
// databases write it, with a space.
func isTime(text []byte) bool {
	switch {
	case len(text) == 0:
		return true
	case text[0] != 'T' && text[0] != 't' && text[0] != ' ':
		return false
	}
	text = bytes.TrimLeft(text[1:], "-") // -22: in the 22nd minute
	return len(text) > 0 && '0' <= text[0] && text[0] <= '9'
}

// exists reports whether the calendar has such a day. A day without a year exists if any
// year has it.
func (d Date) exists() bool {
	days := 31
	switch d.Month {
	case 4, 6, 9, 11:
		days = 30
	case 2:
		days = 28
		if d.Year%4 == 0 && (d.Year%100 != 0 || d.Year%400 == 0) {
			days = 29
		}
	}
	return d.Month <= 12 && d.Day <= days
}

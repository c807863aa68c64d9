package caldav_test

import (
	"strings"
	"testing"
)

// Filters that RFC 4791 does not have (§7.8: CALDAV:valid-filter), and none of them half understood.
func TestInvalidFilters(t *testing.T) {
	s := serve(t, fixture())
	vevent := func(inner string) string { return `<C:comp-filter name="VEVENT">` + inner + `</C:comp-filter>` }
	prop := func(inner string) string { return vevent(`<C:prop-filter name="UID">` + inner + `</C:prop-filter>`) }
	undefined, match, span := `<C:is-not-defined/>`, `<C:text-match>a</C:text-match>`, `<C:time-range start="20260101T000000Z"/>`
	for _, filter := range []string{
		vevent(vevent("")), vevent(`<C:comp-filter name="VTODO"/>`), `<C:comp-filter name="VALARM"/>`, `<C:comp-filter name="VCALENDAR"/>`,
		`<C:comp-filter/>`, vevent(`<C:prop-filter/>`), prop(`<C:param-filter/>`), vevent(match), vevent(`<C:param-filter name="A"/>`),
		vevent(undefined + span), prop(undefined + match), prop(span + match), prop(match + match), vevent(span + span), span,
		prop(`<C:comp-filter name="VEVENT"/>`), prop(`<C:param-filter name="A">` + undefined + match + `</C:param-filter>`),
		prop(`<C:text-match negate-condition="maybe">a</C:text-match>`), prop(`<C:time-range start="2026"/>`), vevent(`<C:time-range end="20260101"/>`),
		`</C:comp-filter><C:comp-filter name="VCALENDAR">`,
	} {
		a := s.do("REPORT", workPath, queryBody("<D:getetag/>", filter))
		if a.StatusCode != 403 || !strings.Contains(a.body, "<C:valid-filter/>") {
			t.Errorf("%s: %d %s", filter, a.StatusCode, a.body)
		}
	}
	for _, filter := range []string{
		vevent(`<C:comp-filter name="X-ODD"/>`),
		prop(`<C:text-match negate-condition="no">a</C:text-match>`), vevent(`<x:odd xmlns:x="urn:x"/>`),
	} {
		s.do("REPORT", workPath, queryBody("<D:getetag/>", filter)).multistatus(t)
	}
}

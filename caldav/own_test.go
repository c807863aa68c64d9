package caldav_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"outbridge/caldav"
)

const patchOf = `<propertyupdate xmlns="DAV:" xmlns:A="http://apple.com/ns/ical/"><set><prop>%s</prop></set></propertyupdate>`

// A colour of one's own hides Outlook's until that is another, and one that is Outlook's is not kept at all.
func TestOwnColor(t *testing.T) {
	for _, tt := range []struct{ set, outlook, shown, later string }{
		{`<A:calendar-color>#2A7FFFFF</A:calendar-color>`, "#2a7fff", "#2A7FFFFF", "#00CC6AFF"},
		{`<A:calendar-color>#2a7fff</A:calendar-color>`, "#2a7fff", "#2A7FFFFF", "#00CC6AFF"},
		{`<A:calendar-color symbolic-color="custom">#2a7fffff</A:calendar-color>`, "#2a7fff", "#2A7FFFFF", "#00CC6AFF"},
		{`<A:calendar-color symbolic-color="custom  one">#ff0000</A:calendar-color>`, "#2a7fff", "#FF0000FF", "#00CC6AFF"},
		{`<A:calendar-color>#FF000080</A:calendar-color>`, "", "#FF000080", "#00CC6AFF"},
		{`<A:calendar-color>#2a7fff80</A:calendar-color>`, "#2a7fff", "#2A7FFF80", "#00CC6AFF"},
	} {
		m := fixture()
		m.find("work").Color = tt.outlook
		s := serve(t, &keeping{memory: m})
		color := func() string {
			p, _ := s.do("PROPFIND", work, `<propfind xmlns="DAV:"><prop><calendar-color xmlns="http://apple.com/ns/ical/"/></prop></propfind>`, "Depth: 0").multistatus(t).Responses[0].get("http://apple.com/ns/ical/", "calendar-color")
			return p.Text
		}
		if a := s.do("PROPPATCH", work, fmt.Sprintf(patchOf, tt.set)); a.StatusCode != 207 || !strings.Contains(a.body, "200 OK") {
			t.Fatalf("%s: %d\n%s", tt.set, a.StatusCode, a.body)
		}
		if got := color(); got != tt.shown {
			t.Errorf("%s: %s, want %s", tt.set, got, tt.shown)
		}
		m.find("work").Order = 7 // anything else of it may change
		if got := color(); got != tt.shown {
			t.Errorf("%s, another order: %s, want %s", tt.set, got, tt.shown)
		}
		m.find("work").Color = strings.ToLower(tt.later[:7])
		if got := color(); got != tt.later {
			t.Errorf("%s, Outlook has another: %s, want %s", tt.set, got, tt.later)
		}
	}
}

// What a client sends of a calendar as it is already does not hide what Outlook says of it later: Apple's write all at once.
func TestOwnIsOutlooks(t *testing.T) {
	m := fixture()
	k := &keeping{memory: m}
	s := serve(t, k)
	set := func(name, order, description string) {
		t.Helper()
		a := s.do("PROPPATCH", work, fmt.Sprintf(patchOf, `<displayname>`+name+`</displayname><A:calendar-order>`+order+
			`</A:calendar-order><calendar-description xmlns="urn:ietf:params:xml:ns:caldav">`+description+`</calendar-description>`))
		if a.StatusCode != 207 {
			t.Fatal(a.StatusCode)
		}
	}
	set("Mine", "5", "of mine")
	if n := len(k.props["alice"+work]); n != 3 {
		t.Errorf("%d kept", n)
	}
	set("Work &amp; more", "1", "the day job")
	if kept := k.props["alice"+work]; len(kept) != 0 {
		t.Errorf("kept: %v", kept)
	}
}

// addressed is a memory whose principals have addresses.
type addressed struct {
	*memory
	list []string
}

func (a addressed) Addresses(context.Context, caldav.Principal) ([]string, error) { return a.list, nil }

// A principal has its addresses where the calendars cannot be written to either.
func TestAddresses(t *testing.T) {
	const ask = `<propfind ` + davHead + ` xmlns:CS="http://calendarserver.org/ns/"><prop><C:calendar-user-address-set/><CS:email-address-set/></prop></propfind>`
	get := func(b caldav.Backend, path string) (users, emails string, ok bool) {
		r := serve(t, b).do("PROPFIND", path, ask, "Depth: 0").multistatus(t).Responses[0]
		u, ok := r.get("urn:ietf:params:xml:ns:caldav", "calendar-user-address-set")
		e, _ := r.get("http://calendarserver.org/ns/", "email-address-set")
		return u.Inner, e.Inner, ok
	}
	two := addressed{fixture(), []string{"alice@example.com", `o'neil&co?+x@example.org`}}
	users, emails, _ := get(two, alice)
	if users != `<D:href preferred="1">mailto:alice@example.com</D:href><D:href>mailto:o'neil%26co%3F+x@example.org</D:href>` ||
		emails != `<CS:email-address>alice@example.com</CS:email-address><CS:email-address>o'neil&amp;co?+x@example.org</CS:email-address>` {
		t.Errorf("%s\n%s", users, emails)
	}
	if users, _, _ := get(two, home); !strings.Contains(users, "mailto:alice@example.com<") {
		t.Errorf("home: %s", users)
	}
	for _, b := range []caldav.Backend{addressed{fixture(), nil}, fixture()} {
		if users, _, ok := get(b, alice); ok {
			t.Errorf("without an address: %s", users)
		}
	}
	// Whoever looks for the principal of an address finds it.
	found := serve(t, two).do("REPORT", "/dav/principals/", `<principal-property-search `+davHead+`><property-search><prop><C:calendar-user-address-set/></prop><match>alice@example</match></property-search><prop><displayname/></prop></principal-property-search>`, "Depth: 0")
	if got := found.multistatus(t).hrefs(); !slices.Equal(got, []string{"alice/"}) {
		t.Errorf("found: %v", got)
	}
}

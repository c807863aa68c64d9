package caldav

import (
	"strings"
	"testing"
)

// What is read beside the decoder is what the decoder reads.
func TestHrefs(t *testing.T) {
	const name = "/dav/calendars/alice/work/0123456789abcdef.ics"
	many := func(tag string, n int) string {
		return strings.Repeat("<"+tag+">"+name+"</"+tag+">", n)
	}
	for _, tt := range []struct{ root, hrefs string }{
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 100)},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href/><D:href></D:href>" + many("D:href", 3)},
		{`<C:calendar-multiget xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, strings.ReplaceAll(many("href", 50), "><href", ">\r\n  <href")},
		{`<C:calendar-multiget xmlns="DAV:" xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("href", 5) + many("D:href", 5) + many("href", 5)},
		// What these prefixes mean changes, also to what is none.
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + `<D:href xmlns:D="other">x</D:href>` + many("D:href", 3)},
		{`<calendar-multiget xmlns="urn:ietf:params:xml:ns:caldav">`, many("href", 3) + `<href xmlns="DAV:">x</href>` + many("href", 3)},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:E="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 5) + many("E:href", 5) + `<E:href xmlns:E="other">x</E:href>` + many("E:href", 5)},
		// Not plain.
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>a&amp;b</D:href><D:href>é</D:href><D:href><![CDATA[</D:href>]]></D:href><!--<D:href>c</D:href>--><D:href>d<!--e--></D:href >" + many("D:href", 3)},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>" + strings.Repeat("long", 200) + "</D:href>" + many("D:href", 3) + strings.Repeat(" ", 600) + many("D:href", 3)},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 2) + "<D:set>" + many("D:href", 2) + "</D:set>" + many("D:href", 2) + "text" + many("D:href", 2)},
		// Wrong.
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>a]]></D:href>"},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>a\x01</D:href>"},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>a</D:hre>"},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>"},
		{`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", maxXMLElements)},
		{`<?xml version="1.0" encoding="iso-8859-1"?><C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`, many("D:href", 3) + "<D:href>\xe9</D:href>" + many("D:href", 3)},
	} {
		end := "</" + tt.root[strings.LastIndex(tt.root, "<")+1:]
		end = end[:strings.Index(end, " ")] + ">"
		// With attributes the tags are others, so the decoder reads each of them.
		slow := tt.root + tt.hrefs
		for _, tag := range []string{"href", "D:href", "E:href"} {
			slow = strings.ReplaceAll(slow, "<"+tag+">", "<"+tag+" >")
		}
		want, wantErr := readXML(strings.NewReader(slow + end))
		got, err := readXML(strings.NewReader(tt.root + tt.hrefs + end))
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Errorf("%.300s: %v, want %v", tt.hrefs, err, wantErr)
			continue
		}
		if err == nil {
			sameNodes(t, got, want)
		}
	}
}

func sameNodes(t *testing.T, got, want *node) {
	t.Helper()
	if got.name != want.name || strings.Join(strings.Fields(got.text), " ") != strings.Join(strings.Fields(want.text), " ") || len(got.attrs) != len(want.attrs) || len(got.children) != len(want.children) {
		t.Fatalf("%v %q with %d, want %v %q with %d", got.name, got.text, len(got.children), want.name, want.text, len(want.children))
	}
	for i := range got.children {
		sameNodes(t, got.children[i], want.children[i])
	}
}

func TestHrefsTakeNoDecoder(t *testing.T) {
	doc := `<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">` +
		strings.Repeat("<D:href>/dav/calendars/alice/work/0123456789abcdef.ics</D:href>\n", 1000) + `</C:calendar-multiget>`
	n := testing.AllocsPerRun(10, func() {
		if _, err := readXML(strings.NewReader(doc)); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1200 {
		t.Errorf("%v allocations for 1,000 hrefs", n)
	}
}

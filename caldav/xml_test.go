package caldav_test

import (
	"fmt"
	"testing"
)

func TestCharsets(t *testing.T) {
	s := serve(t, &keeping{memory: fixture()})
	utf16 := func(s string, big bool) string {
		b := []byte{0xff, 0xfe}
		if big {
			b = []byte{0xfe, 0xff}
		}
		for _, r := range s {
			if big {
				b = append(b, byte(r>>8), byte(r))
			} else {
				b = append(b, byte(r), byte(r>>8))
			}
		}
		return string(b)
	}
	doc := func(encoding, name string) string {
		return `<?xml version="1.0" encoding="` + encoding + `"?><propertyupdate xmlns="DAV:"><set><prop><displayname>` + name + `</displayname></prop></set></propertyupdate>`
	}
	for i, body := range []string{
		doc("utf-8", "Bür\u00f6 0"), doc("UTF-8", "Bür\u00f6 1"), utf16(doc("UTF-16", "Bür\u00f6 2"), true), utf16(doc("utf-16", "Bür\u00f6 3"), false),
		doc("ISO-8859-1", "B\xfcr\xf6 4"), "\xef\xbb\xbf" + doc("utf-8", "Bür\u00f6 5"),
	} {
		s.do("PROPPATCH", workPath, body, "Content-Type: text/plain; charset=koi8-r").patched(t)
		p, _ := s.do("PROPFIND", workPath, "", "Depth: 0").multistatus(t).Responses[0].get("DAV:", "displayname")
		if want := fmt.Sprintf("Bürö %d", i); p.Text != want {
			t.Errorf("%q, want %q", p.Text, want)
		}
	}
	for _, body := range []string{doc("koi8-r", "x"), "\xff\xfe<", doc("utf-8", "\xff")} {
		if a := s.do("PROPPATCH", workPath, body); a.StatusCode != 400 {
			t.Errorf("%q: %d", body, a.StatusCode)
		}
	}
}

package web

import (
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"io"
	"mime"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, webcal, google, warning string }{
		{"https://cal.example.com/feeds/abc.ics", "webcal://cal.example.com/feeds/abc.ics", "webcal%3A%2F%2Fcal.example.com%2Ffeeds%2Fabc.ics", ""},
		{"https://cal.example.com:443/feeds/abc.ics", "webcal://cal.example.com:443/feeds/abc.ics", "webcal%3A%2F%2Fcal.example.com%3A443%2Ffeeds%2Fabc.ics", ""},
		{"https://cal.example.com:8443/feeds/abc.ics", "webcals://cal.example.com:8443/feeds/abc.ics", "webcal%3A%2F%2Fcal.example.com%3A8443%2Ffeeds%2Fabc.ics", ""},
		{"http://cal.example.com/feeds/abc.ics", "webcal://cal.example.com/feeds/abc.ics", "webcal%3A%2F%2Fcal.example.com%2Ffeeds%2Fabc.ics", "https"},
		{"http://127.0.0.1:8080/feeds/abc.ics", "webcal://127.0.0.1:8080/feeds/abc.ics", "webcal%3A%2F%2F127.0.0.1%3A8080%2Ffeeds%2Fabc.ics", "127.0.0.1"},
		{"https://[fd00::1]/feeds/abc.ics", "webcal://[fd00::1]/feeds/abc.ics", "webcal%3A%2F%2F%5Bfd00%3A%3A1%5D%2Ffeeds%2Fabc.ics", "fd00::1"},
		{"https://nas.local/feeds/abc.ics", "webcal://nas.local/feeds/abc.ics", "webcal%3A%2F%2Fnas.local%2Ffeeds%2Fabc.ics", "nas.local"},
		{"https://nas/feeds/abc.ics", "webcal://nas/feeds/abc.ics", "webcal%3A%2F%2Fnas%2Ffeeds%2Fabc.ics", "nas"},
		{"https://" + strings.Repeat("long.", 40) + "example.com/feeds/abc.ics", "", "", "256"},
	} {
		l := LinksOf(c.address, "Ann & Bob, at work")
		if l.URL != c.address || c.webcal != "" && (l.Webcal != c.webcal || l.Google != "https://calendar.google.com/calendar/r?cid="+c.google) {
			t.Errorf("%s: %+v", c.address, l)
		}
		for _, link := range []string{l.OutlookCom, l.Office365} {
			u, err := url.Parse(link)
			if err != nil || u.Query().Get("url") != c.address || u.Query().Get("name") != "Ann & Bob, at work" || strings.Contains(link, "+") {
				t.Errorf("%s: %s", c.address, link)
			}
		}
		if (l.Warning == "") != (c.warning == "") || !strings.Contains(l.Warning, c.warning) {
			t.Errorf("%s: warning %q", c.address, l.Warning)
		}
	}
	if l := LinksOf("https://cal.example.com/feeds/abc.ics", ""); strings.Contains(l.OutlookCom, "name=") {
		t.Errorf("an empty name: %s", l.OutlookCom)
	}
	if l := LinksOf("https://%zz", ""); l.Warning == "" {
		t.Error("no warning of an address that is none")
	}
}

func TestDAVx5Link(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"https://cal.example.com":      "davx5://alice@cal.example.com/dav/",
		"https://cal.example.com:8443": "davx5://alice@cal.example.com:8443/dav/",
		"http://127.0.0.1:8080/":       "caldav://alice@127.0.0.1:8080/dav/",
	} {
		if got := davx5Link(origin, "alice"); got != want {
			t.Errorf("%s: %s, not %s", origin, got, want)
		}
	}
	if got := davx5Link("https://cal.example.com", "a@b"); got != "davx5://a%40b@cal.example.com/dav/" {
		t.Error(got)
	}
}

// readQR reads a QR code from the drawing alone, like a phone's camera.
func readQR(t *testing.T, svg string) string {
	t.Helper()
	size, err := strconv.Atoi(regexp.MustCompile(`viewBox="0 0 (\d+) `).FindStringSubmatch(svg)[1])
	if err != nil {
		t.Fatal(err)
	}
	const scale = 4
	picture := image.NewGray(image.Rect(0, 0, size*scale, size*scale))
	for i := range picture.Pix {
		picture.Pix[i] = 255
	}
	for _, m := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(svg, -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		n, _ := strconv.Atoi(m[3])
		if m[3] != m[4] || x < quiet || y < quiet || x+n > size-quiet || y >= size-quiet {
			t.Fatalf("a run outside the code: %q", m[0])
		}
		for px := x * scale; px < (x+n)*scale; px++ {
			for py := y * scale; py < (y+1)*scale; py++ {
				picture.SetGray(px, py, color.Gray{})
			}
		}
	}
	bits, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bits, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.GetText()
}

func TestQR(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"https://microsoft.com/devicelogin", "webcal://cal.example.com/feeds/abcdefghijklmnopqrstuvwxyz.ics", "davx5://alice@cal.example.com/dav/",
		"A", "Zürich", strings.Repeat("x", 1000),
	} {
		svg, err := qrSVG(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := readQR(t, string(svg)); got != text {
			t.Errorf("%q is read as %q", text, got)
		}
		for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v\n%s", err, svg)
			}
		}
		if strings.Contains(string(svg), "style") || strings.Contains(string(svg), "<script") {
			t.Error("a style or a script, which the pages' policy refuses")
		}
	}
	if _, err := qrSVG(strings.Repeat("x", 5000)); err == nil {
		t.Error("a text that is too long was drawn")
	}
}

// plist reads a property list with dicts, arrays, strings, integers and booleans.
func plist(t *testing.T, doc []byte) any {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(doc)))
	next := func() xml.Token { // the next one that is not white space
		for {
			tok, err := d.Token()
			if err != nil {
				t.Fatalf("%v in\n%s", err, doc)
			}
			switch tok := tok.(type) {
			case xml.CharData:
				if strings.TrimSpace(string(tok)) != "" {
					t.Fatalf("text %q between elements", tok)
				}
			case xml.StartElement, xml.EndElement:
				return tok
			}
		}
	}
	text := func(e xml.StartElement) string {
		var s string
		if err := d.DecodeElement(&s, &e); err != nil {
			t.Fatal(err)
		}
		return s
	}
	var value func(e xml.StartElement) any
	value = func(e xml.StartElement) any {
		switch e.Name.Local {
		case "string":
			return text(e)
		case "integer":
			n, err := strconv.Atoi(text(e))
			if err != nil {
				t.Fatal(err)
			}
			return n
		case "true", "false":
			next()
			return e.Name.Local == "true"
		case "array":
			var list []any
			for {
				e, ok := next().(xml.StartElement)
				if !ok {
					return list
				}
				list = append(list, value(e))
			}
		case "dict":
			m := map[string]any{}
			for {
				e, ok := next().(xml.StartElement)
				if !ok {
					return m
				}
				if e.Name.Local != "key" {
					t.Fatalf("a %s in place of a key", e.Name.Local)
				}
				key := text(e)
				if m[key] != nil {
					t.Fatalf("the key %s twice", key)
				}
				m[key] = value(next().(xml.StartElement))
			}
		}
		t.Fatalf("element %s", e.Name.Local)
		return nil
	}
	root := next().(xml.StartElement)
	if root.Name.Local != "plist" {
		t.Fatalf("root %s", root.Name.Local)
	}
	return value(next().(xml.StartElement))
}

func TestMobileconfig(t *testing.T) {
	t.Parallel()
	read := func(origin, user, password string) (whole, account map[string]any) {
		t.Helper()
		b, err := mobileconfig(English, origin, user, password)
		if err != nil {
			t.Fatal(err)
		}
		whole = plist(t, b).(map[string]any)
		content := whole["PayloadContent"].([]any)
		if len(content) != 1 {
			t.Fatalf("%d payloads", len(content))
		}
		account = content[0].(map[string]any)
		for _, m := range []map[string]any{whole, account} {
			for _, key := range []string{"PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName"} {
				if s, _ := m[key].(string); s == "" {
					t.Errorf("no %s in %v", key, m)
				}
			}
			if m["PayloadVersion"] != 1 || !regexp.MustCompile(`^[0-9A-F]{8}-([0-9A-F]{4}-){3}[0-9A-F]{12}$`).MatchString(m["PayloadUUID"].(string)) {
				t.Errorf("%v", m)
			}
		}
		if whole["PayloadType"] != "Configuration" || account["PayloadType"] != "com.apple.caldav.account" || whole["PayloadRemovalDisallowed"] != false {
			t.Errorf("%v", whole)
		}
		return whole, account
	}
	whole, account := read("https://cal.example.com", "alice", `p<&>"'ss`)
	if account["CalDAVHostName"] != "cal.example.com" || account["CalDAVUseSSL"] != true || account["CalDAVUsername"] != "alice" ||
		account["CalDAVPassword"] != `p<&>"'ss` || account["CalDAVPort"] != nil || account["CalDAVPrincipalURL"] != nil {
		t.Errorf("%v", account)
	}
	again, second := read("https://cal.example.com/", "alice", "another")
	if whole["PayloadUUID"] != again["PayloadUUID"] || account["PayloadUUID"] != second["PayloadUUID"] || whole["PayloadIdentifier"] != again["PayloadIdentifier"] {
		t.Error("another profile for the same account")
	}
	for _, other := range [][2]string{{"https://cal.example.com", "bob"}, {"https://cal.example.org", "alice"}, {"https://cal.example.com:8443", "alice"}} {
		w, a := read(other[0], other[1], "")
		if w["PayloadUUID"] == whole["PayloadUUID"] || a["PayloadUUID"] == account["PayloadUUID"] || w["PayloadIdentifier"] == whole["PayloadIdentifier"] ||
			a["PayloadUUID"] == w["PayloadUUID"] {
			t.Errorf("%v: the same identity as another account's", other)
		}
		if _, ok := a["CalDAVPassword"]; ok {
			t.Error("an empty password")
		}
	}
	_, account = read("https://cal.example.com:8443", "alice", "x")
	if account["CalDAVPort"] != 8443 || account["CalDAVPrincipalURL"] != "https://cal.example.com:8443/dav/principals/alice/" || account["CalDAVHostName"] != "cal.example.com" {
		t.Errorf("%v", account)
	}
	_, account = read("http://127.0.0.1:8080", "alice", "x")
	if account["CalDAVPort"] != 8080 || account["CalDAVUseSSL"] != false || account["CalDAVPrincipalURL"] != "http://127.0.0.1:8080/dav/principals/alice/" {
		t.Errorf("%v", account)
	}
	_, account = read("http://cal.example.com", "alice", "x")
	if account["CalDAVPort"] != 80 || account["CalDAVPrincipalURL"] != "http://cal.example.com/dav/principals/alice/" {
		t.Errorf("%v", account)
	}
	if kind, _, err := mime.ParseMediaType(mobileconfigType); err != nil || kind != "application/x-apple-aspen-config" {
		t.Errorf("%s: %v", kind, err)
	}
	for _, bad := range []string{"", "cal.example.com", "ftp://cal.example.com", "https://", "https://%zz"} {
		if _, err := mobileconfig(English, bad, "alice", "x"); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

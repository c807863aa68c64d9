package convert

import (
	"net/url"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"outbridge/bridge/graph"
)

func TestHTMLText(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"a  b\r\n\tc", "a b c"},
		{"<p>a</p><p>b</p>", "a\n\nb"},
		{"<div>a</div><div>b</div>", "a\nb"},
		{"<div>a<br></div><div><br></div><div>b</div>", "a\n\nb"},
		{"a<br>b<br/>c", "a\nb\nc"},
		{"x <b>bold</b>, <i>i</i>.", "x bold, i."},
		{"a&nbsp;&amp;&lt;b&gt; &eacute;&#x1F600;", "a &<b> é😀"},
		{"<ul><li>a<li>b</ul>", "- a\n- b"},
		{"<ol><li>a</li><li>b<ul><li>c</ul></ol>d", "1. a\n2. b\n  - c\nd"},
		{"<table><tr><td>a</td><td> b </td></tr><tr><td>c</td><td>d</td></tr></table>", "a\tb\nc\td"},
		{`<a href="https://x.example/">here</a>`, "here <https://x.example/>"},
		{`<a href="https://x.example/">https://x.example</a>`, "https://x.example"},
		{`<a href="https://x.example/"></a>`, "https://x.example/"},
		{`<a href="mailto:a@b.example">a@b.example</a>`, "a@b.example"},
		{`<a href="javascript:alert(1)">x</a> <a href="#top">y</a> <a name=z>z</a>`, "x y z"},
		{`<a href="https://a.safelinks.protection.outlook.com/?url=https%3A%2F%2Fx.example%2F%3Fa%3Db&amp;data=1">x</a>`, "x <https://x.example/?a=b>"},
		{"<script>alert('<p>')</script><style>p{}</style><!-- c -->a<title>t</title>", "a"},
		{"<head><style>x</style><body>a", "a"},
		{"<!--[if gte mso 9]><xml>x</xml><![endif]-->a", "a"},
		{"<pre>a  b\n  c</pre>d", "a  b\n  c\nd"},
		{"<p>a</p><hr><p>b</p>", "a\n\n----\n\nb"},
		{`<img alt="logo" src="cid:x">a<img src=y>`, "[logo]a"},
		{"a\u200bb\ufeff", "ab"},
		{"שלום &rlm;a", "שלום \u200fa"},
		{"<p>a<p", "a"},
	} {
		if got := htmlText(tc.in).text; got != tc.want {
			t.Errorf("%q:\n%q, want\n%q", tc.in, got, tc.want)
		}
	}
}

// HTML of twice the length takes twice the memory, whatever is in it, and no more than a description's worth is kept.
func TestHTMLTextIsLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"nested": "<div><ul><li><table><tr><td><b>", "links": `<a href="https://x.example/?">x`, "open": "<a ", "comments": "<!--", "entities": "&amp",
		"scripts": "<script>", "quotes": `<p a="`, "text": "word ", "safelinks": "safelinks.protection. http://", "cdata": "<![CDATA[", "ends": "</div>",
		"pre": "<pre>\n", "breaks": "<br>x",
	} {
		cost := func(n int) uint64 {
			s := strings.Repeat(unit, n/len(unit))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b := readBody(graph.Event{Body: graph.ItemBody{ContentType: "HTML", Content: s}})
			_, _ = meetingLink(graph.Event{}, b)
			runtime.ReadMemStats(&after)
			if len(b.text) > 3*maxDescription || len(b.links) > maxLinks {
				t.Errorf("%s: %d octets, %d links", name, len(b.text), len(b.links))
			}
			return after.TotalAlloc - before.TotalAlloc
		}
		if one, two := cost(1<<19), cost(1<<20); two > 3*one+1<<20 {
			t.Errorf("%s: half a megabyte allocates %d octets, twice that %d", name, one, two)
		}
	}
}

func FuzzHTMLText(f *testing.F) {
	f.Add("<p>a<a href=https://x>b</a><ul><li>c")
	f.Add("<table><tr><td>\x00</td></table><pre>\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		b := htmlText(s)
		if strings.HasSuffix(b.text, "\n") || strings.HasPrefix(b.text, "\n") {
			t.Errorf("%q", b.text)
		}
		if utf8.ValidString(s) && !utf8.ValidString(b.text) {
			t.Errorf("%q from %q", b.text, s)
		}
	})
}

// A link that is found in any text, by whatever Safe Links it is wrapped in, can stand in a URI property.
func FuzzMeetingLink(f *testing.F) {
	f.Add("join https://zoom.us/j/1?pwd=x), or", "Room 1")
	f.Add("<a href=\"https://eur01.safelinks.protection.outlook.com/?url=https%3a%2f%2fmeet.google.com%2fabc-defg-hij%0d%0aX:y\">x</a>", "https://teams.live.com/meet/1 ä\"")
	f.Fuzz(func(t *testing.T, text, place string) {
		for _, kind := range []string{"text", "html"} {
			e := graph.Event{Body: graph.ItemBody{ContentType: kind, Content: text}, Location: graph.Location{DisplayName: place, LocationURI: place}, OnlineMeetingURL: place}
			link, where := meetingLink(e, readBody(e))
			if link.url == "" {
				continue
			}
			u, err := url.Parse(link.url)
			if err != nil || u.Host == "" || where == "" || link.name == "" || strings.ContainsFunc(link.url, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
				t.Errorf("%q %q: %v", link, where, err)
			}
		}
	})
}

func TestMeetingLink(t *testing.T) {
	for _, tc := range []struct{ url, name string }{
		{"https://teams.microsoft.com/l/meetup-join/19%3ameeting_x/0?context=%7b%7d", "Microsoft Teams"},
		{"https://teams.live.com/meet/9312345?p=x", "Microsoft Teams"},
		{"https://gov.teams.microsoft.us/l/meetup-join/x", "Microsoft Teams"},
		{"https://contoso.zoom.us/j/123?pwd=a", "Zoom"},
		{"https://meet.google.com/abc-defg-hij", "Google Meet"},
		{"https://contoso.webex.com/meet/ann", "Webex"},
		{"https://contoso.webex.com/contoso/j.php?MTID=m1", "Webex"},
		{"https://teams.microsoft.com/downloads", ""},
		{"https://zoom.us/", ""},
		{"https://evil.example/teams.microsoft.com/l/meetup-join/", ""},
		{"https://notzoom.us/j/1", ""},
		{"https://meet.google.com/", ""},
	} {
		e := graph.Event{Body: graph.ItemBody{ContentType: "text", Content: "Agenda: https://x.example\nJoin <" + tc.url + ">."}}
		got, _ := meetingLink(e, readBody(e))
		if got.name != tc.name || tc.name != "" && got.url != tc.url {
			t.Errorf("%s: %v", tc.url, got)
		}
	}
}

package convert

import (
	"net/url"
	"strings"
	"testing"
	"time"
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
		// Links that lead to what no browser opens say where.
		{`<a href="file://srv/share/plan.docx">plan</a>, <a href="\\srv\x y">share</a>`, `plan <file://srv/share/plan.docx>, share <\\srv\x y>`},
		{`<a href="onenote:https://d.example/x">notes</a> <a href="sip:a@x.example">call</a> <a href="ftp://h/">f</a>`, "notes <onenote:https://d.example/x> call <sip:a@x.example> f <ftp://h/>"},
		{`<a href="page.html">page</a> <a href="data:text/html,x">d</a> <a href=" JavaScript:x">j</a>`, "page d j"},
		{`<a href="https://urldefense.com/v3/__https://x.example/__;!!k$">https://urldefense.com/v3/__https://x.example/__;!!k$</a>!`, "https://x.example/!"},
		// What is not displayed.
		{`<div style="display:none">secret</div>a`, "a"},
		{`<div style="DISPLAY : none !important"><div>x</div>y</div>a`, "a"},
		{`<span style="font-size:0px;color:#fff">x</span>a<span style="visibility:hidden">y</span>b<b hidden>z</b>`, "ab"},
		{`<span style="mso-hide:all">x</span><div style="max-height:0;overflow:hidden">y</div><div style="max-height:0">z</div>`, "z"},
		{`<p style="display:none">x<p>a`, "a"},
		{`<ul><li style="display:none">x<li>a</ul>`, "- a"},
		{`<table><tr><td style="display:none">x<td>a</table>`, "a"},
		{`<div><span style="display:none">x</div>a`, "a"},
		{`<div style="display:none">x<br><img alt=y><input></div>a<img alt=z style="display:none">`, "a"},
		{`a<span style="display:none"><a href="https://x.example">x</a></span>b`, "ab"},
		{`<span style="display:block">a</span><span style="font-size:10px">b</span><span style="height:0">c</span>`, "abc"},
		{`<o:p style="display:none">x</o:p>a`, "a"},
		{`<body style="display:none">a</body>`, "a"},
		// The numbers of a list.
		{`<ol start="3"><li>three<li>four</ol>`, "3. three\n4. four"},
		{`<ol start=0><li>a<li value=7>b<li>c</ol>`, "0. a\n7. b\n8. c"},
		{`<ol start=-1><li>a</ol><ol start=x><li>b</ol><ul start=4><li>c</ul>`, "-1. a\n1. b\n- c"},
		{`<ol start=5><li>a<ol><li>b</ol><li>c</ol>`, "5. a\n  1. b\n6. c"},
	} {
		if got := htmlText(tc.in).text; got != tc.want {
			t.Errorf("%q:\n%q, want\n%q", tc.in, got, tc.want)
		}
	}
}

// A megabyte of the worst HTML takes well under a second.
func TestHTMLTextIsLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"nested": "<div><ul><li><table><tr><td><b>", "links": `<a href="https://x.example/?">x`, "open": "<a ", "comments": "<!--", "entities": "&amp",
		"scripts": "<script>", "quotes": `<p a="`, "text": "word ", "safelinks": "safelinks.protection. http://", "cdata": "<![CDATA[", "ends": "</div>",
		"pre": "<pre>\n", "breaks": "<br>x",
	} {
		s := strings.Repeat(unit, 1<<20/len(unit))
		start := time.Now()
		b := readBody(graph.Event{Body: graph.ItemBody{ContentType: "HTML", Content: s}})
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%s: %v", name, d)
		}
		_, _ = meetingLink(graph.Event{}, b)
		if len(b.text) > 3*maxDescription || len(b.links) > maxLinks {
			t.Errorf("%s: %d octets, %d links", name, len(b.text), len(b.links))
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
		{"https://join.skype.com/abc", "Skype"},
		{"https://meet.lync.com/contoso/ann/4X7B2C9D", "Skype for Business"},
		{"https://meet.contoso.example/ann/4X7B2C9D", "Skype for Business"},
		{"https://lyncweb.contoso.example/meet/ann/4X7B2C9D", "Skype for Business"},
		{"https://global.gotomeeting.com/join/123456789", "GoTo Meeting"},
		{"https://meet.goto.com/123456789", "GoTo Meeting"},
		{"https://gotomeet.me/ann", "GoTo Meeting"},
		{"https://meet.contoso.example/menu", ""},
		{"https://www.gotomeeting.com/pricing", ""},
		{"https://join.skype.com/", ""},
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

func TestUnwrap(t *testing.T) {
	const inner = "https://zoom.us/j/1?pwd=a_b-c"
	for link, want := range map[string]string{
		inner: inner,
		"https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c&data=05&reserved=0":                                 inner,
		"https://eur01.safelinks.protection.outlook.com/ap/x-59584e83/?url=https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c&data=05":                              inner,
		"https://usg02.safelinks.protection.office365.us/?url=https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c":                                                   inner,
		"https://statics.teams.cdn.office.net/evergreen-assets/safelinks/1/atp-safelinks.html?url=https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c":               inner,
		"https://urldefense.proofpoint.com/v1/url?u=https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c&k=x":                                                         inner,
		"https://urldefense.proofpoint.com/v2/url?u=https-3A__zoom.us_j_1-3Fpwd-3Da-5Fb-2Dc&d=Dw&c=x":                                                        inner,
		"https://urldefense.com/v3/__https://zoom.us/j/1?pwd=a_b-c__;!!Abc!x$":                                                                               inner,
		"https://urldefense.us/v3/__https:/zoom.us/j/1?pwd=a_b-c__;!!Abc!x$":                                                                                 inner,
		"https://urldefense.com/v3/__https://zoom.us/j/1*pwd=a*b-c__;P18!!Abc!x$":                                                                            inner,
		"https://urldefense.com/v3/__https://x.example/**B*y__;w6TDpMOkIw!!k!x$":                                                                             "https://x.example/äää#y",
		"https://linkprotect.cudasvc.com/url?a=https%3a%2f%2fzoom.us%2fj%2f1%3fpwd%3da_b-c&c=E,1":                                                            inner,
		"https://secure-web.cisco.com/1abc/https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c":                                                                      inner,
		"https://protect.checkpoint.com/v2/___https://zoom.us/j/1?pwd=a_b-c___.YXBz":                                                                         inner,
		"https://eu.protection.sophos.com/?d=zoom.us&u=aHR0cHM6Ly96b29tLnVzL2ovMT9wd2Q9YV9iLWM=":                                                             inner,
		"https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Furldefense.com%2Fv3%2F__https%3A%2F%2Fzoom.us%2Fj%2F1%3Fpwd%3Da_b-c__%3B!!k!x%24": inner,
		"https://urldefense.com/v3/nonsense":                                       "https://urldefense.com/v3/nonsense",
		"https://urldefense.com/v3/__javascript:x__;!!k$":                          "https://urldefense.com/v3/__javascript:x__;!!k$",
		"https://x.example/?url=https%3A%2F%2Fzoom.us":                             "https://x.example/?url=https%3A%2F%2Fzoom.us",
		"https://x.example/safelinks.protection./?url=https%3A%2F%2Fzoom.us":       "https://x.example/safelinks.protection./?url=https%3A%2F%2Fzoom.us",
		"https://a.safelinks.protection.outlook.com/?url=javascript%3Ax&data=http": "https://a.safelinks.protection.outlook.com/?url=javascript%3Ax&data=http",
	} {
		if got := unwrap(link); got != want {
			t.Errorf("%s is %s, want %s", link, got, want)
		}
	}
	const text = "Join https://urldefense.com/v3/__https://zoom.us/j/1__;!!Abc!x$ or call."
	if b := readBody(graph.Event{Body: graph.ItemBody{ContentType: "text", Content: text}}); b.text != "Join https://zoom.us/j/1 or call." {
		t.Errorf("text %q", b.text)
	}
}

// A link whose address is left out is a loss; anything else of it is said.
func TestDroppedLinks(t *testing.T) {
	for html, dropped := range map[string]bool{
		`<a href="https://x.example">x</a>`: false, `<a href="#top">x</a>`: false, `<a name=x>x</a>`: false, `<a href="file:///c:/x">x</a>`: false, `<a href="">x</a>`: false,
		`<a href="javascript:x()">x</a>`: true, `<a href="page.html">x</a>`: true, `<a href="cid:x">x</a>`: true, `<a href="https://x.example/` + strings.Repeat("x", maxURL) + `">x</a>`: true,
		`<p hidden><a href="page.html">x</a></p>`: false,
	} {
		e := graph.Event{ID: "a", Start: graph.DateTimeTimeZone{DateTime: "2026-07-01T10:00:00", TimeZone: "UTC"}, OriginalStartTimeZone: "UTC", Body: graph.ItemBody{ContentType: "html", Content: html}}
		e.End = e.Start
		_, losses, err := ToICS(Series{Event: e})
		if err != nil || (len(losses) == 1) != dropped {
			t.Errorf("%.80s: %v, %v", html, losses, err)
		}
	}
}

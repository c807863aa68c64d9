package convert

import (
	"encoding/base64"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-ical"
	tokens "golang.org/x/net/html"

	"outbridge/bridge/graph"
)

// body compares the descriptions and, where the client has changed one, says the body of the event: never with what ToICS has
// added to it, and of an online meeting with the invitation that Outlook keeps in it, since without that the meeting is no
// online meeting any more (learn.microsoft.com/graph/api/event-update).
func (d *differ) body(c change, f fields) error {
	line := addedLine(c.event)
	base, now, want := describe(c.base, line), describe(c.now, line), describe(c.want, line)
	page := ""
	if p := htmlOf(c.want); p != htmlOf(c.base) && (strings.TrimSpace(want) == "" || sameWords(htmlText(p).text, want)) {
		page = p
	}
	// HTML that the client did not have before says nothing beside a text that is as it was.
	if tidy(want) == tidy(base) && (page == "" || htmlOf(c.base) == "" && tidy(want) != "") || tidy(want) == tidy(now) && page == "" {
		return nil
	}
	if strings.HasSuffix(strings.TrimSpace(base), strings.TrimSpace(cutNote)) || strings.HasSuffix(strings.TrimSpace(now), strings.TrimSpace(cutNote)) {
		return refuse(RefusedData, "The description is longer than what calendar programs get of it; change it in Outlook.")
	}
	if invitation, ok := splitInvitation(c.event); ok {
		return d.aroundInvitation(c.event, invitation, now, want, f)
	}
	if c.event.IsOnlineMeeting {
		return refuse(RefusedData, "The description of this online meeting cannot be changed here, for the link to join it may be lost; change it in Outlook.")
	}
	if page != "" {
		f["body"] = graph.ItemBody{ContentType: "html", Content: page}
		return nil
	}
	if isHTML(c.event.Body) && formatted.MatchString(c.event.Body.Content) {
		d.note("body", "The description was formatted in Outlook; with the changed text its formatting is gone.")
	}
	f["body"] = graph.ItemBody{ContentType: "text", Content: plainText(want)}
	return nil
}

// formatted is whether HTML has anything that its text has not.
var formatted = regexp.MustCompile(`(?i)<(a|b|i|u|em|strong|font|h[1-6]|img|li|table|s|strike|sub|sup)[\s>]|style="[^"]*(color|font-weight|background|text-decoration)`)

// addedLine is the line that ToICS puts before the text of an event, "" for none.
func addedLine(e graph.Event) string {
	b := readBody(e)
	link, _ := meetingLink(e, b)
	return link.lineFor(b.text)
}

// describe is the text of a description without that line.
func describe(c *ical.Component, added string) string {
	text := strings.ReplaceAll(textOf(c, ical.PropDescription), "\r\n", "\n")
	if added == "" {
		return text
	}
	lines := strings.Split(text, "\n")
	i := slices.IndexFunc(lines, func(s string) bool { return strings.TrimSpace(s) == added })
	if i < 0 {
		return text
	}
	return strings.Trim(strings.Join(slices.Delete(lines, i, i+1), "\n"), "\n")
}

// tidy is text in a form in which two that look alike are equal: clients trim lines, and Outlook wraps them again.
func tidy(s string) string {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u00a0", " ", "\t", " ").Replace(s), "\n")
	var out []string
	for _, l := range lines {
		l = strings.Join(strings.Fields(l), " ")
		if l != "" || len(out) > 0 && out[len(out)-1] != "" {
			out = append(out, l)
		}
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

// sameWords is whether two texts differ in white space alone.
func sameWords(a, b string) bool { return slices.Equal(strings.Fields(a), strings.Fields(b)) }

// htmlOf is the HTML that a client has beside the text: X-ALT-DESC of Outlook and CalDav Synchronizer, or the data: URI that
// Thunderbird has in the ALTREP of a DESCRIPTION.
func htmlOf(c *ical.Component) string {
	if p := c.Props.Get("X-ALT-DESC"); p != nil && strings.EqualFold(p.Params.Get("FMTTYPE"), "text/html") {
		return strings.TrimSpace(textOf(c, "X-ALT-DESC"))
	}
	p := c.Props.Get(ical.PropDescription)
	if p == nil {
		return ""
	}
	head, data, ok := strings.Cut(p.Params.Get("ALTREP"), ",")
	if !ok || !strings.HasPrefix(strings.ToLower(head), "data:text/html") {
		return ""
	}
	if strings.HasSuffix(strings.ToLower(head), ";base64") {
		b, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	text, err := url.PathUnescape(data)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

// invitation is the HTML of an event that has how to join its online meeting at its end.
type invitation struct {
	head string // before the text of the person, with the elements that the invitation is in
	rest string // the invitation, to the end
}

// splitInvitation finds the invitation in the body of an event.
func splitInvitation(e graph.Event) (invitation, bool) {
	if !isHTML(e.Body) {
		return invitation{}, false
	}
	s := splitter{page: e.Body.Content}
	inv, ok := s.split()
	if !ok {
		return invitation{}, false
	}
	// A line of a person is none: what follows has to have the link.
	if e.IsOnlineMeeting {
		return inv, true
	}
	joins := func(link string) bool { return service(unwrap(link)) != "" }
	return inv, slices.ContainsFunc(htmlText(inv.rest).links, joins) || slices.ContainsFunc(findLinks(htmlText(inv.rest).text), joins)
}

// splitter looks for the line that services put before their invitation.
type splitter struct {
	page   string
	body   int // where the body begins
	open   []element
	seen   int // tokens with visible text
	hidden int // elements open whose text is not shown
}

type element struct {
	name       string
	start, end int // of its tag
	seen       int
}

var (
	separator = regexp.MustCompile(`_{20,}|─{10,}|-::~:~::~:|Do not delete or change any of the following text`)
	unseen    = map[string]bool{"head": true, "style": true, "script": true, "title": true, "template": true}
)

func (s *splitter) split() (invitation, bool) {
	z := tokens.NewTokenizer(strings.NewReader(s.page))
	for pos := 0; ; {
		kind := z.Next()
		if kind == tokens.ErrorToken {
			return invitation{}, false
		}
		start := pos
		pos += len(z.Raw())
		switch kind {
		case tokens.StartTagToken:
			name, more := z.TagName()
			if s.begin(string(name), start, pos, more, z) {
				return s.cut(start), true
			}
		case tokens.EndTagToken:
			name, _ := z.TagName()
			s.end(string(name))
		case tokens.TextToken:
			text := string(z.Text())
			if s.hidden == 0 && separator.MatchString(text) {
				return s.cut(start), true
			}
			if s.hidden == 0 && strings.TrimSpace(strings.ReplaceAll(text, "\u00a0", " ")) != "" {
				s.seen++
			}
		}
	}
}

// begin takes a start tag. It reports whether the tag is that of the invitation itself.
func (s *splitter) begin(name string, start, end int, more bool, z *tokens.Tokenizer) bool {
	switch {
	case name == "body":
		s.body, s.open, s.hidden = end, nil, 0
		return false
	case unseen[name]:
		s.hidden++
		return false
	case voids[name] || name == "html":
		return false
	}
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if string(key) == "class" && strings.Contains(string(value), "me-email-text") {
			return true
		}
	}
	s.open = append(s.open, element{name, start, end, s.seen})
	return false
}

func (s *splitter) end(name string) {
	if unseen[name] {
		s.hidden = max(s.hidden-1, 0)
		if name == "head" {
			s.body = 0
		}
		return
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i].name == name {
			s.open = s.open[:i]
			return
		}
	}
}

// cut splits before the outermost element that has no text before the one at a place.
func (s *splitter) cut(at int) invitation {
	var inv invitation
	inv.head = s.page[:s.body]
	for _, e := range s.open {
		if e.seen == s.seen {
			at = e.start
			break
		}
		inv.head += s.page[e.start:e.end]
	}
	inv.rest = s.page[at:]
	return inv
}

// aroundInvitation replaces the text before the invitation, which stays as it is to the octet.
func (d *differ) aroundInvitation(e graph.Event, inv invitation, now, want string, f fields) error {
	first, _, _ := strings.Cut(tidy(htmlText(inv.rest).text), "\n")
	before := func(text string) (string, bool) {
		lines := strings.Split(plainText(text), "\n")
		for i, l := range lines {
			if first != "" && tidy(l) == first {
				return strings.Join(lines[:i], "\n"), true
			}
		}
		return text, false
	}
	text, ok := before(want)
	if !ok && slices.ContainsFunc(findLinks(want), func(link string) bool { return service(link) != "" }) {
		return refuse(RefusedData, "How to join this online meeting is part of its description and cannot be changed here; change only the text before it, or change it in Outlook.")
	}
	if old, _ := before(now); tidy(old) == tidy(text) {
		return nil
	}
	f["body"] = graph.ItemBody{ContentType: "html", Content: inv.head + textHTML(plainText(text)) + inv.rest}
	return nil
}

// textHTML is text as HTML that reads the same.
func textHTML(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	for l := range strings.SplitSeq(s, "\n") {
		if l == "" {
			l = "<br>"
		} else {
			l = html.EscapeString(l)
		}
		b.WriteString("<div>" + l + "</div>\n")
	}
	return b.String()
}

package convert

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"outbridge/bridge/graph"
)

// body is what an event's body says: its text, at most a little more than maxDescription long, and its links.
type body struct {
	text    string
	cut     bool
	links   []string
	dropped bool // a link's address is left out
}

func readBody(e graph.Event) body {
	content := e.Body.Content
	if strings.TrimSpace(content) == "" {
		content = e.BodyPreview
		return body{text: plainText(unwrapAll(content)), links: findLinks(content)}
	}
	if isHTML(e.Body) {
		return htmlText(content)
	}
	b := body{links: findLinks(content)}
	content, b.cut = capText(content, 2*maxDescription)
	b.text = plainText(unwrapAll(content))
	return b
}

// isHTML is whether a body is HTML and not empty.
func isHTML(b graph.ItemBody) bool {
	return strings.EqualFold(b.ContentType, "html") && strings.TrimSpace(b.Content) != ""
}

// plainText is text with \n for its line breaks and no space around it.
func plainText(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\ufeff", "").Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t\u00a0")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n ")
}

// htmlText reads HTML as a person would: paragraphs, lists, tables and links in plain text. It works on tokens, not on
// a tree, so that neither depth nor size harms it.
func htmlText(s string) body {
	r := htmlReader{z: html.NewTokenizer(strings.NewReader(s))}
	for {
		switch r.z.Next() {
		case html.ErrorToken:
			return r.body()
		case html.TextToken:
			if r.shown() && !r.full() {
				r.write(r.z.Text())
			}
		case html.StartTagToken:
			r.start(false)
		case html.SelfClosingTagToken:
			r.start(true)
		case html.EndTagToken:
			name, _ := r.z.TagName()
			r.unveil(string(name), true)
			r.end(atom.Lookup(name))
		}
	}
}

type htmlReader struct {
	z      *html.Tokenizer
	out    []byte
	breaks int    // line breaks owed before the next text
	space  bool   // a space owed before the next text
	hidden int    // elements open whose text is not shown
	veil   veil   // the element that its style hides
	pre    int    // <pre> elements open
	lists  []list // open lists
	cell   bool   // within a row, after its first cell
	prefix string // owed before the next text: a bullet, a number
	links  []string
	href   string // of the open link
	anchor int    // where the text of the open link begins in out

	dropped bool // a link's address was left out
}

// list is an open list.
type list struct {
	ordered bool
	last    int // the number of the last item
}

// veil is an element that is not displayed, "" for none, and what is open within.
type veil struct {
	tag  string
	open map[string]int
}

// voids are elements that have no end.
var voids = map[string]bool{"area": true, "base": true, "br": true, "col": true, "embed": true, "hr": true, "img": true, "input": true,
	"link": true, "meta": true, "param": true, "source": true, "track": true, "wbr": true}

// enders are the elements whose beginning ends another one that was left open (HTML, 13.1.2.4).
var enders = map[string]string{
	"p":  " address article blockquote center div dl fieldset form h1 h2 h3 h4 h5 h6 header hr ol p pre section table ul ",
	"li": " li ", "dt": " dt dd ", "dd": " dt dd ", "td": " td th tr tbody tfoot ", "th": " td th tr tbody tfoot ", "tr": " tr tbody tfoot ",
}

func (r *htmlReader) shown() bool { return r.hidden == 0 && r.veil.tag == "" }

// unveil follows a tag within an element that is not displayed, to its end: its own, that of what it stands in, or the
// beginning of what cannot be in it.
func (r *htmlReader) unveil(tag string, end bool) {
	v := &r.veil
	switch {
	case v.tag == "" || voids[tag]:
	case !end && v.open[tag] == 0 && strings.Contains(enders[v.tag], " "+tag+" "), !end && v.open[v.tag] == 1 && tag == v.tag && enders[tag] != "":
		*v = veil{}
	case !end:
		v.open[tag]++
	case v.open[tag] == 0:
		*v = veil{}
	default:
		if v.open[tag]--; tag == v.tag && v.open[tag] == 0 {
			*v = veil{}
		}
	}
}

// hides is whether an element with these attributes is not displayed: newsletters begin with text that is there for the
// lists of mail programs.
func hides(a map[string]string) bool {
	if _, ok := a["hidden"]; ok {
		return true
	}
	zero, clipped := false, false
	for decl := range strings.SplitSeq(strings.ToLower(a["style"]), ";") {
		name, value, _ := strings.Cut(decl, ":")
		value, _, _ = strings.Cut(value, "!")
		switch name, value = strings.TrimSpace(name), strings.TrimSpace(value); name {
		case "display":
			if value == "none" {
				return true
			}
		case "visibility":
			if value == "hidden" || value == "collapse" {
				return true
			}
		case "mso-hide":
			if value == "all" {
				return true
			}
		case "font-size", "opacity":
			if isZero(value) {
				return true
			}
		case "max-height", "height", "max-width", "width":
			zero = zero || isZero(value)
		case "overflow":
			clipped = value == "hidden"
		}
	}
	return zero && clipped
}

// isZero is whether a length of CSS is none.
func isZero(s string) bool {
	s = strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz% ")
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && f == 0
}

// maxNumber bounds the numbers of list items.
const maxNumber = 1 << 30

func (r *htmlReader) full() bool { return len(r.out) > 2*maxDescription }

func (r *htmlReader) body() body {
	r.closeLink()
	text := plainText(string(r.out))
	return body{text: text, cut: r.full(), links: r.links, dropped: r.dropped}
}

// owe asks for n line breaks before what comes next.
func (r *htmlReader) owe(n int) {
	r.breaks = max(r.breaks, n)
	r.space = false
}

// pay writes the breaks, the prefix or the space that are owed.
func (r *htmlReader) pay() {
	if r.breaks > 0 && len(r.out) > 0 {
		r.out = append(r.out, "\n\n"[:min(r.breaks, 2)]...)
		r.space = false
	}
	if r.breaks > 0 || len(r.out) == 0 {
		r.space = false
	}
	r.breaks = 0
	if r.prefix != "" {
		r.out = append(r.out, r.prefix...)
		r.prefix, r.space = "", false
	}
	if n := len(r.out); r.space && r.out[n-1] != '\t' {
		r.out = append(r.out, ' ')
	}
	r.space = false
}

// write adds text with its white space made single.
func (r *htmlReader) write(text []byte) {
	if r.pre > 0 {
		r.pay()
		s, _ := capText(string(text), 2*maxDescription+utf8.UTFMax-len(r.out))
		r.out = append(r.out, strings.ReplaceAll(s, "\r\n", "\n")...)
		return
	}
	for len(text) > 0 && !r.full() {
		c, n := rune(text[0]), 1
		if c >= utf8.RuneSelf {
			c, n = utf8.DecodeRune(text)
		}
		switch c {
		case ' ', '\t', '\n', '\r', '\f':
			r.space = true
		case '\u00a0':
			if r.breaks == 0 && len(r.out) > 0 {
				r.space = true
			}
		case '\u200b', '\ufeff', '\u00ad': // of no width
		default:
			r.pay()
			r.out = append(r.out, text[:n]...)
		}
		text = text[n:]
	}
}

// attrs are the attributes of the tag. The first of a name counts.
func (r *htmlReader) attrs(more bool) map[string]string {
	out := map[string]string{}
	for more {
		var key, value []byte
		key, value, more = r.z.TagAttr()
		if _, ok := out[string(key)]; !ok {
			out[string(key)] = string(value)
		}
	}
	return out
}

func (r *htmlReader) start(selfClosing bool) {
	name, more := r.z.TagName()
	tag := atom.Lookup(name)
	elem := tag.String()
	if tag == 0 {
		elem = string(name)
	}
	if r.veil.tag != "" && !selfClosing {
		r.unveil(elem, false)
	}
	var attrs map[string]string
	if more {
		attrs = r.attrs(more)
	}
	if r.veil.tag == "" && len(attrs) > 0 && hides(attrs) {
		if voids[elem] || tag == atom.Body {
			// of a picture that is not displayed, the alternative text is not either
			if tag == atom.Img {
				return
			}
		} else if !selfClosing {
			r.closeLink()
			r.veil = veil{elem, map[string]int{elem: 1}}
		}
	}
	switch tag {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Object, atom.Svg:
		if !selfClosing {
			r.hidden++
		}
	case atom.Body:
		r.hidden = 0 // a head that was never closed
	case atom.Br:
		r.breaks++
		r.space = false
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote:
		r.owe(2)
	case atom.Div, atom.Dl, atom.Dt, atom.Dd, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Table,
		atom.Form, atom.Center, atom.Fieldset:
		r.owe(1)
	case atom.Pre:
		r.owe(1)
		if !selfClosing {
			r.pre++
		}
	case atom.Hr:
		r.owe(1)
		if r.shown() {
			r.prefix = "----"
			r.pay()
			r.owe(1)
		}
	case atom.Ul, atom.Ol:
		r.owe(1)
		l := list{ordered: tag == atom.Ol}
		if n, err := strconv.Atoi(strings.TrimSpace(attrs["start"])); err == nil && l.ordered && -maxNumber <= n && n <= maxNumber {
			l.last = n - 1
		}
		if len(r.lists) < 100 {
			r.lists = append(r.lists, l)
		}
	case atom.Li:
		r.owe(1)
		if !r.shown() {
			break
		}
		r.prefix = "- "
		if n := len(r.lists); n > 0 {
			if l := &r.lists[n-1]; l.ordered {
				l.last++
				if v, err := strconv.Atoi(strings.TrimSpace(attrs["value"])); err == nil && -maxNumber <= v && v <= maxNumber {
					l.last = v
				}
				r.prefix = strconv.Itoa(l.last) + ". "
			}
			r.prefix = strings.Repeat("  ", min(n, 8)-1) + r.prefix
		}
	case atom.Tr:
		r.owe(1)
		r.cell = false
	case atom.Td, atom.Th:
		if r.cell && r.breaks == 0 && len(r.out) > 0 && r.shown() {
			r.space = false
			r.out = append(r.out, '\t')
		}
		r.cell = true
	case atom.A:
		r.closeLink()
		if href := unwrap(strings.TrimSpace(attrs["href"])); href != "" && r.shown() {
			r.href, r.anchor = href, len(r.out)
			if len(r.links) < maxLinks && strings.HasPrefix(href, "http") {
				r.links = append(r.links, href)
			}
		}
	case atom.Img:
		if alt := attrs["alt"]; r.shown() && !r.full() && strings.TrimSpace(alt) != "" {
			r.write([]byte("[" + strings.TrimSpace(alt) + "]"))
		}
	}
}

func (r *htmlReader) end(tag atom.Atom) {
	switch tag {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Object, atom.Svg:
		r.hidden = max(r.hidden-1, 0)
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote:
		r.owe(2)
	case atom.Div, atom.Dl, atom.Dt, atom.Dd, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Table,
		atom.Form, atom.Center, atom.Fieldset, atom.Li, atom.Tr:
		r.owe(1)
	case atom.Pre:
		r.pre = max(r.pre-1, 0)
		r.owe(1)
	case atom.Ul, atom.Ol:
		if n := len(r.lists); n > 0 {
			r.lists = r.lists[:n-1]
		}
		r.owe(1)
	case atom.A:
		r.closeLink()
	}
}

// closeLink writes the address of a link after its text, unless the text says it already. Of an address that is a program, that
// is part of the message or that has no place of its own, only the text is written.
func (r *htmlReader) closeLink() {
	if r.href == "" {
		return
	}
	href := r.href
	r.href = ""
	if r.full() || strings.HasPrefix(href, "#") {
		return
	}
	scheme, rest, ok := strings.Cut(href, ":")
	scheme = strings.ToLower(scheme)
	switch share := strings.HasPrefix(href, `\\`); {
	case len(href) > maxURL, !ok && !share, programs[scheme] && !share, strings.ContainsFunc(href, unicode.IsControl):
		r.dropped = true
		return
	case share:
		scheme, rest = "", href
	}
	at := min(r.anchor, len(r.out))
	text := strings.TrimSpace(string(r.out[at:]))
	same := func(s string) string { return strings.TrimSuffix(strings.ToLower(s), "/") }
	switch {
	case same(text) == same(href), (scheme == "mailto" || scheme == "tel") && text != "" && strings.HasPrefix(same(rest), same(text)):
		return
	case strings.HasPrefix(text, "http") && strings.Contains(href, text):
		return
	case strings.HasPrefix(text, "http") && text != href && unwrap(text) == href:
		r.out = r.out[:len(r.out)-len(strings.TrimLeft(string(r.out[at:]), " \t\n"))]
		r.write([]byte(href))
	case text == "":
		r.write([]byte(href))
	default:
		r.write([]byte(" <" + href + ">"))
	}
}

// programs are the schemes of links that lead nowhere outside of the page.
var programs = map[string]bool{"javascript": true, "vbscript": true, "data": true, "blob": true, "about": true, "cid": true, "mid": true}

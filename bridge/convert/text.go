package convert

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"outbridge/bridge/graph"
)

// body is what an event's body says: its text, at most a little more than maxDescription long, and its links.
type body struct {
	text  string
	cut   bool
	links []string
}

func readBody(e graph.Event) body {
	content := e.Body.Content
	if strings.TrimSpace(content) == "" {
		content = e.BodyPreview
		return body{text: plainText(content), links: findLinks(content)}
	}
	if isHTML(e.Body) {
		return htmlText(content)
	}
	b := body{links: findLinks(content)}
	content, b.cut = capText(content, 2*maxDescription)
	b.text = plainText(content)
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
			if r.hidden == 0 && !r.full() {
				r.write(r.z.Text())
			}
		case html.StartTagToken:
			r.start(false)
		case html.SelfClosingTagToken:
			r.start(true)
		case html.EndTagToken:
			name, _ := r.z.TagName()
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
	pre    int    // <pre> elements open
	lists  []int  // open lists: the number of the last item, -1 for bullets
	cell   bool   // within a row, after its first cell
	prefix string // owed before the next text: a bullet, a number
	links  []string
	href   string // of the open link
	anchor int    // where the text of the open link begins in out
}

func (r *htmlReader) full() bool { return len(r.out) > 2*maxDescription }

func (r *htmlReader) body() body {
	r.closeLink()
	text := plainText(string(r.out))
	return body{text: text, cut: r.full(), links: r.links}
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

func (r *htmlReader) attr(want string) string {
	for {
		key, value, more := r.z.TagAttr()
		if string(key) == want {
			return string(value)
		}
		if !more {
			return ""
		}
	}
}

func (r *htmlReader) start(selfClosing bool) {
	name, _ := r.z.TagName()
	switch tag := atom.Lookup(name); tag {
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
		r.prefix = "----"
		r.pay()
		r.owe(1)
	case atom.Ul, atom.Ol:
		r.owe(1)
		n := -1
		if tag == atom.Ol {
			n = 0
		}
		if len(r.lists) < 100 {
			r.lists = append(r.lists, n)
		}
	case atom.Li:
		r.owe(1)
		r.prefix = "- "
		if n := len(r.lists); n > 0 {
			if r.lists[n-1] >= 0 {
				r.lists[n-1]++
				r.prefix = strconv.Itoa(r.lists[n-1]) + ". "
			}
			r.prefix = strings.Repeat("  ", min(n, 8)-1) + r.prefix
		}
	case atom.Tr:
		r.owe(1)
		r.cell = false
	case atom.Td, atom.Th:
		if r.cell && r.breaks == 0 && len(r.out) > 0 {
			r.space = false
			r.out = append(r.out, '\t')
		}
		r.cell = true
	case atom.A:
		r.closeLink()
		if href := unwrap(strings.TrimSpace(r.attr("href"))); href != "" {
			r.href, r.anchor = href, len(r.out)
			if len(r.links) < maxLinks && strings.HasPrefix(href, "http") {
				r.links = append(r.links, href)
			}
		}
	case atom.Img:
		if alt := r.attr("alt"); r.hidden == 0 && !r.full() && strings.TrimSpace(alt) != "" {
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

// closeLink writes the address of a link after its text, unless the text says it already.
func (r *htmlReader) closeLink() {
	if r.href == "" {
		return
	}
	href := r.href
	r.href = ""
	if r.hidden > 0 || r.full() || strings.HasPrefix(href, "#") || len(href) > maxURL {
		return
	}
	i := strings.IndexByte(href, ':')
	if i < 0 {
		return
	}
	scheme := strings.ToLower(href[:i])
	if scheme != "http" && scheme != "https" && scheme != "mailto" && scheme != "tel" {
		return
	}
	text := strings.TrimSpace(string(r.out[min(r.anchor, len(r.out)):]))
	same := func(s string) string { return strings.TrimSuffix(strings.ToLower(s), "/") }
	switch {
	case same(text) == same(href), (scheme == "mailto" || scheme == "tel") && text != "" && strings.HasPrefix(same(href[i+1:]), same(text)):
		return
	case strings.HasPrefix(text, "http") && strings.Contains(href, text):
		return
	case text == "":
		r.write([]byte(href))
	default:
		r.write([]byte(" <" + href + ">"))
	}
}

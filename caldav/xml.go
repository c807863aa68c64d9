package caldav

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	unicode16 "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// XML namespaces of the properties and reports served here.
const (
	nsDAV    = "DAV:"
	nsCalDAV = "urn:ietf:params:xml:ns:caldav"
	nsCS     = "http://calendarserver.org/ns/"
	nsApple  = "http://apple.com/ns/ical/"

	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

// namespace is one that answers write with a prefix, which the root element declares.
type namespace struct{ start, declaration string }

var namespaces = []namespace{newNamespace("D", nsDAV), newNamespace("C", nsCalDAV), newNamespace("CS", nsCS), newNamespace("A", nsApple)}

func newNamespace(prefix, name string) namespace {
	return namespace{start: "<" + prefix + ":", declaration: " xmlns:" + prefix + `="` + name + `"`}
}

// rootNamespaces declares every prefix, and DAV: for names without one.
var rootNamespaces = func() string {
	s := ` xmlns="` + nsDAV + `"`
	for _, n := range namespaces {
		s += n.declaration
	}
	return s
}()

func dav(local string) xml.Name    { return xml.Name{Space: nsDAV, Local: local} }
func caldav(local string) xml.Name { return xml.Name{Space: nsCalDAV, Local: local} }
func cs(local string) xml.Name     { return xml.Name{Space: nsCS, Local: local} }
func apple(local string) xml.Name  { return xml.Name{Space: nsApple, Local: local} }

// Limits of a request body. vdirsyncer puts every changed href into one multiget, at about 130 octets each, so
// the body limit holds some 30,000 of them.
const (
	maxXMLBody     = 4 << 20
	maxXMLDepth    = 32
	maxXMLElements = 40000
	// maxXMLNames is how many octets the names have with their namespaces written out, as an answer writes them
	// for every resource: one long namespace that is declared once would make gigabytes of a small request.
	maxXMLNames = 256 << 10
	// maxXMLQuotes bounds the attributes, two quotes each, before a decoder that reads a whole tag at once sees them.
	maxXMLQuotes = 40000
)

var errLongNames = badRequest("the XML names in the request body are too long")

// node is one element of a request body.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	text     string // character data directly inside, in document order
	children []*node
	parts    []part // text and children as they alternate; kept of a DAV:propertyupdate only

	data []byte // text while it is read
}

// part is a run of text or, where child is not nil, an element.
type part struct {
	text  string
	child *node
}

// child finds the first child element of a name, or nil. It and the other readers accept a nil node.
func (n *node) child(name xml.Name) *node {
	if n != nil {
		for _, c := range n.children {
			if c.name == name {
				return c
			}
		}
	}
	return nil
}

// attr returns the value of an attribute without a namespace, or "".
func (n *node) attr(local string) string {
	if n != nil {
		for _, a := range n.attrs {
			if a.Name.Space == "" && a.Name.Local == local {
				return a.Value
			}
		}
	}
	return ""
}

// trimmed returns the element's own text without surrounding white space.
func (n *node) trimmed() string {
	if n == nil {
		return ""
	}
	return strings.TrimSpace(n.text)
}

// readXML reads a request body whatever its Content-Type says: Android clients send text/plain. An empty body is
// a nil node. A large one waits for its turn. The document is not to be changed.
func (x *exchange) readXML() (*node, error) {
	if length := x.req.ContentLength; 0 <= length && length <= smallDocument {
		// The answer has not begun, so that its buffer is free.
		n, err := x.h.documents.read(x.req.Body, x.buf[:length])
		x.drained = err == nil
		return n, refusedBody(err)
	}
	body := &xmlBody{r: http.MaxBytesReader(x.rw, x.req.Body, maxXMLBody), large: func() error { return x.takeTurn(x.h.largeTurns) }}
	n, err := readXML(body)
	if body.refused != nil {
		return nil, body.refused
	}
	return n, refusedBody(err)
}

// refusedBody is the answer to a body that cannot be read.
func refusedBody(err error) error {
	if err == nil {
		return nil
	}
	var se *statusError
	tooBig := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooBig):
		return &statusError{status: http.StatusRequestEntityTooLarge, sentence: "request body too large"}
	case !errors.As(err, &se):
		return badRequest("cannot read the request body")
	}
	return err
}

// xmlBody is a request body that asks for a turn once it turns out to be large.
type xmlBody struct {
	r       io.Reader
	size    int
	large   func() error // nil once it has been asked
	refused error
}

func (b *xmlBody) Read(p []byte) (int, error) {
	if b.refused != nil {
		return 0, b.refused
	}
	n, err := b.r.Read(p)
	if b.size += n; b.size > largeBody && b.large != nil {
		b.refused, b.large = b.large(), nil
		if b.refused != nil {
			return 0, b.refused
		}
	}
	return n, err
}

// quoteReader ends a document that has more quotes than are taken.
type quoteReader struct {
	r      io.Reader
	quotes int
}

func (q *quoteReader) Read(p []byte) (int, error) {
	n, err := q.r.Read(p)
	if q.quotes += bytes.Count(p[:n], []byte{'"'}) + bytes.Count(p[:n], []byte{'\''}); q.quotes > maxXMLQuotes {
		return 0, badRequest("too many XML attributes in the request body")
	}
	return n, err
}

// fromUTF16 decodes a body that begins with a byte order mark of UTF-16, which every XML processor has to
// understand (XML 1.0 §4.3.3). Other encodings are named in the XML declaration; what the media type says is not
// looked at, since clients do not mean it. A mark of UTF-8 is left out.
func fromUTF16(body *bufio.Reader) *bufio.Reader {
	if mark, _ := body.Peek(1); len(mark) == 0 || mark[0] < 0xef {
		return body
	}
	return bufio.NewReader(transform.NewReader(body, unicode16.BOMOverride(encoding.Nop.NewDecoder())))
}

// charsetReader is for the encodings of one octet a character that are subsets of Unicode in that octet. UTF-16
// has been decoded before an XML declaration can name it.
func charsetReader(charset string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin1", "us-ascii", "ascii":
		return charmap.ISO8859_1.NewDecoder().Reader(r), nil
	case "utf-8", "utf8", "utf-16", "utf-16le", "utf-16be":
		return r, nil
	}
	return nil, fmt.Errorf("unknown charset %q", charset)
}

// readXML reads one document; nil where there is nothing but white space. Document type declarations are refused, so there
// are no entities to expand. The errors are answers for the client, and those of r.
func readXML(r io.Reader) (*node, error) {
	body := fromUTF16(bufio.NewReaderSize(&quoteReader{r: r}, 1<<10)) // most are smaller
	for space := true; space; {
		b, err := body.Peek(1)
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if space = len(bytes.TrimSpace(b)) == 0; space {
			_, _ = body.Discard(1)
		}
	}
	dec := xml.NewDecoder(body)
	ownOctets := true // the decoder takes body's octets as they are, one by one
	dec.CharsetReader = func(charset string, r io.Reader) (io.Reader, error) {
		ownOctets = false
		return charsetReader(charset, r)
	}
	var root *node
	var open []*node
	var spare []byte // for the text of the next element
	var hrefs hrefReader
	elements, names := 0, 0
	declared := map[string]bool{"": true} // namespaces met so far
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			if syntax := (*xml.SyntaxError)(nil); errors.As(err, &syntax) {
				return nil, badRequest("malformed XML in the request body")
			}
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if elements++; elements > maxXMLElements {
				return nil, badRequest("too many XML elements in the request body")
			}
			if len(open) == maxXMLDepth {
				return nil, badRequest("XML in the request body is nested too deeply")
			}
			if err := checkNames(t, declared); err != nil {
				return nil, err
			}
			if names += nameSize(t); names > maxXMLNames {
				return nil, errLongNames
			}
			n := &node{name: t.Name, attrs: t.Attr, data: spare}
			spare = nil
			switch {
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.children = append(parent.children, n)
				if root.name == dav("propertyupdate") {
					parent.parts = append(parent.parts, part{child: n})
				}
			case root == nil:
				root = n
			default:
				return nil, badRequest("more than one root element in the request body")
			}
			open = append(open, n)
		case xml.EndElement:
			n := open[len(open)-1]
			n.text, n.data, spare = string(n.data), nil, n.data[:0]
			if open = open[:len(open)-1]; len(open) == 1 && ownOctets && root.name == caldav("calendar-multiget") && n.name == dav("href") {
				for elements < maxXMLElements {
					n := hrefs.next(body, root)
					if n == nil {
						break
					}
					elements++
					names += len("href")
					root.children = append(root.children, n)
				}
				if names > maxXMLNames {
					return nil, errLongNames
				}
			}
		case xml.CharData:
			if len(open) > 0 {
				n := open[len(open)-1]
				n.data = append(n.data, t...)
				if root.name == dav("propertyupdate") {
					n.parts = append(n.parts, part{text: string(t)})
				}
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, badRequest("text outside the root element of the request body")
			}
		case xml.Directive:
			return nil, badRequest("document type declarations are not accepted")
		}
	}
	if root == nil {
		return nil, badRequest("no root element in the request body")
	}
	return root, nil
}

// checkNames holds a start tag to Namespaces in XML 1.0, which the decoder does not, and notes what it declares. A name
// is sent back and kept, and one that is none would make what is said later unreadable.
func checkNames(t xml.StartElement, declared map[string]bool) error {
	for _, a := range t.Attr {
		prefixed := a.Name.Space == "xmlns"
		if !prefixed && a.Name != (xml.Name{Local: "xmlns"}) {
			continue
		}
		switch {
		case prefixed && a.Value == "": // §5
			return badRequest("an XML prefix in the request body is bound to nothing")
		case a.Value == nsXMLNS, a.Value == nsXML && !(prefixed && a.Name.Local == "xml"): // §3
			return badRequest("a namespace of XML itself is declared in the request body")
		}
		declared[a.Value] = true
	}
	// The decoder takes an undeclared prefix for a namespace, and a stray colon for part of a name.
	if !declared[t.Name.Space] || t.Name.Space == nsXML {
		return badRequest("an XML name in the request body has an undeclared prefix")
	}
	if !isLocalName(t.Name.Local) {
		return badRequest("malformed XML name in the request body")
	}
	seen := make(map[xml.Name]bool, len(t.Attr))
	for _, a := range t.Attr {
		if !declared[a.Name.Space] && a.Name.Space != nsXML && a.Name.Space != "xmlns" {
			return badRequest("an XML name in the request body has an undeclared prefix")
		}
		if !isLocalName(a.Name.Local) || seen[a.Name] {
			return badRequest("malformed or repeated XML attribute in the request body")
		}
		seen[a.Name] = true
	}
	return nil
}

// isLocalName tells, of a name that the decoder has let pass, whether its local part can be one: without a colon, and
// its first character one that may begin a name (Namespaces in XML 1.0 §4).
func isLocalName(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return (unicode.IsLetter(first) || first == '_') && !strings.Contains(s, ":")
}

// nameSize is what an element's name, and those of its attributes, count of maxXMLNames.
func nameSize(t xml.StartElement) int {
	size := len(t.Name.Local)
	switch t.Name.Space {
	case nsDAV, nsCalDAV, nsCS, nsApple: // an answer declares these once
	default:
		size += len(t.Name.Space)
	}
	for _, a := range t.Attr {
		if a.Name.Space != "xmlns" {
			size += len(a.Name.Space) + len(a.Name.Local)
		}
	}
	return size
}

// startTag returns the opening and the closing tag of a property. A name from an unknown namespace declares it.
func startTag(name xml.Name) (open, end string) {
	prefix := ""
	switch name.Space {
	case nsDAV:
		// what has no prefix
	case nsCalDAV:
		prefix = "C:"
	case nsCS:
		prefix = "CS:"
	case nsApple:
		prefix = "A:"
	case nsPush: // asked for by few, so it is not declared on every answer
		return "<P:" + name.Local + ` xmlns:P="` + nsPush + `">`, "</P:" + name.Local + ">"
	case "":
		return "<" + name.Local + ` xmlns="">`, "</" + name.Local + ">"
	default:
		return fmt.Sprintf(`<x:%s xmlns:x="%s">`, name.Local, attributeValue(name.Space)), "</x:" + name.Local + ">"
	}
	return "<" + prefix + name.Local + ">", "</" + prefix + name.Local + ">"
}

var quotes = strings.NewReplacer(`"`, "&quot;", "'", "&apos;", "\t", "&#9;", "\n", "&#10;")

// attributeValue escapes s for an attribute in quotes of either kind, where a parser makes spaces of bare tabs and lines.
func attributeValue(s string) string { return quotes.Replace(string(appendText(nil, s))) }

// appendText appends s as XML character data.
func appendText(b []byte, s string) []byte {
	return appendData(b, []byte(s), false) // which is not copied, since it is not changed
}

// appendData appends s as XML character data. CR becomes a character reference, because a parser would drop a
// bare one and the octets of an object are to arrive as stored, unless it is wanted that lines end as a parser sees them; what XML 1.0 cannot
// carry becomes U+FFFD, since one such character makes the whole multistatus unreadable.
func appendData(b, s []byte, lines bool) []byte {
	last := 0
	for i := plain(s); i < len(s); i += plain(s[i:]) {
		size, esc := 1, "\uFFFD"
		switch c := s[i]; {
		case c == '\t' || c == '\n':
			i++
			continue
		case c == '\r':
			esc = "&#13;"
			if lines && i+1 < len(s) && s[i+1] == '\n' {
				size, esc = 2, "\n"
			}
		case c == '<':
			esc = "&lt;"
		case c == '>':
			esc = "&gt;"
		case c == '&':
			esc = "&amp;"
		case c >= utf8.RuneSelf:
			var r rune
			for ok := true; ok && i < len(s) && s[i] >= utf8.RuneSelf; {
				r, size = utf8.DecodeRune(s[i:])
				// U+FFFE and U+FFFF are all that valid UTF-8 has beyond ASCII and XML has not.
				if ok = r != 0xFFFE && r != 0xFFFF && (r != utf8.RuneError || size > 1); ok {
					i, size = i+size, 0
				}
			}
			if size == 0 {
				continue
			}
		}
		b = append(append(b, s[last:i]...), esc...)
		i += size
		last = i
	}
	return append(b, s[last:]...)
}

// plain is how many octets s begins with that are ASCII, no controls, and mean nothing in XML. It looks at eight at a time: x-0x01.. &^ x has
// the top bit of the lowest octet of x that is zero, and perhaps that of some above it.
func plain(s []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:])
		amp, angle := x^'&'*ones, (x|2*ones)^'>'*ones // '<' and '>' are a bit apart
		if found := (x | (x-0x20*ones)&^x | (amp-ones)&^amp | (angle-ones)&^angle) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '&' || c == '<' || c == '>' {
			break
		}
	}
	return i
}

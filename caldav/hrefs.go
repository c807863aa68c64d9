package caldav

import (
	"bufio"
	"bytes"
	"encoding/xml"
)

// maxPeeked bounds the hrefs that are read here, with their tags and the space before them.
const maxPeeked = 512

// hrefReader reads the hrefs of a multiget between two tokens of the XML decoder, which would take ten allocations for each. It takes what
// begins and ends as an href of this document does, in plain characters; everything else is left to the decoder.
type hrefReader struct {
	start, end []byte // the tags; nil before the first
	spare      []node
}

// next reads an href that is the next child of root. Nil: the decoder is to go on, where it was.
func (h *hrefReader) next(body *bufio.Reader, root *node) *node {
	if h.start == nil {
		h.setTags(root)
	}
	b, _ := body.Peek(maxPeeked) // an error comes again
	read := len(b)
	b, ok := bytes.CutPrefix(bytes.TrimLeft(b, " \t\r\n"), h.start)
	if !ok {
		return nil
	}
	text := b[:plain(b)]
	b, ok = bytes.CutPrefix(b[len(text):], h.end)
	if !ok {
		return nil
	}
	if len(h.spare) == 0 {
		h.spare = make([]node, min(max(len(root.children), 4), 64))
	}
	n := &h.spare[0]
	h.spare = h.spare[1:]
	n.name, n.text = dav("href"), string(text)
	_, _ = body.Discard(read - len(b)) // which have been peeked
	return n
}

// setTags finds how an href is written inside of root: no more than one way is looked for.
func (h *hrefReader) setTags(root *node) {
	h.start, h.end = []byte("\x00"), []byte("\x00") // what is in no document
	for _, a := range root.attrs {
		switch {
		case a.Value != nsDAV:
		case a.Name.Space == "xmlns":
			h.start, h.end = []byte("<"+a.Name.Local+":href>"), []byte("</"+a.Name.Local+":href>")
		case a.Name == (xml.Name{Local: "xmlns"}):
			h.start, h.end = []byte("<href>"), []byte("</href>")
		}
	}
}

package caldav

import (
	"bytes"
	"io"
	"sync"
)

const (
	smallDocument = 2 << 10 // octets of a request body that is kept
	maxDocuments  = 1 << 20 // octets that all of them take
)

// documents are small request bodies as they were read: an idle client sends the same octets at every poll, and reading these as
// XML costs more than the rest of the answer. What is kept is shared, and not to be changed. The zero value is ready.
type documents struct {
	mu   sync.RWMutex
	kept map[string]*node
	size int
}

// read reads a body that is as long as sent, which it is read into: at most smallDocument.
func (d *documents) read(body io.Reader, sent []byte) (*node, error) {
	if _, err := io.ReadFull(body, sent); err != nil {
		return nil, err
	}
	d.mu.RLock()
	n, ok := d.kept[string(sent)]
	d.mu.RUnlock()
	if ok {
		return n, nil
	}
	n, err := readXML(bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	size := 2*len(sent) + n.octets() // the text is in both
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil || d.size+size > maxDocuments {
		d.kept, d.size = map[string]*node{}, 0
	}
	if _, ok := d.kept[string(sent)]; !ok {
		d.kept[string(sent)] = n
		d.size += size
	}
	return n, nil
}

// octets is about how many octets an element and those inside it take, without their texts.
func (n *node) octets() int {
	if n == nil {
		return 0
	}
	size := 256 + 64*len(n.attrs) + 32*len(n.parts)
	for _, c := range n.children {
		size += c.octets()
	}
	return size
}

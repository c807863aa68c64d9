package caldav

import (
	"fmt"
	"strings"
	"testing"
)

// TestDocuments: a body that was read before is not read again, another one is, and what is kept stays within its bound.
func TestDocuments(t *testing.T) {
	t.Parallel()
	var d documents
	read := func(body string) *node {
		n, err := d.read(strings.NewReader(body), make([]byte, len(body)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const one = `<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>`
	first := read(one)
	if read(one) != first {
		t.Error("the same body is read again")
	}
	if n := read(strings.Replace(one, "getetag", "owner", 1)); n.children[0].children[0].name != dav("owner") {
		t.Error("another body is answered from the one before")
	}
	if _, err := d.read(strings.NewReader(one[:20]), make([]byte, len(one))); err == nil {
		t.Error("a body that breaks off is read")
	}
	if _, err := d.read(strings.NewReader("<a>"), make([]byte, 3)); err == nil || d.kept["<a>"] != nil {
		t.Errorf("malformed: %v, kept %v", err, d.kept["<a>"])
	}
	for i := range 1000 {
		read("<a>" + strings.Repeat("<b/>", 490) + fmt.Sprint(i) + "</a>")
		if size := d.measured(); size > maxDocuments || size != d.size {
			t.Fatalf("%d octets are kept, counted as %d", size, d.size)
		}
	}
	if len(d.kept) == 0 {
		t.Error("nothing is kept")
	}
}

func (d *documents) measured() (size int) {
	for sent, n := range d.kept {
		size += 2*len(sent) + n.octets()
	}
	return size
}

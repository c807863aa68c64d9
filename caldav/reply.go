package caldav

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"outbridge/caldav/negotiate"
)

const (
	flushSize = 32 << 10 // an answer up to this size is sent whole, with its Content-Length
	// compressSize is from where on an answer is compressed: what is smaller is in the first packets of a connection, and compressing it
	// would cost as much as making it.
	compressSize = 8 << 10
	writeWindow  = time.Minute // how long a client may take to read one buffer
)

var (
	buffers  = sync.Pool{New: func() any { b := make([]byte, 0, 2*flushSize); return &b }}
	gzippers = sync.Pool{New: newGzipper}
)

// newGzipper makes an answer at a tenth of the costs of compress/gzip, and an eighth larger.
func newGzipper() any {
	z, err := gzip.NewWriterLevel(nil, 3)
	if err != nil {
		panic(err) // there is this level
	}
	return z
}

// coding is what the client would rather have.
type coding uint8

const (
	codingUnknown coding = iota // its header has not been read
	codingIdentity
	codingGzip
)

// reply is an answer on its way out. It gathers in buf, which callers append to; flush sends what has gathered
// once it is much, so that memory does not grow with the answer, and until then the answer can still be dropped
// for an error.
type reply struct {
	rw      http.ResponseWriter
	req     *http.Request
	status  int
	buf     []byte
	pooled  *[]byte
	names   int           // where in buf the namespaces are to be declared, before anything is sent; 0: nowhere
	out     io.Writer     // where buf goes; nil until the header is sent
	gz      *gzip.Writer  // nil where nothing is compressed
	chunks  *bufio.Writer // of what is compressed, so that it goes in few pieces
	started bool
	since   time.Time
	uncoded bool // no content coding
	accepts coding
	values  []string // of headers
	room    [4]string
}

func newReply(rw http.ResponseWriter, req *http.Request) reply {
	p := buffers.Get().(*[]byte)
	return reply{rw: rw, req: req, status: http.StatusOK, buf: (*p)[:0], pooled: p, since: time.Now()}
}

func (w *reply) raw(s string)  { w.buf = append(w.buf, s...) }
func (w *reply) text(s string) { w.buf = appendText(w.buf, s) }

// set sets a header, whose name is written as net/http keeps it.
func (w *reply) set(name, value string) {
	if w.values == nil {
		w.values = w.room[:0]
	}
	n := len(w.values)
	w.values = append(w.values, value)
	w.rw.Header()[name] = w.values[n : n+1 : n+1]
}

// flush is called where buf may be sent: between the rows of an answer.
func (w *reply) flush() error {
	if len(w.buf) < flushSize {
		return nil
	}
	if !w.started {
		w.start()
	}
	return w.send()
}

// beginRoot appends the start tag of an answer's root element. DAV: is the namespace of what has no prefix; the others are
// filled in when it is known which of them the answer has.
func (w *reply) beginRoot(local string) {
	w.raw(`<?xml version="1.0" encoding="utf-8"?>` + "\n<")
	w.raw(local)
	w.raw(` xmlns="` + nsDAV + `"`)
	w.names = len(w.buf)
	w.raw(">")
}

// declare declares the namespaces that buf has, or all of them where more is to come.
func (w *reply) declare(all bool) {
	if w.names == 0 {
		return
	}
	var room [256]byte
	declared := room[:0]
	for _, n := range namespaces {
		if all || bytes.Contains(w.buf, []byte(n.start)) { // a '<' in a text is escaped
			declared = append(declared, n.declaration...)
		}
	}
	w.buf = slices.Insert(w.buf, w.names, declared...)
	w.names = 0
}

// start sends the header of an answer of which more is to come.
func (w *reply) start() {
	w.declare(true)
	w.started = true
	w.out = w.rw
	if w.compresses() {
		w.rw.Header().Set("Content-Encoding", "gzip")
		w.chunks = bufio.NewWriterSize(w.rw, flushSize/2)
		w.compress(w.chunks)
		w.out = w.gz
	}
	w.rw.WriteHeader(w.status)
}

// startWhole sends the header of an answer that is all in buf. It is compressed where that makes it smaller.
func (w *reply) startWhole() {
	w.declare(false)
	w.started = true
	w.out = w.rw
	h := w.rw.Header()
	if len(w.buf) >= compressSize && w.compresses() {
		packed := bytes.NewBuffer(make([]byte, 0, len(w.buf)/2+64))
		w.compress(packed)
		_, err := w.gz.Write(w.buf)
		if err == nil && w.gz.Close() == nil && packed.Len()+len("Content-Encoding: gzip\r\n") < len(w.buf) {
			w.buf = append(w.buf[:0], packed.Bytes()...)
			h.Set("Content-Encoding", "gzip")
		}
		w.stopCompressing()
	}
	if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		w.set("Content-Length", strconv.Itoa(len(w.buf)))
	}
	w.rw.WriteHeader(w.status)
}

// compresses reports whether the answer, if it is not small, is sent compressed.
func (w *reply) compresses() bool {
	return !w.uncoded && w.acceptsGzip() && compressible(w.rw.Header().Get("Content-Type"))
}

// acceptsGzip reads the request's header once.
func (w *reply) acceptsGzip() bool {
	if w.accepts == codingUnknown {
		w.accepts = codingIdentity
		if negotiate.Coding(w.req.Header, "gzip") == "gzip" {
			w.accepts = codingGzip
		}
	}
	return w.accepts == codingGzip
}

func (w *reply) compress(out io.Writer) {
	w.gz = gzippers.Get().(*gzip.Writer)
	w.gz.Reset(out)
}

func (w *reply) stopCompressing() {
	w.gz.Reset(io.Discard)
	gzippers.Put(w.gz)
	w.gz = nil
}

func (w *reply) send() error {
	if len(w.buf) == 0 {
		return nil
	}
	now := time.Now()
	if now.Sub(w.since) > answerTime {
		return errTooLong
	}
	w.deadline(now.Add(writeWindow))
	err := w.write()
	w.idle()
	return err
}

func (w *reply) write() error {
	if len(w.buf) == 0 {
		return nil
	}
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// errTooLong ends an answer that has taken answerTime.
var errTooLong = errors.New("the answer takes too long")

// deadline moves on the time by which what is being written has to be taken. Not every ResponseWriter has one to move on; then the
// server's own holds.
func (w *reply) deadline(at time.Time) {
	_ = http.NewResponseController(w.rw).SetWriteDeadline(at)
}

// idle is called where nothing is written for a while: with HTTP/2 the deadline counts also then.
func (w *reply) idle() {
	if w.req.ProtoMajor > 1 {
		w.deadline(w.since.Add(answerTime))
	}
}

// finish sends the rest.
func (w *reply) finish() error {
	if !w.started {
		w.startWhole()
	}
	w.deadline(time.Now().Add(writeWindow)) // also for what is still in buffers
	err := w.write()
	if w.gz != nil {
		err = cmp.Or(err, w.gz.Close())
		err = cmp.Or(err, w.chunks.Flush())
	}
	return err
}

// drop forgets what has gathered, for an answer of another kind.
func (w *reply) drop() {
	w.buf, w.names = w.buf[:0], 0
	w.status = http.StatusOK
}

func (w *reply) release() {
	if w.gz != nil {
		w.stopCompressing()
	}
	if cap(w.buf) <= 8*flushSize {
		*w.pooled = w.buf[:0]
		buffers.Put(w.pooled)
	}
	w.buf = nil
}

func compressible(contentType string) bool {
	return strings.HasPrefix(contentType, "application/xml") || strings.HasPrefix(contentType, "text/")
}

package caldav

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"outbridge/caldav/negotiate"
)

const (
	flushSize   = 32 << 10    // an answer up to this size is sent whole, with its Content-Length
	gzipSize    = 1 << 10     // below this compression saves no packet
	writeWindow = time.Minute // how long a client may take to read one buffer
)

var (
	buffers  = sync.Pool{New: func() any { b := make([]byte, 0, 2*flushSize); return &b }}
	gzippers = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return w }}
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
	out     io.Writer // where buf goes; nil until the header is sent
	gz      *gzip.Writer
	started bool
	uncoded bool // no content coding
}

func newReply(rw http.ResponseWriter, req *http.Request) *reply {
	p := buffers.Get().(*[]byte)
	return &reply{rw: rw, req: req, status: http.StatusOK, buf: (*p)[:0], pooled: p}
}

func (w *reply) raw(s string)  { w.buf = append(w.buf, s...) }
func (w *reply) text(s string) { w.buf = appendText(w.buf, s) }

// flush is called where buf may be sent: between the rows of an answer.
func (w *reply) flush() error {
	if len(w.buf) < flushSize {
		return nil
	}
	if !w.started {
		w.start(true)
	}
	return w.send()
}

func (w *reply) start(long bool) {
	w.started = true
	w.out = w.rw
	h := w.rw.Header()
	if !w.uncoded && (long || len(w.buf) >= gzipSize) && compressible(h.Get("Content-Type")) && negotiate.Coding(w.req.Header, "gzip") == "gzip" {
		w.gz = gzippers.Get().(*gzip.Writer)
		w.gz.Reset(w.rw)
		w.out = w.gz
		h.Set("Content-Encoding", "gzip")
	}
	if !long && w.gz == nil && w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(w.buf)))
	}
	w.rw.WriteHeader(w.status)
}

func (w *reply) send() error {
	if len(w.buf) == 0 {
		return nil
	}
	// Not every ResponseWriter has a deadline to move on; then the server's own holds.
	_ = http.NewResponseController(w.rw).SetWriteDeadline(time.Now().Add(writeWindow))
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// finish sends the rest.
func (w *reply) finish() error {
	if !w.started {
		w.start(false)
	}
	err := w.send()
	if w.gz != nil {
		if e := w.gz.Close(); err == nil {
			err = e
		}
	}
	return err
}

// drop forgets what has gathered, for an answer of another kind.
func (w *reply) drop() {
	w.buf = w.buf[:0]
	w.status = http.StatusOK
}

func (w *reply) release() {
	if w.gz != nil {
		w.gz.Reset(io.Discard)
		gzippers.Put(w.gz)
		w.gz = nil
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

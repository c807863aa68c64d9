package web

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
)

// Bounds of what is not DAV, whoever asks.
const (
	maxParameters = 300 // of a query or a form: a feed of every calendar of a large mailbox has that many

	// maxPages are made at once, forms included, after they have been read. Others wait, for pageWait at most.
	maxPages = 16
	pageWait = 20 * time.Second

	// Readers at once, of a feed and of all. One more is told to come again.
	maxReaders     = 32
	maxAllReaders  = 128
	readerChunk    = 64 << 10    // octets that a reader has readerWindow for
	readerWindow   = time.Minute // as a DAV answer has
	readerLongest  = time.Hour
	readerNextTime = "30" // seconds
)

// tooManyParameters tells of a text of parameters, before anything parses it.
func tooManyParameters(query string) bool { return strings.Count(query, "&") >= maxParameters }

// pageTurn waits for a turn to make a page, and returns what gives it back; false where there was none in time.
func (h *Handler) pageTurn(ctx context.Context) (back func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	select {
	case h.making <- struct{}{}:
		return func() { <-h.making }, true
	case <-ctx.Done():
		return nil, false
	}
}

// readers are those that feeds are being sent to.
type readers struct {
	mu  sync.Mutex
	all int
	of  map[bridge.FeedID]int
}

// enter counts one more reader of a feed; false where there are as many as may be.
func (l *readers) enter(id bridge.FeedID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxAllReaders || l.of[id] >= maxReaders {
		return false
	}
	if l.of == nil {
		l.of = map[bridge.FeedID]int{}
	}
	l.all++
	l.of[id]++
	return true
}

func (l *readers) leave(id bridge.FeedID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.of[id]--; l.of[id] == 0 {
		delete(l.of, id)
	}
}

// sendFile copies a file to a client under a deadline that moves on with what it takes. An error is a reader who has gone,
// or is too slow.
func sendFile(w http.ResponseWriter, f io.Reader) error {
	deadline := http.NewResponseController(w)
	end := time.Now().Add(readerLongest)
	for {
		by := time.Now().Add(readerWindow)
		if by.After(end) {
			by = end
		}
		_ = deadline.SetWriteDeadline(by) // not every ResponseWriter has one; then the server's own holds
		if _, err := io.CopyN(w, f, readerChunk); err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
	}
}

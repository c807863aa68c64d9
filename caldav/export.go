package caldav

import (
	"errors"
	"fmt"
	"iter"
	"mime"
	"net/http"
	"strings"

	"outbridge/caldav/negotiate"
)

const (
	exportType = "text/calendar; charset=utf-8"
	// How many calendars are sent whole at once. A slow reader keeps a turn for answerTime at most.
	userExports = 2
	allExports  = 8
	exportTries = 3
)

// errMoved: the calendar has changed while it was read, so that its parts are not of one state.
var errMoved = fmt.Errorf("%w: the calendar changes while it is read", ErrUnavailable)

// export answers GET and HEAD of a calendar with all of its events in one, as most servers do (RFC 4791 §5.3.1 leaves it open):
// for programs that read .ics addresses and can sign in, and for a person who opens the address. The tag is that of the
// calendar's state, and weak: whoever writes the calendar may write the same events in other words.
func (x *exchange) export(r *resource) error {
	if err := x.takeTurn(x.h.exportTurns); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := x.exportNow(r)
		if err == nil || x.started {
			return err
		}
		x.drop()
		for _, name := range []string{"ETag", "Last-Modified", "Content-Disposition"} {
			x.rw.Header().Del(name)
		}
		if !errors.Is(err, errMoved) || try == exportTries {
			return err
		}
		if r.cal, err = x.calendar(); err != nil {
			return err
		}
	}
}

func (x *exchange) exportNow(r *resource) error {
	h := x.rw.Header()
	tag := entityTag(r)
	h.Set("ETag", "W/"+tag)
	h.Set("Cache-Control", "private, no-cache")
	if !r.cal.Modified.IsZero() {
		h.Set("Last-Modified", r.cal.Modified.UTC().Format(http.TimeFormat))
	}
	switch (negotiate.State{ETag: strings.Trim(tag, `"`), Modified: r.cal.Modified}).Check(x.req) {
	case http.StatusPreconditionFailed:
		return ErrPrecondition
	case http.StatusNotModified:
		x.status = http.StatusNotModified
		return nil
	}
	h.Set("Content-Type", exportType)
	h.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": exportName(r.cal)}))
	if x.req.Method == http.MethodHead {
		x.start() // the length is not known before all of it is made
		return nil
	}
	return x.h.Export(exportWriter{x}, func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for o, err := range x.h.Backend.Objects(x.ctx, r.cal, Query{WithData: true}) {
				if err == nil && o.Rev > r.cal.Token.Rev {
					err = errMoved
				}
				if !yield(o.Data, err) || err != nil {
					return
				}
			}
		}
	})
}

// exportWriter sends what is written to it as it comes.
type exportWriter struct{ x *exchange }

func (w exportWriter) Write(b []byte) (int, error) {
	w.x.buf = append(w.x.buf, b...)
	return len(b), w.x.flush()
}

// exportName is the calendar's name as that of a file.
func exportName(c Calendar) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, c.DisplayName) + ".ics"
}

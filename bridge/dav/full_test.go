package dav_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/write"
)

// fullStore takes no write, as where its disk is full.
type fullStore struct {
	write.Store
	err error
}

func (s *fullStore) AddIntent(ctx context.Context, i bridge.Intent) (bridge.Intent, error) {
	if s.err != nil {
		return i, s.err
	}
	return s.Store.AddIntent(ctx, i)
}

// TestPutWithoutRoom: where the database has no room, a client is told to come again later and why, reads what there is, and
// succeeds when there is room.
func TestPutWithoutRoom(t *testing.T) {
	w := newWriting(t)
	w.Round()
	store := &fullStore{Store: w.Store}
	w.writer.Store = store
	for _, err := range []error{
		&sqlstore.FileError{Trouble: sqlstore.DiskFull, Err: errors.New("13")},
		&sqlstore.ServerError{Trouble: sqlstore.ServerFull, Server: "outbridge", Err: errors.New("53100")},
	} {
		store.err = err
		rec := w.must(http.StatusServiceUnavailable, "PUT", calendarPath+"new.ics", appointment("new", "New", 3, 9))
		if rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), "disk") {
			t.Errorf("%v %s", rec.Header(), rec.Body)
		}
		w.must(http.StatusMultiStatus, "PROPFIND", calendarPath, "", "Depth", "1")
	}
	store.err = nil
	w.must(http.StatusCreated, "PUT", calendarPath+"new.ics", appointment("new", "New", 3, 9))
}

package caldav_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/caldav"
)

// slow lists objects without an end, one a second.
type slow struct {
	*memory
	listed int
}

func (s *slow) Objects(ctx context.Context, _ caldav.Calendar, _ caldav.Query) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		for ctx.Err() == nil && yield(caldav.Object{Name: fmt.Sprintf("%d.ics", s.listed), ETag: "e"}, nil) {
			s.listed++
			time.Sleep(time.Second)
		}
	}
}

// An answer that goes on is broken off after an hour, so that its turn is somebody else's.
func TestEndlessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{memory: fixture()}
		h := &caldav.Handler{Backend: b, Log: slog.New(slog.DiscardHandler)}
		req := httptest.NewRequest("PROPFIND", work, nil)
		req.Header.Set("Depth", "1")
		req.SetBasicAuth("alice", "secret")
		begin := time.Now()
		defer func() {
			if cause := recover(); cause != http.ErrAbortHandler {
				t.Errorf("ended by %v", cause)
			}
			if took := time.Since(begin); took < time.Hour || took > 65*time.Minute {
				t.Errorf("ended after %v and %d objects", took, b.listed)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), req)
	})
}

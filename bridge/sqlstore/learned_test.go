package sqlstore

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge"
)

func TestLearned(t *testing.T) { forEach(t, testLearned) }

func testLearned(t *testing.T, s *Store) {
	a, err := s.EnsureAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := s.Learned(t.Context(), a.ID); err != nil || !l.At.IsZero() {
		t.Errorf("%+v, %v before anything was learned", l, err)
	}
	yes, no := true, false
	for _, want := range []bridge.Learned{
		{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Host: "graph.microsoft.com", Kind: bridge.KindWork, Of: "1", Asked: 3, KeepsExceptions: &yes},
		{At: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Host: "graph.microsoft.com", Kind: bridge.KindApp, WritesOccurrences: &no},
	} {
		if err := s.SetLearned(t.Context(), a.ID, want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Learned(t.Context(), a.ID); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
	}
}

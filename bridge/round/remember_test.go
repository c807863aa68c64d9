package round_test

import (
	"testing"
	"time"

	"outbridge/bridge/round"
	"outbridge/bridge/round/roundtest"
)

// A round in another process asks for no more than one in the same.
func TestRememberElsewhere(t *testing.T) {
	t.Parallel()
	w := roundtest.New(t)
	w.Box.Calendar().Create(roundtest.Meeting("Before", 2, 9))
	w.Rounds.ListEvery, w.Rounds.CheckpointAfter = time.Hour, 5*time.Minute
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
		t.Fatal(err)
	}
	memory, err := w.Rounds.Remember("alice")
	w.Must(err)
	for name, text := range map[string][]byte{"with what is remembered": memory, "with nothing": nil} {
		other := &round.Runner{Store: w.Store, Now: w.Now, Log: w.Log, ListEvery: time.Hour, CheckpointAfter: 5 * time.Minute}
		w.Must(other.Recall("alice", text))
		report, err := other.Round(w.Ctx, w.Mailbox)
		w.Must(err)
		if known := text != nil; known && report.Requests != 1 || !known && report.Requests < 2 {
			t.Errorf("%s: %d requests", name, report.Requests)
		}
	}
	if err := w.Rounds.Recall("alice", []byte("{")); err == nil {
		t.Error("what cannot be read is taken for something")
	}
}

package write_test

import "encoding/json"

func (w *world) dumpIntents() {
	a, _ := w.Store.Account(w.Ctx, "alice")
	for _, i := range w.intents() {
		full, err := w.Store.SameIntent(w.Ctx, 1, i.Name, i.BodyHash, i.Created.AddDate(-1, 0, 0))
		if err != nil {
			w.Logf("%v", err)
		}
		b, _ := json.Marshal(full.Plan)
		w.Logf("intent %d %s %s step %d: %s %+v", full.ID, full.Name, full.State, full.Step, b, full.Refusal)
	}
	_ = a
}

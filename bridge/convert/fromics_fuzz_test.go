package convert

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"outbridge/caldav/ics"
)

// FuzzFromICS takes any object for what a client makes of some event: it is a plan or a refusal. What is refused or planned once
// is so a second time.
func FuzzFromICS(f *testing.F) {
	var edits []Edit
	files, _ := filepath.Glob("testdata/edit/*.txtar")
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		e := readEdit(f, a).make(f)
		if e.New == nil {
			continue
		}
		b, err := ics.Append(nil, e.New.Component)
		if err != nil {
			f.Fatal(err)
		}
		edits = append(edits, e)
		f.Add(b, uint8(len(edits)-1), true)
		f.Add(b, uint8(len(edits)*7), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8, base bool) {
		cal, err := ics.Decode(data)
		if err != nil {
			return
		}
		e := edits[int(which)%len(edits)]
		e.New = cal
		if !base {
			e.Base = nil
		}
		plan, _, err := FromICS(e)
		again, _, err2 := FromICS(e)
		var r, r2 *Refusal
		switch {
		case err == nil && err2 == nil:
			if stepsText(plan.Steps) != stepsText(again.Steps) {
				t.Fatalf("%s\nand then\n%s", stepsText(plan.Steps), stepsText(again.Steps))
			}
		case !errors.As(err, &r) || !errors.As(err2, &r2):
			t.Fatalf("%v, %v", err, err2)
		case *r != *r2:
			t.Fatalf("%v, %v", r, r2)
		case r.Sentence == "" || r.Sentence[len(r.Sentence)-1] != '.':
			t.Fatalf("the sentence %q", r.Sentence)
		}
	})
}

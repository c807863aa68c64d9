package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-ical"
	"github.com/rogpeppe/go-internal/txtar"

	"outbridge/caldav/ics"
)

// editCase is a case of testdata/edit/*.txtar: its comment tells the story, graph.json is what Graph has (not in those of new
// objects), edit.json what the caller of FromICS knew besides. What the client wants is new.ics, or what edit makes of the
// object that it is served: "@LINE" goes to a content line, the next one of
// that text, "-LINE" takes one away, "+LINE" puts one there; "DELETE" takes the
// object away. want.plan is the plan, want.refusal the error, want.losses the losses.
type editCase struct {
	golden
	known struct {
		Addresses      []string
		Client         string
		Silent         bool
		NoBase         bool
		ReadOnly       bool
		Delegated      bool
		Scheduling     bool
		Repair         bool
		OnlineMeetings string
	}
	edit, fresh string
	later       []byte
}

func readEdit(t testing.TB, a *txtar.Archive) editCase {
	t.Helper()
	c := editCase{golden: readGolden(t, a)}
	for _, f := range a.Files {
		switch f.Name {
		case "edit.json":
			dec := json.NewDecoder(bytes.NewReader(f.Data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&c.known); err != nil {
				t.Fatal(err)
			}
		case "edit":
			c.edit = string(f.Data)
		case "now.json":
			c.later = f.Data
		case "new.ics":
			c.fresh = string(f.Data)
		}
	}
	return c
}

// make is the Edit of the case.
func (c editCase) make(t testing.TB) Edit {
	t.Helper()
	e := Edit{Addresses: c.known.Addresses, Client: c.known.Client, Silent: c.known.Silent, ReadOnly: c.known.ReadOnly,
		Delegated: c.known.Delegated, Repair: c.known.Repair, OnlineMeetings: c.known.OnlineMeetings}
	var served string
	if len(c.graphJSON) > 0 {
		list, err := c.list()
		if err != nil || len(list) != 1 {
			t.Fatalf("%d series, %v", len(list), err)
		}
		e.Series = list[0]
		e.Series.Scheduling = c.known.Scheduling
		cal, _, err := ToICS(e.Series)
		if err != nil {
			t.Fatal(err)
		}
		served = unfolded(t, cal)
		if !c.known.NoBase {
			e.Base = decode(t, []byte(served))
		}
		if c.later != nil {
			var props, later map[string]any
			if err := errors.Join(json.Unmarshal(e.Series.Event.Raw, &props), json.Unmarshal(c.later, &later)); err != nil {
				t.Fatal(err)
			}
			maps.Copy(props, later)
			b, err := json.Marshal(props)
			if err == nil {
				err = e.Series.Event.UnmarshalJSON(b)
			}
			if err != nil {
				t.Fatal(err)
			}
			if cal, _, err = ToICS(e.Series); err != nil {
				t.Fatal(err)
			}
		}
		e.Current = decode(t, []byte(unfolded(t, cal)))
	} else {
		e.Series.MailboxZone, e.Series.Owner = c.series.MailboxZone, c.series.Owner
	}
	if text := c.fresh; strings.TrimSpace(c.edit) != "DELETE" {
		if text == "" {
			text = c.apply(t, served)
		}
		e.New = decode(t, []byte(text))
	}
	return e
}

func unfolded(t testing.TB, cal *ical.Calendar) string {
	t.Helper()
	b, err := ics.Append(nil, cal.Component)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n ", ""), "\r\n", "\n")
}

// apply edits an object.
func (c editCase) apply(t testing.TB, text string) string {
	t.Helper()
	lines := strings.Split(text, "\n")
	at := 0
	for l := range strings.Lines(c.edit) {
		l = strings.TrimSuffix(l, "\n")
		if l == "" {
			continue
		}
		find := func() {
			if i := slices.Index(lines[at:], l[1:]); i >= 0 {
				at += i
			} else if at = slices.Index(lines, l[1:]); at < 0 {
				t.Fatalf("no line %q in\n%s", l[1:], text)
			}
		}
		switch l[0] {
		case '@':
			find()
			at++
		case '-':
			find()
			lines = slices.Delete(lines, at, at+1)
		case '+':
			lines = slices.Insert(lines, at, l[1:])
			at++
		case '~':
			from, to, _ := strings.Cut(l[1:], "=>")
			lines = strings.Split(strings.ReplaceAll(strings.Join(lines, "\n"), from, to), "\n")
		default:
			t.Fatalf("%q is no edit", l)
		}
	}
	return strings.Join(lines, "\n")
}

func TestEdits(t *testing.T) {
	files, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			plan, losses, err := FromICS(readEdit(t, a).make(t))
			got := map[string]string{}
			var r *Refusal
			switch {
			case errors.As(err, &r):
				got["want.refusal"] = string(r.Kind) + ": " + r.Sentence + "\n"
			case err != nil:
				t.Fatal(err)
			default:
				b, err := json.MarshalIndent(plan, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				got["want.plan"] = string(b) + "\n"
			}
			for _, l := range losses {
				got["want.losses"] += l.Field + ": " + l.Reason + "\n"
			}
			if *update {
				a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want.") })
				for _, f := range []string{"want.plan", "want.refusal", "want.losses"} {
					if got[f] != "" {
						a.Files = append(a.Files, txtar.File{Name: f, Data: []byte(got[f])})
					}
				}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range []string{"want.plan", "want.refusal", "want.losses"} {
				want := ""
				for _, w := range a.Files {
					if w.Name == f {
						want = string(w.Data)
					}
				}
				if got[f] != want {
					t.Errorf("%s is\n%s\nwant\n%s", f, got[f], want)
				}
			}
		})
	}
}

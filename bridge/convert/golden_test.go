package convert

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// golden is a case of testdata/*.txtar: its comment tells the story, graph.json is what Graph said, series.json (not
// in all) what the caller of ToICS knew besides, want.ics what comes out, want.losses the losses, want.err the error.
// Where there is a want.explain or a want.redacted, it is what Explain writes.
type golden struct {
	graphJSON []byte
	series    struct {
		MailboxZone string
		Owner       string
		Window      [2]time.Time
		Occurrences *[][2]time.Time
		Cancelled   []string
		Sequence    int
		Modified    time.Time
		Colors      map[string]string
		HTML        bool
		UID         string
		Scheduling  bool
	}
}

func readGolden(t testing.TB, a *txtar.Archive) golden {
	t.Helper()
	var g golden
	for _, f := range a.Files {
		switch f.Name {
		case "graph.json":
			g.graphJSON = f.Data
		case "series.json":
			if err := json.Unmarshal(f.Data, &g.series); err != nil {
				t.Fatal(err)
			}
		}
	}
	return g
}

// list is the events of a case as objects, with what the case knows besides given to each.
func (g golden) list() ([]Series, error) {
	events, err := ReadEvents(bytes.NewReader(g.graphJSON))
	if err != nil {
		return nil, err
	}
	list := Group(events)
	for i := range list {
		s := &list[i]
		s.MailboxZone, s.Owner, s.Sequence, s.Modified = g.series.MailboxZone, g.series.Owner, g.series.Sequence, g.series.Modified
		s.Cancelled, s.Colors, s.HTML = g.series.Cancelled, g.series.Colors, g.series.HTML
		s.UID, s.Scheduling = g.series.UID, g.series.Scheduling
		s.Window = Span{g.series.Window[0], g.series.Window[1]}
		if g.series.Occurrences != nil {
			s.Occurrences = []Occurrence{}
			for _, o := range *g.series.Occurrences {
				allDay := s.Event.IsAllDay
				for _, e := range slices.Concat(s.Exceptions, s.Event.ExceptionOccurrences) {
					if at := SpanOf(e); at.Start.Equal(o[0]) && at.End.Equal(o[1]) {
						allDay = e.IsAllDay
					}
				}
				s.Occurrences = append(s.Occurrences, Occurrence{Span{o[0], o[1]}, allDay})
			}
		}
	}
	return list, nil
}

// objects converts the events of a case.
func (g golden) objects(t testing.TB) (objects [][]byte, losses []Loss, errs []error) {
	t.Helper()
	list, err := g.list()
	if err != nil {
		return nil, nil, []error{err}
	}
	for _, s := range list {
		cal, l, err := ToICS(s)
		losses = append(losses, l...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		objects = append(objects, []byte(encode(t, cal)))
	}
	return objects, losses, errs
}

func (g golden) explain(t testing.TB, redact bool) []byte {
	t.Helper()
	list, err := g.list()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, s := range list {
		if err := Explain(&b, s, redact); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// WriteCalendar puts the objects of one case together. It is feed.WriteCalendar, which this package cannot import.
var WriteCalendar func(io.Writer, func() iter.Seq2[[]byte, error]) error

func each(objects [][]byte) func() iter.Seq2[[]byte, error] {
	return func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, o := range objects {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

func (g golden) run(t testing.TB) (ics, losses, errs string) {
	t.Helper()
	objects, list, failures := g.objects(t)
	if len(objects) == 1 {
		ics = string(objects[0])
	} else if len(objects) > 1 {
		var b bytes.Buffer
		if err := WriteCalendar(&b, each(objects)); err != nil {
			t.Fatal(err)
		}
		ics = b.String()
		for _, problem := range lint.Problems(ics, false) {
			t.Error(problem)
		}
	}
	for _, l := range list {
		losses += fmt.Sprintf("%s: %s\n", l.Field, l.Reason)
	}
	for _, err := range failures {
		errs += err.Error() + "\n"
	}
	return strings.ReplaceAll(ics, "\r\n", "\n"), losses, errs
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 125 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			g := readGolden(t, a)
			ics, losses, errs := g.run(t)
			got := []txtar.File{{Name: "want.ics", Data: []byte(ics)}, {Name: "want.losses", Data: []byte(losses)}, {Name: "want.err", Data: []byte(errs)}}
			for _, f := range a.Files {
				if f.Name == "want.explain" || f.Name == "want.redacted" {
					got = append(got, txtar.File{Name: f.Name, Data: g.explain(t, f.Name == "want.redacted")})
				}
			}
			if *update {
				a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want.") })
				for _, f := range got {
					if len(f.Data) > 0 {
						a.Files = append(a.Files, f)
					}
				}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range got {
				var want []byte
				for _, w := range a.Files {
					if w.Name == f.Name {
						want = w.Data
					}
				}
				if !bytes.Equal(f.Data, want) {
					t.Errorf("%s is\n%s\nwant\n%s", f.Name, f.Data, want)
				}
			}
		})
	}
}

// The host's time zone has no part in the bytes.
func TestSameBytesInEveryHostZone(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	old := time.Local
	t.Cleanup(func() { time.Local = old })
	want := map[string]string{}
	for _, name := range []string{"UTC", "America/St_Johns", "Pacific/Kiritimati", "Asia/Kathmandu"} {
		time.Local, _ = time.LoadLocation(name)
		for _, f := range files {
			a, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			ics, losses, errs := readGolden(t, a).run(t)
			got := ics + losses + errs
			if want[f] == "" {
				want[f] = got
			} else if want[f] != got {
				t.Errorf("%s is another in %s", f, name)
			}
		}
	}
}

// Every golden object is read by go-ical, written again as it was, and expands within its bounds.
func TestGoldenRoundTrip(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		objects, _, _ := readGolden(t, a).objects(t)
		for _, o := range objects {
			cal := decode(t, o)
			if again := encode(t, cal); again != string(o) {
				t.Errorf("%s: written again it is\n%s\nwas\n%s", f, again, o)
			}
			first, last := (&ics.Reader{Resolve: Zone}).Bounds(cal)
			w := Span{date(1, 1, 1), date(2031, 1, 1)}
			list, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span(w))
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
			for _, i := range list {
				if i.Start.Before(first) || !last.IsZero() && i.End.After(last) {
					t.Errorf("%s: %v is outside of %v – %v", f, i, first, last)
				}
			}
		}
	}
}

//go:build interop

package convert

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"outbridge/caldav/ics"
)

// randomSeries is how many series beside the golden ones the engines of clients are asked for.
const randomSeries = 600

// sample is an object that the engines of clients expand.
type sample struct {
	name   string
	ics    []byte
	want   []seen // that start up to to, by start
	to     time.Time
	strict bool // up to to, nothing may differ
}

// seen is an instance as a client shows it.
type seen struct {
	Start, End        time.Time
	AllDay, Cancelled bool
	Summary           string
}

// samples are the objects of the golden cases and of random series, with what Expand makes of them.
func samples(t *testing.T) []sample {
	t.Helper()
	var list []sample
	add := func(name string, data []byte, to time.Time) {
		cal := decode(t, data)
		strict := !to.IsZero()
		if !strict {
			first, last := (&ics.Reader{Resolve: Zone}).Bounds(cal)
			if to = date(min(first.Year()+6, 9999), 12, 31); !last.IsZero() && last.Before(to) {
				to = last
			}
		}
		instances, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span{Start: date(1, 1, 1), End: to.Add(48 * time.Hour)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var want []seen
		for _, i := range instances {
			if !i.Start.After(to) {
				want = append(want, seen{i.Start, i.End, i.AllDay(), i.Cancelled(), i.Summary()})
			}
		}
		list = append(list, sample{name, data, want, to, strict})
	}
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		objects, _, _ := readGolden(t, a).objects(t)
		for i, o := range objects {
			add(fmt.Sprintf("%s object %d", filepath.Base(f), i), o, time.Time{})
		}
	}
	series := rapid.Custom(func(t *rapid.T) Series {
		s, want, more := drawSeries(t)
		if len(want) > 0 {
			s.list(want, more)
		}
		return s
	})
	for seed := range randomSeries {
		s := series.Example(seed)
		to := s.Window.End.Add(-fuzzy - time.Second)
		if s.Window.End.IsZero() || s.Occurrences[0].Start.After(to) {
			continue
		}
		// As Outlook lists it, and as it is where nothing is known but the series itself: the same to the second.
		unlisted := s
		unlisted.Occurrences, unlisted.Window = nil, Span{}
		for name, s := range map[string]Series{"listed": s, "unlisted": unlisted} {
			cal, _, err := ToICS(s)
			if err != nil {
				t.Fatal(err)
			}
			add(fmt.Sprintf("random series %d, %s", seed, name), []byte(encode(t, cal)), to)
		}
	}
	return list
}

// Thunderbird's engine, with the VTIMEZONEs of each object and no others, shows what Expand does.
func TestICalJS(t *testing.T) {
	need(t, "node", "nodejs")
	need(t, "npm", "npm")
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "expand.mjs"} {
		b, err := os.ReadFile(filepath.Join("testdata/icaljs", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")

	list := samples(t)
	var in bytes.Buffer
	for _, s := range list {
		if err := json.NewEncoder(&in).Encode(map[string]any{"ics": string(s.ics), "to": s.to.Unix()}); err != nil {
			t.Fatal(err)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(command(t, dir, &in, "node", "expand.mjs")))
	same := counter{}
	for _, s := range list {
		if s.want[0].Start.Year() < 100 {
			same.skipped++ // for JavaScript those are years after 1900
		}
		var answer struct {
			Instances [][5]any
			Error     string
		}
		if err := dec.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		if answer.Error != "" {
			t.Errorf("%s: %s\n%s", s.name, answer.Error, s.ics)
			continue
		}
		var got []seen
		for _, r := range answer.Instances {
			start, end := r[0].(float64), r[1].(float64)
			got = append(got, seen{Start: time.Unix(int64(start), 0).UTC(), End: time.Unix(int64(end), 0).UTC(),
				AllDay: r[2].(bool), Cancelled: r[3].(bool), Summary: r[4].(string)})
		}
		if s.want[0].Start.Year() >= 100 {
			same.compare(t, s, got, true)
		}
	}
	same.report(t)
}

// libical, with the VTIMEZONEs of each object, shows what Expand does.
func TestLibical(t *testing.T) {
	need(t, "cc", "gcc")
	if _, err := os.Stat("/usr/include/libical/ical.h"); err != nil {
		t.Fatal("this test needs libical: apt-get install libical-dev")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "expand")
	command(t, ".", nil, "cc", "-Wall", "-Wextra", "-Werror", "-o", program, "testdata/libical/expand.c", "-lical")

	same := counter{}
	for _, s := range samples(t) {
		// 2038 is where some of libical's zones end; years before 1902 are none that it knows.
		if s.want[0].Start.Year() < 1902 || s.to.Year() > 2037 {
			same.skipped++
			continue
		}
		file := filepath.Join(dir, "object.ics")
		if err := os.WriteFile(file, s.ics, 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(command(t, ".", nil, program, strconv.FormatInt(s.to.Unix(), 10), file)))
		lines.Scan()
		if _, err := strconv.Atoi(lines.Text()); err != nil {
			t.Errorf("%s: libical finds a fault in it\n%s", s.name, s.ics)
			continue
		}
		var got []seen
		for lines.Scan() {
			var start, end int64
			var allDay, cancelled int
			if _, err := fmt.Sscan(lines.Text(), &start, &end, &allDay, &cancelled); err != nil {
				t.Fatal(err)
			}
			got = append(got, seen{Start: time.Unix(start, 0).UTC(), End: time.Unix(end, 0).UTC(), AllDay: allDay == 1, Cancelled: cancelled == 1})
		}
		if skips(t, s) {
			same.skipped++
			continue
		}
		same.compare(t, s, got, false)
	}
	same.report(t)
}

// skips is whether the rule of an object has an instance at a clock time that is skipped, or would have one in the week
// before it begins: libical 3.0 starts the one after that as late as that one. The same is true of the last of some weekday
// in a month, which it looks for from the end of the month on.
func skips(t *testing.T, s sample) bool {
	t.Helper()
	for _, c := range decode(t, s.ics).Children {
		if c.Name != ical.CompEvent {
			continue
		}
		start := c.Props.Get(ical.PropDateTimeStart)
		if rule := c.Props.Get(ical.PropRecurrenceRule); rule != nil && strings.Contains(rule.Value, "BYDAY") && strings.Contains(rule.Value, "=-1") {
			z, known := findZone(start.Params.Get(ical.ParamTimezoneID))
			civil, err := time.Parse(ics.WallForm, start.Value)
			for _, i := range s.want {
				for n := range 8 {
					at := dateOf(ics.Wall(i.Start, z.location())).AddDate(0, 0, n).Add(civil.Sub(dateOf(civil)))
					if known && err == nil && !ics.Wall(ics.Instant(at, z.location()), z.location()).Equal(at) {
						return true
					}
				}
			}
		}
		for _, p := range slices.Concat(c.Props.Values(ical.PropDateTimeStart), c.Props.Values(ical.PropRecurrenceID), c.Props.Values(ical.PropExceptionDates)) {
			z, ok := findZone(p.Params.Get(ical.ParamTimezoneID))
			civil, err := time.Parse(ics.WallForm, p.Value)
			for range 8 {
				if ok && err == nil && !ics.Wall(ics.Instant(civil, z.location()), z.location()).Equal(civil) {
					return true
				}
				civil = civil.AddDate(0, 0, -1)
			}
		}
	}
	return false
}

// counter counts what was the same and what is known to differ.
type counter struct{ objects, instances, twice, skipped int }

// compare holds what an engine makes of a sample against Expand. Known to differ is only the hour that comes twice,
// which clients take for the first or the second one as they like.
func (c *counter) compare(t *testing.T, s sample, got []seen, summaries bool) {
	t.Helper()
	c.objects++
	key := func(i seen) string {
		k := fmt.Sprint(i.Start.Format(time.RFC3339), " ", i.End.Format(time.RFC3339), " ", i.AllDay, i.Cancelled)
		if summaries {
			k += " " + i.Summary
		}
		return k
	}
	keys := func(list []seen) []string {
		out := make([]string, len(list))
		for n, i := range list {
			out[n] = key(i)
		}
		slices.Sort(out)
		return out
	}
	a, b := keys(s.want), keys(got)
	if slices.Equal(a, b) {
		c.instances += len(a)
		return
	}
	if s.strict {
		c.first(t, s, a, b)
		return
	}
	zones := map[string]zone{}
	for _, id := range zonesOf(decode(t, s.ics).Children) {
		if z, ok := loadIANA(id); ok {
			zones[id] = z
		}
	}
	twice := func(at time.Time) bool {
		for _, z := range zones {
			if !z.expressible(at) {
				return true
			}
		}
		return false
	}
	if len(a) == len(b) {
		for n := range s.want {
			w, g := s.want[n], got[n]
			if key(w) == key(g) {
				c.instances++
			} else if w.AllDay == g.AllDay && w.Cancelled == g.Cancelled && w.Start.Sub(g.Start).Abs() <= time.Hour && w.End.Sub(g.End).Abs() <= time.Hour &&
				(twice(w.Start) && w.End.Sub(w.Start) == g.End.Sub(g.Start) || w.Start.Equal(g.Start) && twice(w.End)) {
				c.twice++
			} else {
				t.Errorf("%s: instance %d is %s, want %s\n%s", s.name, n, key(g), key(w), s.ics)
				return
			}
		}
		return
	}
	c.first(t, s, a, b)
}

// first reports the first difference.
func (c *counter) first(t *testing.T, s sample, a, b []string) {
	t.Helper()
	for n := range max(len(a), len(b)) {
		if n >= len(a) || n >= len(b) || a[n] != b[n] {
			t.Errorf("%s: %d instances, want %d; the first that differs: %v, want %v\n%s", s.name, len(b), len(a),
				b[min(n, len(b)):min(n+2, len(b))], a[min(n, len(a)):min(n+2, len(a))], s.ics)
			return
		}
	}
}

func (c *counter) report(t *testing.T) {
	t.Logf("%d objects, %d instances the same, %d in an hour that comes twice, %d objects not compared", c.objects, c.instances, c.twice, c.skipped)
	if c.twice*50 > c.instances {
		t.Errorf("%d of %d instances are taken for those of an hour that comes twice", c.twice, c.instances)
	}
}

func need(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("this test needs %s: apt-get install %s", program, pkg)
	}
}

func command(t *testing.T, dir string, stdin *bytes.Buffer, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.Bytes(), problems.Bytes())
	}
	return out.Bytes()
}

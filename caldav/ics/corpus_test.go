package ics_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/caldav/ics"

	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata: what the judge says of hand.txtar, and drawn.txtar")

// object makes a VCALENDAR of the components of a case.
func object(body string) string {
	body = strings.ReplaceAll(body, "BEGIN:VEVENT\n", "BEGIN:VEVENT\nUID:x\nDTSTAMP:20260101T000000Z\n")
	return strings.ReplaceAll("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//x//EN\n"+body+"END:VCALENDAR\n", "\n", "\r\n")
}

// window is the time in which an object is looked at.
func window(t rapid.TB, data string) (from, to time.Time) {
	t.Helper()
	_, after, _ := strings.Cut(data, "BEGIN:VEVENT")
	_, after, _ = strings.Cut(after, "\nDTSTART")
	_, after, _ = strings.Cut(after, ":")
	first, err := time.Parse("20060102", after[:8])
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	from, to = first.AddDate(-1, 0, 0), first.AddDate(2, 0, 0)
	if from.Year() < 1 {
		from = date(1, 1, 1)
	}
	if to.Year() > 9999 {
		to = date(9999, 12, 31)
	}
	return from, to
}

// against holds the engine against the judge.
func against(t rapid.TB, name, data string) []occurrence {
	t.Helper()
	from, to := window(t, data)
	want := judge(t, data, from, to, time.UTC)
	got, err := expand(t, data, from, to, nil)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: %v\n%sthe judge:\n%s%s", name, err, describe(got), describe(want), data)
	}
	return want
}

// What RFC 5545 makes of objects that clients may send is in testdata; the judge and the engine make the same of it.
func TestByHand(t *testing.T) {
	file := "testdata/hand.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	for i, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".ics")
		if !ok {
			continue
		}
		want := describe(against(t, name, object(string(f.Data))))
		out = append(out, f, txtar.File{Name: name + ".want", Data: []byte(want)})
		if !*update && (i+1 == len(a.Files) || string(a.Files[i+1].Data) != want) {
			t.Errorf("%s: the judge says\n%s", name, want)
		}
	}
	if *update {
		a.Files = out
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// drawn is how many objects testdata/drawn.txtar has.
const drawn = 240

func TestDrawn(t *testing.T) {
	file := "testdata/drawn.txtar"
	if *update {
		a := &txtar.Archive{Comment: []byte("Objects drawn at random once.\n\n")}
		for seed := 0; len(a.Files) < drawn; seed++ {
			body := rapid.Custom(drawObject).Example(seed)
			from, to := window(t, object(body))
			if _, err := expand(t, object(body), from, to, nil); !errors.Is(err, ics.ErrTooMany) { // rules that hit no day
				a.Files = append(a.Files, txtar.File{Name: fmt.Sprintf("%03d.ics", seed), Data: []byte(body)})
			}
		}
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, err := txtar.ParseFile(file)
	if err != nil || len(a.Files) < drawn {
		t.Fatalf("%d objects, %v", len(a.Files), err)
	}
	for _, f := range a.Files {
		against(t, f.Name, object(string(f.Data)))
	}
}

// The objects that the converter makes of Outlook's events.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../../bridge/convert/testdata/*.txtar")
	if err != nil || len(files) < 125 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	objects := 0
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if f.Name != "want.ics" {
				continue
			}
			for uid, data := range objectsOf(string(f.Data)) {
				objects++
				against(t, filepath.Base(file)+" "+uid, data)
			}
		}
	}
	if objects < 159 {
		t.Errorf("%d objects", objects)
	}
}

// objectsOf splits a calendar by UID.
func objectsOf(data string) map[string]string {
	events := map[string]string{}
	for _, part := range strings.Split(data, "BEGIN:VEVENT\n")[1:] {
		event, _, _ := strings.Cut(part, "END:VEVENT\n")
		_, uid, _ := strings.Cut("\n"+event, "\nUID:")
		uid, rest, _ := strings.Cut(uid, "\n")
		for strings.HasPrefix(rest, " ") {
			var more string
			more, rest, _ = strings.Cut(rest[1:], "\n")
			uid += more
		}
		events[uid] += "BEGIN:VEVENT\n" + event + "END:VEVENT\n"
	}
	for uid, e := range events {
		events[uid] = strings.ReplaceAll("BEGIN:VCALENDAR\n"+e+"END:VCALENDAR\n", "\n", "\r\n")
	}
	return events
}

func TestProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := drawObject(t)
		data := object(body)
		from, to := window(t, data)
		floating, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Pacific/Apia"}).Draw(t, "floating"))
		if err != nil {
			t.Fatal(err)
		}
		want := judge(t, data, from, to, floating)
		got, err := expand(t, data, from, to, floating)
		if errors.Is(err, ics.ErrTooMany) && len(want) <= 5 {
			t.Skip("a rule that hits no day, or hardly any")
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v\n%sthe judge:\n%s%s", err, describe(got), describe(want), body)
		}
		// A narrower span gives what of it overlaps it, wherever the engine begins to look.
		from = from.Add(time.Duration(rapid.IntRange(300*24, 700*24).Draw(t, "from")) * time.Hour)
		to = from.Add(time.Duration(rapid.IntRange(1, 40*24).Draw(t, "hours")) * time.Hour)
		want = slices.DeleteFunc(want, func(o occurrence) bool {
			if o.end.After(o.start) {
				return !o.end.After(from) || !o.start.Before(to)
			}
			return o.start.Before(from) || !o.start.Before(to)
		})
		if got, err = expand(t, data, from, to, floating); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v – %v: %v\n%sthe judge:\n%s%s", from, to, err, describe(got), describe(want), body)
		}
	})
}

var drawZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland", "W. Europe Standard Time", "", "date"}

// drawObject draws a master with a random rule, RDATEs, EXDATEs and overrides, near the days on which clocks are turned.
func drawObject(t *rapid.T) string {
	zone := rapid.SampledFrom(drawZones).Draw(t, "zone")
	start := date(rapid.SampledFrom([]int{2024, 2025, 2026, 2027}).Draw(t, "year"), time.Month(rapid.SampledFrom([]int{1, 2, 3, 3, 4, 9, 10, 10, 11, 12}).Draw(t, "month")), rapid.IntRange(1, 31).Draw(t, "day"))
	if zone != "date" {
		start = start.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 2, 2, 2, 3, 9, 12, 22, 23}).Draw(t, "hour"))*time.Hour + time.Duration(rapid.SampledFrom([]int{0, 0, 15, 30}).Draw(t, "minute"))*time.Minute)
	}
	write := func(name string, wall time.Time, zone string) string {
		switch zone {
		case "date":
			return name + ";VALUE=DATE:" + wall.Format("20060102")
		case "":
			return name + ":" + wall.Format("20060102T150405")
		case "UTC":
			return name + ":" + wall.Format("20060102T150405Z")
		}
		return name + ";TZID=" + zone + ":" + wall.Format("20060102T150405")
	}
	b := write("DTSTART", start, zone) + "\n"
	switch length := rapid.SampledFrom([]string{"", "end", "PT1H", "PT24H", "P1D", "P1W", "P2DT3H"}).Draw(t, "length"); {
	case length == "end":
		b += write("DTEND", start.Add(time.Duration(rapid.SampledFrom([]int{24, 48, 96}).Draw(t, "hours"))*time.Hour), zone) + "\n"
	case length != "" && (zone != "date" || !strings.Contains(length, "T")):
		b += "DURATION:" + length + "\n"
	}
	rule := drawRule(t, start, zone)
	if rule != "" {
		b += "RRULE:" + rule + "\n"
	}
	near := func(label string) time.Time { // a clock time that the rule may hit
		w := start.AddDate(0, 0, rapid.SampledFrom([]int{0, 1, 2, 7, 14, 28, 30, 31, 365}).Draw(t, label))
		if zone != "date" && rapid.IntRange(0, 4).Draw(t, label+" at another time") == 0 {
			w = w.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, label+" hours")) * time.Hour)
		}
		return w
	}
	// A time is also written as another zone's, where that can only be read in one way, and as a date.
	other := func(name string, wall time.Time) string {
		if zone == "date" || zone == "" || zone == "UTC" {
			return write(name, wall, zone)
		}
		switch rapid.SampledFrom([]string{"same", "same", "same", "utc", "date"}).Draw(t, name+" form") {
		case "utc":
			loc, err := time.LoadLocation(zone)
			if alias := aliases[zone]; alias != "" {
				loc, err = time.LoadLocation(alias)
			}
			if err != nil {
				t.Fatal(err)
			}
			return write(name, slowInstant(wall, loc), "UTC")
		case "date":
			return write(name, wall, "date")
		}
		return write(name, wall, zone)
	}
	for range rapid.IntRange(0, 2).Draw(t, "rdates") {
		b += write("RDATE", near("rdate"), zone) + "\n"
	}
	for range rapid.IntRange(0, 2).Draw(t, "exdates") {
		b += other("EXDATE", near("exdate")) + "\n"
	}
	out := "BEGIN:VEVENT\n" + b + "END:VEVENT\n"
	for range rapid.IntRange(0, 2).Draw(t, "overrides") {
		id := near("override")
		out += "BEGIN:VEVENT\n" + other("RECURRENCE-ID", id) + "\n" + write("DTSTART", id.Add(time.Duration(rapid.IntRange(-2, 3).Draw(t, "days"))*24*time.Hour), zone) + "\nEND:VEVENT\n"
	}
	return out
}

func drawRule(t *rapid.T, start time.Time, zone string) string {
	freqs := []string{"", "YEARLY", "YEARLY", "MONTHLY", "MONTHLY", "WEEKLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"}
	if zone == "date" {
		freqs = freqs[:8]
	}
	freq := rapid.SampledFrom(freqs).Draw(t, "freq")
	if freq == "" {
		return ""
	}
	fine := freq == "HOURLY" || freq == "MINUTELY"
	rule := "FREQ=" + freq
	if n := rapid.SampledFrom([]int{1, 1, 1, 2, 3, 5}).Draw(t, "interval"); n > 1 {
		if freq == "MINUTELY" {
			n *= 37
		}
		rule += fmt.Sprint(";INTERVAL=", n)
	} else if freq == "MINUTELY" {
		rule += ";INTERVAL=15"
	}
	ints := func(name string, from, to, most int) {
		if rapid.IntRange(0, 3).Draw(t, name) > 0 {
			return
		}
		l := rapid.SliceOfNDistinct(rapid.IntRange(from, to).Filter(func(n int) bool { return n != 0 || from == 0 }), 1, most, rapid.ID[int]).Draw(t, name+" list")
		rule += ";" + name + "=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(l), " ", ","), "[]")
	}
	ints("BYMONTH", 1, 12, 4)
	if freq != "WEEKLY" {
		ints("BYMONTHDAY", -31, 31, 6)
	}
	weekno := false
	if freq == "YEARLY" {
		before := rule
		ints("BYWEEKNO", -53, 53, 3)
		weekno = before != rule
	}
	if freq == "YEARLY" || fine {
		ints("BYYEARDAY", -366, 366, 6)
	}
	if rapid.IntRange(0, 1).Draw(t, "byday") == 0 {
		days := rapid.SliceOfNDistinct(rapid.SampledFrom(weekdays), 1, 4, rapid.ID[string]).Draw(t, "days")
		for i := range days {
			if (freq == "MONTHLY" || freq == "YEARLY" && !weekno) && rapid.Bool().Draw(t, "numbered") {
				days[i] = fmt.Sprint(rapid.SampledFrom([]int{1, 2, 3, 4, 5, -1, -2, -5, 20}).Draw(t, "nth")) + days[i]
			}
		}
		rule += ";BYDAY=" + strings.Join(days, ",")
	}
	if zone != "date" {
		if freq != "YEARLY" {
			ints("BYHOUR", 0, 23, 3)
		}
		if freq == "DAILY" || fine {
			ints("BYMINUTE", 0, 59, 3)
		}
	}
	if !weekno && strings.Contains(rule, "BY") {
		ints("BYSETPOS", -4, 4, 2)
	}
	if rapid.Bool().Draw(t, "wkst") {
		rule += ";WKST=" + rapid.SampledFrom(weekdays).Draw(t, "week start")
	}
	until := start.AddDate(0, 0, rapid.IntRange(0, 500).Draw(t, "until"))
	switch end := rapid.IntRange(0, 3).Draw(t, "end"); {
	case end == 0 || fine && end != 1:
		rule += fmt.Sprint(";COUNT=", rapid.IntRange(1, 60).Draw(t, "count"))
	case end == 1 && zone == "date":
		rule += ";UNTIL=" + until.Format("20060102")
	case end == 1 && zone == "":
		rule += ";UNTIL=" + until.Format("20060102T150405")
	case end == 1:
		rule += ";UNTIL=" + until.Format("20060102T150405Z")
	}
	return rule
}

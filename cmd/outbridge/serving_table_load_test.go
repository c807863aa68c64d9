//go:build load

package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Rows that are not of a kind of request alone.
const (
	coded        = ", gzip"
	monthOfStart = "month query, first after a start"
	monthOfNever = "month query, first in a month never asked"
)

// measured has the samples of each row and server.
type measured struct {
	samples map[string]map[string][]sample // by row, by server
	disk    map[string]float64             // kB an object, by server
	memory  map[string]int                 // MiB, by server
}

func newMeasured() *measured {
	return &measured{samples: map[string]map[string][]sample{}, disk: map[string]float64{}, memory: map[string]int{}}
}

func (m *measured) add(row, server string, s sample) {
	if m.samples[row] == nil {
		m.samples[row] = map[string][]sample{}
	}
	m.samples[row][server] = append(m.samples[row][server], s)
}

// round takes a sample of each row.
func (m *measured) round(s *served, round int) {
	s.t.Helper()
	for _, gzip := range []bool{false, true} {
		suffix := ""
		if gzip {
			suffix = coded
		}
		for _, r := range servedRows {
			requests := r.requests(s, gzip)
			switch {
			case requests == nil || !servingOnly.MatchString(r.name+suffix):
			case !r.fresh:
				if len(requests) > 1 && s.world != nil { // it may have begun anew, and keep nothing
					sampled(s.t, s, requests, 1, 0)
				}
				stop := s.profile(r.name+suffix, round)
				sum := sampled(s.t, s, requests, loadClients, servingTime)
				stop()
				sum.n *= r.things
				m.add(r.name+suffix, s.name, sum)
			case s.world != nil || round == 0 && !s.slow:
				if s.world != nil {
					s.fresh()
				}
				sum := sampled(s.t, s, requests, 1, 0)
				sum.n = len(s.paths)
				m.add(r.name+suffix, s.name, sum)
			}
		}
	}
	if s.world != nil && servingOnly.MatchString(monthOfStart) {
		s.fresh()
		m.add(monthOfStart, s.name, sampled(s.t, s, s.months(false, 0), 1, 0))
		m.add(monthOfNever, s.name, sampled(s.t, s, s.months(false, -3, -1, 1, 3, 5, 7, 9, 11), 1, 0))
		m.add(monthOfNever+coded, s.name, sampled(s.t, s, s.months(true, -2, 2, 4, 6, 8, 10), 1, 0))
	}
}

// told notes what is known of a server at the end.
func (m *measured) told(s *served) {
	if s.world == nil {
		return
	}
	var mib int
	fmt.Sscan(s.world.resident(), &mib)
	m.memory[s.name] = mib
	s.world.stop()
	var size int64
	files, _ := filepath.Glob(filepath.Join(s.world.dir, "outbridge.db*"))
	for _, name := range files {
		if f, err := os.Stat(name); err == nil {
			size += f.Size()
		}
	}
	m.disk[s.name] = float64(size) / 1000 / float64(len(s.paths))
}

// each is the median of the processor time for one thing, in µs; 0: it was not measured.
func (m *measured) each(row, server string) float64 {
	var l []float64
	for _, s := range m.samples[row][server] {
		l = append(l, float64(s.each().Nanoseconds())/1000)
	}
	return median(l)
}

func (m *measured) allocations(row, server string) float64 {
	var l []float64
	for _, s := range m.samples[row][server] {
		l = append(l, float64(s.allocs)/float64(max(1, s.n)))
	}
	return median(l)
}

func (m *measured) second(row, server string) float64 {
	var l []float64
	for _, s := range m.samples[row][server] {
		l = append(l, float64(s.n)/s.wall.Seconds())
	}
	return median(l)
}

func median(l []float64) float64 {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return l[len(l)/2]
}

// rows are the names of all rows in their order.
func (m *measured) rows() (l []string) {
	for _, suffix := range []string{"", coded} {
		for _, r := range servedRows {
			l = append(l, r.name+suffix)
		}
		if suffix == "" {
			l = append(l, monthOfStart)
		}
		l = append(l, monthOfNever+suffix)
	}
	return l
}

// micro writes a time as people read it.
func micro(us float64) string {
	switch {
	case us == 0:
		return "—"
	case us >= 10_000:
		return fmt.Sprintf("%.0f ms", us/1000)
	case us >= 1000:
		return fmt.Sprintf("%.1f ms", us/1000)
	case us >= 10:
		return fmt.Sprintf("%.0f µs", us)
	}
	return fmt.Sprintf("%.1f µs", us)
}

// tables prints the samples for people, in Markdown.
func (m *measured) tables(t *testing.T, list []*served) {
	head := func(title string, args ...any) {
		fmt.Printf("\n"+title+"\n\n|", args...)
		for _, s := range list {
			fmt.Printf(" | %s", s.name)
		}
		fmt.Printf(" |\n| ---%s |\n", strings.Repeat(" | ---", len(list)))
	}
	head("Processor time of the server: median of %d samples (and all of them); %d objects, %d connections", servingRounds, servingObjects, loadClients)
	for _, row := range m.rows() {
		fmt.Printf("| %s", row)
		for _, s := range list {
			fmt.Print(" | ", micro(m.each(row, s.name)))
			if l := m.samples[row][s.name]; len(l) > 1 {
				var all []string
				for _, one := range l {
					all = append(all, micro(float64(one.each().Nanoseconds())/1000))
				}
				fmt.Printf(" (%s)", strings.Join(all, ", "))
			}
			if n := m.allocations(row, s.name); n > 0 {
				fmt.Printf(", %.0f allocations", n)
			}
		}
		fmt.Println(" |")
	}
	head("Answers a second on the wall clock, which is no gate, and octets of an answer")
	for _, row := range m.rows() {
		fmt.Printf("| %s", row)
		for _, s := range list {
			l := m.samples[row][s.name]
			if len(l) == 0 {
				fmt.Print(" | —")
				continue
			}
			fmt.Printf(" | %.3g/s, %d", m.second(row, s.name), l[0].octets/int64(max(1, l[0].n)))
		}
		fmt.Println(" |")
	}
	fmt.Println()
	for _, s := range list {
		if s.world != nil {
			fmt.Printf("%s: database %.1f kB an object, peak memory since the last start %d MiB\n", s.name, m.disk[s.name], m.memory[s.name])
		}
	}
}

// allocations are what the server's program has allocated so far; 0: it does not tell.
func (s *served) allocations() int64 {
	if s.measure == "" {
		return 0
	}
	res, err := http.Get("http://" + s.measure + "/allocations")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// profile writes what the server does until stop, in the second round, if there is a folder for it.
func (s *served) profile(row string, round int) (stop func()) {
	if servingProfile == "" || s.world == nil || round != 1 {
		return func() {}
	}
	if err := os.MkdirAll(servingProfile, 0o755); err != nil {
		s.t.Fatal(err)
	}
	name := s.name + "-" + strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(row), "-"), "-") + ".pprof"
	var b []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		var res *http.Response
		if res, err = http.Get(fmt.Sprintf("http://%s/profile?seconds=%d", s.measure, max(1, int(servingTime/time.Second)))); err != nil {
			return
		}
		defer res.Body.Close()
		b, err = io.ReadAll(res.Body)
	}()
	return func() {
		<-done
		if err == nil {
			err = os.WriteFile(filepath.Join(servingProfile, name), b, 0o644)
		}
		if err != nil {
			s.t.Error(err)
		}
	}
}

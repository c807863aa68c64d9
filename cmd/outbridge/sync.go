package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/term"

	"outbridge/bridge"
	"outbridge/bridge/round"
	"outbridge/bridge/web"
)

// syncAttempts is how often `sync` sends a request before it gives up: unlike with serve, somebody is waiting.
const syncAttempts = 4

type syncCmd struct {
	configFlag
	jsonFlag
	Account string `help:"Only this account." placeholder:"ACCOUNT"`
	Audit   bool   `help:"Also compare every calendar with Outlook's own view, and fix what differs."`
}

// syncReport is what `sync --json` prints: the sums, then each account.
type syncReport struct {
	Events   int   `json:"events"`
	Series   int   `json:"series"`
	Pages    int   `json:"pages"`
	Requests int64 `json:"requests"`
	Changed  int   `json:"changed"`
	Losses   int   `json:"losses"`
	// Audited and Differences are what --audit compared and what it found to differ.
	Audited     int             `json:"audited"`
	Differences int             `json:"differences"`
	Seconds     float64         `json:"seconds"`
	Accounts    []accountReport `json:"accounts"`
}

// accountReport is a bridge.Report with its errors in words.
type accountReport struct {
	bridge.Report
	Calendars []calendarReport `json:"calendars"`
	Error     string           `json:"error,omitempty"`
}

type calendarReport struct {
	bridge.CalendarReport
	Error string `json:"error,omitempty"`
}

func reportInWords(r bridge.Report, err error) accountReport {
	out := accountReport{Report: r}
	for _, c := range r.Calendars {
		out.Calendars = append(out.Calendars, calendarReport{c, faultLine(c.Fault, r.Account)})
	}
	if err != nil {
		out.Error = oneLine(err)
	}
	return out
}

func (s *syncCmd) Run(e *env) error {
	// It keeps little and makes much that is soon garbage: half as many collections save a tenth of a first sync, for 10 MiB.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	p, err := s.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	p.oneShot(e, syncAttempts)
	if s.Account == "" && p.conf.Organization.enabled() {
		if err := p.lookOnce(e.ctx); err != nil {
			return err
		}
	}
	mailboxes, err := p.mailboxes(e.ctx, s.Account)
	if err != nil {
		return err
	}
	line := newProgressLine(e.stderr)
	b := p.rounds()
	b.Count, b.Progress, b.AuditAlways = true, line.show, s.Audit
	reports := make([]accountReport, len(mailboxes))
	errs := make([]error, len(mailboxes))
	var wg sync.WaitGroup
	begin := time.Now()
	for i, m := range mailboxes {
		wg.Go(func() {
			var r bridge.Report
			if r, errs[i] = p.roundOf(e.ctx, b, m); errs[i] != nil {
				errs[i] = fmt.Errorf("account %s: %w", m.Name, worded(errs[i], m.Name))
			}
			reports[i] = reportInWords(r, errs[i])
		})
	}
	wg.Wait()
	line.end()
	total := syncReport{Accounts: []accountReport{}, Seconds: time.Since(begin).Seconds()}
	for _, r := range reports {
		total.add(r)
	}
	if err := total.print(e, s.JSON); err != nil {
		return err
	}
	return errors.Join(errs...)
}

func (t *syncReport) add(r accountReport) {
	t.Accounts = append(t.Accounts, r)
	t.Requests += r.Requests
	for _, cal := range r.Calendars {
		t.Events += cal.Events
		t.Series += cal.Series
		t.Pages += cal.Pages
		t.Changed += cal.Changed
		t.Losses += cal.Losses
		t.Audited += cal.Audited
		t.Differences += cal.Differences
	}
}

func (t syncReport) print(e *env, asJSON bool) error {
	if asJSON {
		return writeJSON(e.stdout, t)
	}
	if !slices.ContainsFunc(t.Accounts, func(r accountReport) bool { return len(r.Calendars) > 0 }) {
		return nil // the error says why
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ACCOUNT\tCALENDAR\tEVENTS\tSERIES\tPAGES\tREQUESTS\tCHANGED\tDIFFERENCES\tSECONDS")
	for _, r := range t.Accounts {
		for _, c := range r.Calendars {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\n", r.Account, c.Calendar, c.Events, c.Series, c.Pages, c.Requests, c.Changed, c.Losses, c.Seconds)
		}
	}
	if t.Audited > 0 {
		fmt.Fprintf(w, "Audit: compared %d occurrences; %d differed from Outlook and were read again.\n", t.Audited, t.Differences)
	}
	return w.Flush()
}

type rebuildCmd struct {
	configFlag
	jsonFlag
	Account string `help:"Only this account." placeholder:"ACCOUNT"`
}

// Run converts everything in the mirror again. A new version does so in its next round anyway; this shows at once what a
// change of the configuration or of the converter does.
func (r *rebuildCmd) Run(e *env) error {
	p, err := r.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if r.Account != "" {
		if _, err := p.account(r.Account); err != nil {
			return err
		}
	}
	b := p.rounds()
	b.Count = true
	total := syncReport{Accounts: []accountReport{}}
	var errs error
	begin := time.Now()
	for _, a := range p.accounts {
		if r.Account != "" && a.Name != r.Account {
			continue
		}
		row, err := p.store.Account(e.ctx, a.Name)
		var report bridge.Report
		if err == nil {
			report, err = b.Rebuild(e.ctx, round.Mailbox{Name: a.Name, Policy: a.policy(row)})
		}
		if errors.Is(err, bridge.ErrNotFound) {
			continue // never synced: there is nothing to convert
		}
		errs = errors.Join(errs, err)
		total.add(reportInWords(report, nil))
	}
	total.Seconds = time.Since(begin).Seconds()
	if r.JSON {
		return errors.Join(writeJSON(e.stdout, total), errs)
	}
	return errors.Join(total.printRebuilt(e.stdout), errs)
}

// printRebuilt says what a rebuild has done.
func (t syncReport) printRebuilt(out io.Writer) error {
	if t.Events == 0 {
		_, err := fmt.Fprintln(out, "There is nothing to convert yet: run `outbridge sync` or `outbridge serve` first.")
		return err
	}
	w := newTable(out)
	fmt.Fprintln(w, "ACCOUNT\tCALENDAR\tEVENTS\tCHANGED\tREMOVED\tDIFFERENCES")
	removed := 0
	for _, r := range t.Accounts {
		for _, c := range r.Calendars {
			removed += c.Removed
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", r.Account, c.Calendar, c.Events, c.Changed, c.Removed, c.Losses)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	what := "Everything came out as it was, so calendar apps notice nothing."
	if t.Changed+removed > 0 {
		what = fmt.Sprintf("%d came out differently and %d went; calendar apps get that with their next refresh.", t.Changed, removed)
	}
	_, err := fmt.Fprintf(out, "Converted %s again in %.1f seconds. %s\n", many(t.Events, "event", "events"), t.Seconds, what)
	return err
}

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// progressLine is a line on a terminal that shows the progress of long work. Without a terminal it is silent.
type progressLine struct {
	w     io.Writer
	on    bool
	every func() bool
	mu    sync.Mutex
	wrote bool
}

func newProgressLine(w io.Writer) *progressLine {
	f, ok := w.(*os.File)
	return &progressLine{w: w, on: ok && term.IsTerminal(int(f.Fd())), every: throttle(100 * time.Millisecond)}
}

func (l *progressLine) show(p round.Progress) {
	if !l.on || !l.every() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote = true
	fmt.Fprintf(l.w, "\r\x1b[K%s, %s: %s", p.Account, p.Calendar, web.ProgressWords(p))
}

func (l *progressLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}

// throttle returns a function that is true at most once in every such time.
func throttle(every time.Duration) func() bool {
	var mu sync.Mutex
	var last time.Time
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) < every {
			return false
		}
		last = time.Now()
		return true
	}
}

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// jsonFlag is the flag of every command that prints something to read.
type jsonFlag struct {
	JSON bool `help:"Print JSON." name:"json"`
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// open loads the configuration and opens the store.
func (f configFlag) open(e *env) (*config, *sqlstore.Store, error) {
	c, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	store, err := c.openStore(e.ctx)
	return c, store, err
}

// syncAttempts is how often `sync` sends a request before it gives up: somebody waits for it, unlike for serve.
const syncAttempts = 4

type syncCmd struct {
	configFlag
	jsonFlag
	Account string `help:"Only this account." placeholder:"ACCOUNT"`
}

// syncReport is what `sync --json` prints: the sums, then each account.
type syncReport struct {
	Events   int             `json:"events"`
	Series   int             `json:"series"`
	Pages    int             `json:"pages"`
	Requests int64           `json:"requests"`
	Changed  int             `json:"changed"`
	Losses   int             `json:"losses"`
	Seconds  float64         `json:"seconds"`
	Accounts []accountReport `json:"accounts"`
}

type accountReport struct {
	bridge.Report
	Error string `json:"error,omitempty"`
}

func (s *syncCmd) Run(e *env) error {
	c, store, err := s.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	c.oneShot()
	log := c.logger(e.stderr)
	mailboxes, err := c.mailboxes(e.ctx, store, log, s.Account)
	if err != nil {
		return err
	}
	for _, m := range mailboxes {
		m.Graph.(*graph.Client).Attempts = syncAttempts
	}
	line := newProgressLine(e.stderr)
	b := &bridge.Bridge{Store: store, Mailboxes: mailboxes, History: c.history, Horizon: c.horizon, Count: true, Log: log, Progress: line.show}
	reports := make([]accountReport, len(mailboxes))
	errs := make([]error, len(mailboxes))
	var wg sync.WaitGroup
	begin := time.Now()
	for i, m := range mailboxes {
		wg.Go(func() {
			reports[i].Report, errs[i] = b.Round(e.ctx, m)
			if errs[i] != nil {
				errs[i] = forAccount(fmt.Errorf("account %s: %w", m.Name, errs[i]), m.Name)
				reports[i].Error = oneLine(errs[i])
			}
		})
	}
	wg.Wait()
	line.end()
	total := syncReport{Accounts: reports, Seconds: time.Since(begin).Seconds()}
	for _, r := range reports {
		total.Requests += r.Requests
		for _, cal := range r.Calendars {
			total.Events += cal.Events
			total.Series += cal.Series
			total.Pages += cal.Pages
			total.Changed += cal.Changed
			total.Losses += cal.Losses
		}
	}
	if err := s.print(e, total); err != nil {
		return err
	}
	return errors.Join(errs...)
}

func (s *syncCmd) print(e *env, total syncReport) error {
	if s.JSON {
		return writeJSON(e.stdout, total)
	}
	if !slices.ContainsFunc(total.Accounts, func(r accountReport) bool { return len(r.Calendars) > 0 }) {
		return nil // the error says why
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tCALENDAR\tEVENTS\tSERIES\tPAGES\tREQUESTS\tCHANGED\tLOSSES\tSECONDS")
	for _, r := range total.Accounts {
		for _, c := range r.Calendars {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\n", r.Account, c.Calendar, c.Events, c.Series, c.Pages, c.Requests, c.Changed, c.Losses, c.Seconds)
		}
	}
	return w.Flush()
}

// progressLine is one line on a terminal that long work keeps rewriting; elsewhere it is silent.
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

func (l *progressLine) show(p bridge.Progress) {
	if !l.on || !l.every() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote = true
	fmt.Fprintf(l.w, "\r\x1b[K%s, %s: %s, %d pages, %d items", p.Account, p.Calendar, p.Phase, p.Pages, p.Events)
	if p.Total > 0 {
		fmt.Fprintf(l.w, ", %d of %d", p.Done, p.Total)
	}
}

func (l *progressLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}

// throttle returns a function that is true at most once in a while.
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

type statusCmd struct {
	configFlag
	jsonFlag
}

type statusReport struct {
	Accounts []accountStatus `json:"accounts"`
}

type accountStatus struct {
	Account   string           `json:"account"`
	State     bridge.State     `json:"state"`
	LastGood  *time.Time       `json:"last_good"`
	Calendars []calendarStatus `json:"calendars"`
}

type calendarStatus struct {
	Calendar string `json:"calendar"`
	Name     string `json:"name"`
	bridge.Counts
	LastGood  *time.Time `json:"last_good"`
	CursorAge float64    `json:"cursor_age_seconds"` // since the stored cursor was written; -1: there is none
	Syncing   bool       `json:"syncing"`            // its first round is not complete
	Error     string     `json:"error,omitempty"`
}

func (s *statusCmd) Run(e *env) error {
	c, store, err := s.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	report := statusReport{Accounts: []accountStatus{}}
	for _, a := range c.Accounts {
		st, err := accountState(e, store, a.Name)
		if err != nil {
			return err
		}
		report.Accounts = append(report.Accounts, st)
	}
	if s.JSON {
		return writeJSON(e.stdout, report)
	}
	if len(report.Accounts) == 0 {
		fmt.Fprintln(e.stdout, "There is no [[account]] in the configuration.")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	for _, a := range report.Accounts {
		fmt.Fprintf(w, "%s: %s", a.Account, a.State.Code)
		for _, s := range []string{a.State.Sentence, a.State.Action} {
			if s != "" {
				fmt.Fprint(w, ". "+strings.TrimSuffix(s, "."))
			}
		}
		fmt.Fprintf(w, "\n  last good round: %s\n", ago(a.LastGood))
		if len(a.Calendars) > 0 {
			fmt.Fprintln(w, "  CALENDAR\tEVENTS\tSERIES\tLOSSES\tLAST GOOD ROUND\tCURSOR AGE")
		}
		for _, c := range a.Calendars {
			age := "none"
			if c.CursorAge >= 0 {
				age = (time.Duration(c.CursorAge) * time.Second).String()
			}
			fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t%s\t%s", c.Calendar, c.Events, c.Series, c.Losses, ago(c.LastGood), age)
			if c.Syncing {
				fmt.Fprint(w, "\tfirst sync in progress")
			}
			if c.Error != "" {
				fmt.Fprint(w, "\t"+c.Error)
			}
			fmt.Fprintln(w)
		}
	}
	return w.Flush()
}

func accountState(e *env, store *sqlstore.Store, name string) (accountStatus, error) {
	st := accountStatus{Account: name, Calendars: []calendarStatus{}}
	a, err := store.Account(e.ctx, name)
	if errors.Is(err, bridge.ErrNotFound) || err == nil && a.State.Code == bridge.StateNew {
		st.State = bridge.State{Code: bridge.StateNew, Sentence: "It has not been synced yet.",
			Action: fmt.Sprintf("Run `outbridge login %s`, then `outbridge serve`.", name)}
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.State, st.LastGood = a.State, known(a.LastGood)
	cals, err := store.Calendars(e.ctx, a.ID)
	if err != nil {
		return st, err
	}
	for _, c := range cals {
		cs := calendarStatus{
			Calendar: c.DisplayName, Name: c.Name, LastGood: known(c.Good), CursorAge: -1, Error: c.Fault,
			Syncing: c.Good.IsZero() && c.Fault == "",
		}
		if !c.Checked.IsZero() {
			cs.CursorAge = time.Since(c.Checked).Truncate(time.Second).Seconds()
		}
		if cs.Counts, err = store.Counts(e.ctx, c.ID); err != nil {
			return st, err
		}
		st.Calendars = append(st.Calendars, cs)
	}
	return st, nil
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", t.Local().Format("2006-01-02 15:04:05"), time.Since(*t).Truncate(time.Second))
}

type passwordCmd struct {
	Add    passwordAddCmd    `cmd:"" help:"Make an app password for a user; it is shown once."`
	List   passwordListCmd   `cmd:"" help:"List app passwords (never the passwords themselves)."`
	Revoke passwordRevokeCmd `cmd:"" help:"Revoke an app password."`
}

type passwordAddCmd struct {
	User  string `arg:"" help:"Account of the configuration."`
	Label string `help:"What it is for, such as the device." placeholder:"TEXT"`
	configFlag
	jsonFlag
}

func (p *passwordAddCmd) Run(e *env) error {
	c, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := c.account(p.User); err != nil {
		return err
	}
	row, secret, err := store.AddPassword(e.ctx, p.User, p.Label, time.Now().UTC())
	if err != nil {
		return err
	}
	if p.JSON {
		return writeJSON(e.stdout, map[string]any{"user": row.User, "password": secret, "id": row.ID})
	}
	_, err = fmt.Fprintf(e.stdout, "Server:   %s/\nUser:     %s\nPassword: %s\nIt is shown only now; use one for each device, and revoke it with `outbridge password revoke %s %d`.\n",
		c.PublicURL, row.User, secret, row.User, row.ID)
	return err
}

type passwordListCmd struct {
	User string `arg:"" optional:"" help:"Only this user's."`
	configFlag
	jsonFlag
}

func (p *passwordListCmd) Run(e *env) error {
	_, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	list, err := store.Passwords(e.ctx, p.User)
	if err != nil {
		return err
	}
	if p.JSON {
		return writeJSON(e.stdout, slices.Concat([]bridge.Password{}, list))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tCREATED\tLABEL")
	for _, row := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", row.ID, row.User, row.Created.Local().Format(time.DateTime), row.Label)
	}
	return w.Flush()
}

type passwordRevokeCmd struct {
	User string `arg:"" help:"User."`
	ID   int64  `arg:"" help:"ID from password list." name:"id"`
	configFlag
}

func (p *passwordRevokeCmd) Run(e *env) error {
	_, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.RevokePassword(e.ctx, p.User, p.ID)
	if errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("%s has no app password %d: see `outbridge password list %s`", p.User, p.ID, p.User)
	}
	return err
}

type feedCmd struct {
	Add    feedAddCmd    `cmd:"" help:"Make a feed; its address is shown once."`
	List   feedListCmd   `cmd:"" help:"List feeds (never their addresses)."`
	Rotate feedRotateCmd `cmd:"" help:"Give a feed a new address; the old one stops working."`
	Remove feedRemoveCmd `cmd:"" help:"Remove a feed."`
}

type feedAddCmd struct {
	User     string   `arg:"" help:"Account of the configuration."`
	Calendar []string `help:"A calendar to include; may be given several times. All without it." placeholder:"C"`
	Detail   string   `help:"How much it tells: full, limited (title, time, place) or busy (time only)." enum:"full,limited,busy" default:"full"`
	Name     string   `help:"Name that subscribers see." placeholder:"TEXT"`
	configFlag
	jsonFlag
}

func (f *feedAddCmd) Run(e *env) error {
	c, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := c.account(f.User); err != nil {
		return err
	}
	feed := bridge.Feed{User: f.User, Name: f.Name, Detail: f.Detail, Created: time.Now().UTC()}
	for _, name := range f.Calendar {
		cal, err := findCalendar(e, store, f.User, name)
		if err != nil {
			return err
		}
		feed.Calendars = append(feed.Calendars, cal.ID)
	}
	feed, secret, err := store.AddFeed(e.ctx, feed)
	if err != nil {
		return err
	}
	return f.printFeed(e, c, feed, secret)
}

// printFeed shows a feed's address.
func (j jsonFlag) printFeed(e *env, c *config, feed bridge.Feed, secret string) error {
	address := feedURL(c, secret)
	if j.JSON {
		return writeJSON(e.stdout, map[string]any{"url": address, "id": feed.ID})
	}
	_, err := fmt.Fprintf(e.stdout, "%s\nWhoever has this address can read the feed. It is shown only now; `outbridge feed rotate %s %d` makes a new one.\n",
		address, feed.User, feed.ID)
	return err
}

func feedURL(c *config, secret string) string { return c.PublicURL + "/feeds/" + secret + ".ics" }

// findCalendar finds a user's calendar by its path segment or its name.
func findCalendar(e *env, store *sqlstore.Store, user, name string) (bridge.Calendar, error) {
	a, err := store.Account(e.ctx, user)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return bridge.Calendar{}, err
	}
	cals, err := store.Calendars(e.ctx, a.ID)
	if err != nil {
		return bridge.Calendar{}, err
	}
	var all []string
	for _, cal := range cals {
		if cal.Name == name || cal.DisplayName == name {
			return cal, nil
		}
		all = append(all, cal.Name)
	}
	if len(all) == 0 {
		return bridge.Calendar{}, fmt.Errorf("%s has no calendars yet: run `outbridge sync` first", user)
	}
	return bridge.Calendar{}, fmt.Errorf("%s has no calendar %q: there are %s", user, name, strings.Join(all, ", "))
}

type feedListCmd struct {
	User string `arg:"" optional:"" help:"Only this user's."`
	configFlag
	jsonFlag
}

func (f *feedListCmd) Run(e *env) error {
	_, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	list, err := store.Feeds(e.ctx, f.User)
	if err != nil {
		return err
	}
	if f.JSON {
		return writeJSON(e.stdout, slices.Concat([]bridge.Feed{}, list))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tDETAIL\tCALENDARS\tCREATED\tNAME")
	for _, row := range list {
		which := "all"
		if n := len(row.Calendars); n > 0 {
			which = fmt.Sprint(n)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", row.ID, row.User, row.Detail, which, row.Created.Local().Format(time.DateTime), row.Name)
	}
	return w.Flush()
}

type feedRotateCmd struct {
	User string        `arg:"" help:"User."`
	ID   bridge.FeedID `arg:"" help:"ID from feed list." name:"id"`
	configFlag
	jsonFlag
}

func (f *feedRotateCmd) Run(e *env) error {
	c, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	secret, err := store.RotateFeed(e.ctx, f.User, f.ID)
	if err != nil {
		return noFeed(err, f.User, f.ID)
	}
	return f.printFeed(e, c, bridge.Feed{ID: f.ID, User: f.User}, secret)
}

type feedRemoveCmd struct {
	User string        `arg:"" help:"User."`
	ID   bridge.FeedID `arg:"" help:"ID from feed list." name:"id"`
	configFlag
}

func (f *feedRemoveCmd) Run(e *env) error {
	_, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	return noFeed(store.RemoveFeed(e.ctx, f.User, f.ID), f.User, f.ID)
}

func noFeed(err error, user string, id bridge.FeedID) error {
	if errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("%s has no feed %d: see `outbridge feed list %s`", user, id, user)
	}
	return err
}

type exportCmd struct {
	User     string `arg:"" help:"Account of the configuration."`
	Calendar string `arg:"" optional:"" help:"Only this calendar."`
	configFlag
}

func (x *exportCmd) Run(e *env) error {
	c, store, err := x.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := c.account(x.User); err != nil {
		return err
	}
	var cals []bridge.Calendar
	if x.Calendar != "" {
		cal, err := findCalendar(e, store, x.User, x.Calendar)
		if err != nil {
			return err
		}
		cals = append(cals, cal)
	} else {
		a, err := store.Account(e.ctx, x.User)
		if errors.Is(err, bridge.ErrNotFound) {
			return fmt.Errorf("%s has no calendars yet: run `outbridge sync` first", x.User)
		}
		if err != nil {
			return err
		}
		if cals, err = store.Calendars(e.ctx, a.ID); err != nil {
			return err
		}
	}
	w := bufio.NewWriter(e.stdout)
	err = convert.WriteCalendar(w, func() iter.Seq2[[]byte, error] { return web.Objects(e.ctx, store, cals) })
	return errors.Join(err, w.Flush())
}

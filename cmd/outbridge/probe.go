package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/probe"
)

type probeCmd struct {
	Account string   `arg:"" optional:"" help:"The account whose mailbox is asked."`
	List    bool     `help:"Print the questions, and ask nothing."`
	Only    []string `help:"Ask these questions only." placeholder:"ID,…"`
	Keep    bool     `help:"Keep the calendar that the probe works in; the next probe removes it."`
	configFlag
	jsonFlag
}

// probeAttempts is how often a request of a probe is sent before it is given up.
const probeAttempts = 4

// probeReport is what `probe --json` prints, to be sent with a report. Nothing in it tells whose mailbox it is about.
type probeReport struct {
	Privacy   string         `json:"privacy"`
	Outbridge string         `json:"outbridge"` // version
	At        time.Time      `json:"at"`
	Graph     string         `json:"graph"`   // host
	Account   string         `json:"account"` // kind of
	Requests  int            `json:"requests"`
	Learned   bridge.Learned `json:"learned"`
	Rows      []probe.Row    `json:"rows"`
}

const probePrivacy = "Addresses, names and ids of the mailbox are left out. The request-ids tell only Microsoft anything, for some weeks."

func (cmd *probeCmd) Run(e *env) error {
	questions, err := probe.Select(cmd.Only)
	if err != nil {
		return usageError{fmt.Errorf("%w; `outbridge probe --list` has them all", err)}
	}
	if cmd.List {
		return cmd.list(e, questions)
	}
	if cmd.Account == "" {
		return usageError{errors.New(`expected "<account>"; see ` + "`outbridge probe --help`")}
	}
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	p.oneShot(e, probeAttempts)
	a, err := p.account(cmd.Account)
	if err != nil {
		return err
	}
	row, err := p.store.EnsureAccount(e.ctx, a.Name)
	if err != nil {
		return err
	}
	if err := p.mayProbe(a, row); err != nil {
		return err
	}
	unlock, err := p.conf.lockProbe()
	if err != nil {
		return err
	}
	defer unlock()
	report, err := p.probe(e, cmd, a, row)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSON(e.stdout, report)
	}
	return report.print(e.stdout)
}

// mayProbe refuses to write to a mailbox that nobody has switched that on for, or that the sign-in does not allow.
func (p *program) mayProbe(a accountConfig, row bridge.Account) error {
	const add = "add the permission Calendars.ReadWrite to the app registration"
	switch {
	case !a.policy(row).Write:
		return fmt.Errorf(`the account %s is read-only, and a probe writes, though only to a calendar of its own: set access = "read-write" for it, or switch changes on on its page; then %s, run `+"`outbridge login %s`"+` and try again`, a.Name, add, a.Name)
	case a.Mailbox == "" && row.TokenVersion == 0:
		return fmt.Errorf("nobody has signed in to the account %s yet: run `outbridge login %s`", a.Name, a.Name)
	case !p.conf.mayWrite(a, row):
		return fmt.Errorf("the sign-in of %s does not allow changes, and a probe needs to make a calendar: %s, then run `outbridge login %s`", a.Name, add, a.Name)
	}
	return nil
}

// lockProbe keeps a second probe from taking the calendars of the first for those of one that was killed.
func (c *config) lockProbe() (unlock func(), err error) {
	path := c.Database
	if c.onServer() {
		path = filepath.Join(c.dataFolder(), "outbridge")
	}
	lock := flock.New(path+".probe.lock", flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the probe: %w", err)
	}
	if !ok {
		return nil, errors.New("another probe is running: wait for its end")
	}
	return func() { _ = lock.Unlock() }, nil
}

func (p *program) probe(e *env, cmd *probeCmd, a accountConfig, row bridge.Account) (probeReport, error) {
	m, err := p.mailbox(e.ctx, a)
	if err != nil {
		return probeReport{}, err
	}
	g := m.Graph.(*graph.Client)
	private := append([]string{row.Identity.Name, row.Identity.Address, row.Identity.ID}, row.Identity.Aliases...)
	for _, word := range strings.Fields(row.Identity.Name) {
		if len(word) > 3 {
			private = append(private, word)
		}
	}
	one := &probe.Probe{
		Graph: g, Address: cmp.Or(a.Mailbox, row.Identity.Address), Private: private, Only: cmd.Only, Keep: cmd.Keep, Log: p.log,
		Say: func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) },
	}
	result, err := one.Run(e.ctx)
	for _, name := range result.Left {
		fmt.Fprintf(e.stderr, "the calendar %q could not be removed: the next probe removes it, or you in Outlook\n", name)
	}
	switch {
	case errors.Is(err, probe.ErrDenied):
		return probeReport{}, fmt.Errorf("outbridge may not make a calendar in this mailbox, so nothing was asked: add the permission Calendars.ReadWrite to the app registration%s (%w)", map[bool]string{
			true: " as an application permission, and have an administrator consent", false: ", then run `outbridge login " + a.Name + "`"}[a.Mailbox != ""], err)
	case e.ctx.Err() != nil:
		if len(result.Left) > 0 {
			return probeReport{}, errors.New("interrupted; what is left is above")
		}
		return probeReport{}, errors.New("interrupted; the calendar of the probe is removed")
	case err != nil:
		return probeReport{}, err
	}
	now := result.Learned
	now.At, now.Host, now.Version, now.Kind, now.Of = time.Now().UTC().Truncate(time.Second), probe.Host(p.conf.graphURL), version(), kindOf(a, row), probedMailbox(a, row)
	before, err := p.learned(e.ctx, row)
	if err != nil {
		return probeReport{}, err
	}
	now = probe.Merge(before, now)
	if err := p.store.SetLearned(e.ctx, row.ID, now); err != nil {
		return probeReport{}, err
	}
	shown := now
	shown.Of = ""
	return probeReport{Privacy: probePrivacy, Outbridge: version(), At: now.At, Graph: now.Host, Account: now.Kind, Requests: result.Requests, Learned: shown, Rows: result.Rows}, nil
}

var aGUID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// kindOf tells a personal account by the id of the person, which is no GUID.
func kindOf(a accountConfig, row bridge.Account) string {
	switch {
	case a.Mailbox != "":
		return bridge.KindApp
	case aGUID.MatchString(row.Identity.ID):
		return bridge.KindWork
	}
	return bridge.KindPersonal
}

// probedMailbox is whose mailbox something is known about.
func probedMailbox(a accountConfig, row bridge.Account) string {
	return cmp.Or(a.Mailbox, row.Identity.ID)
}

// learned is what a probe has found out about the mailbox that the account has now.
func (p *program) learned(ctx context.Context, row bridge.Account) (bridge.Learned, error) {
	a, err := p.account(row.Name)
	if err != nil {
		return bridge.Learned{}, nil
	}
	l, err := p.store.Learned(ctx, row.ID)
	if err != nil || !l.HoldsFor(probedMailbox(a, row), probe.Host(p.conf.graphURL), time.Now()) {
		return bridge.Learned{}, err
	}
	return l, nil
}

var verdictWords = map[string]string{
	probe.Expected: "as expected", probe.Handled: "different, handled", probe.Report: "different, please report", probe.NotAsked: "not asked",
}

func (r probeReport) print(out io.Writer) error {
	w := newTable(out)
	fmt.Fprintln(w, "ID\tVERDICT\tSEEN\tEXPECTED")
	for _, row := range r.Rows {
		seen := row.Seen
		if row.Verdict == probe.NotAsked {
			seen = strings.TrimPrefix(row.Note, "not asked: ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.ID, verdictWords[row.Verdict], seen, strings.TrimSuffix(row.Expected, " *"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.Verdict == probe.Report {
			fmt.Fprintf(out, "\n%s: %s\n  seen: %s\n  expected: %s (%s)\n", row.ID, row.Question, row.Seen, row.Expected, row.Basis)
			if row.Note != "" {
				fmt.Fprintf(out, "  Outlook said: %s\n", row.Note)
			}
			fmt.Fprintf(out, "  request-ids: %s\n", strings.Join(row.Requests, ", "))
		}
	}
	fmt.Fprintf(out, "\n%s.\n", probeLine(r.Learned))
	if r.Learned.ToReport > 0 {
		fmt.Fprintln(out, "Please report what is different: docs/probe.md says how. `--json` prints what to send; names, addresses and ids of the mailbox are not in it.")
	}
	return nil
}

// probeLine sums up what is known of a mailbox.
func probeLine(l bridge.Learned) string {
	line := fmt.Sprintf("%d questions asked on %s: %d as expected, %d different and handled, %d to report", l.Asked, l.At.Local().Format(time.DateOnly), l.Asked-l.Differ-l.ToReport, l.Differ, l.ToReport)
	if l.KeepsExceptions != nil && l.KeepsCancellations != nil {
		line += map[bool]string{
			true: "; a series keeps its changed and deleted occurrences when its times change", false: "; a series may lose changed or deleted occurrences when its times change, and the bridge restores them",
		}[*l.KeepsExceptions && *l.KeepsCancellations]
	}
	return line
}

func (cmd *probeCmd) list(e *env, questions []probe.Question) error {
	rows := []probe.Row{}
	for _, q := range questions {
		rows = append(rows, probe.Row{ID: q.ID, Question: q.Text, Expected: q.Expected, Basis: q.Basis, Verdict: probe.NotAsked, Note: q.Why})
	}
	if cmd.JSON {
		return writeJSON(e.stdout, rows)
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ID\tQUESTION\tEXPECTED\tBASIS")
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.ID, row.Question, strings.TrimSuffix(row.Expected, " *"), cmp.Or(row.Note, row.Basis))
	}
	return w.Flush()
}

// probe says what is known of the mailbox of an account that clients may write to.
func (d *doctor) probe(a accountConfig, row bridge.Account) {
	check := "probe " + a.Name
	if !a.policy(row).Write {
		return
	}
	l, err := d.p.learned(d.ctx, row)
	switch {
	case err != nil:
		d.broken(check, seeMessage, "%v", err)
	case l.At.IsZero():
		d.ok(check, "nothing was asked yet, so Outlook is taken to be as strict as it can be; `outbridge probe %s` asks", a.Name)
	case l.ToReport > 0:
		d.warn(check, "Run `outbridge probe "+a.Name+" --json`, and report what it prints: docs/probe.md.", "%s", probeLine(l))
	default:
		d.ok(check, "%s", probeLine(l))
	}
}

// Package probe asks a real mailbox what nobody outside Microsoft can tell: each question is an assumption that the bridge makes of
// Graph, with what it expects and what was seen.
//
// Invariants, each with a test:
//   - Whatever is written goes to calendars that the probe has made itself, and nobody is asked to take part: nothing mails.
//   - The calendars are removed in the end, whatever ends it. Those of a probe that was killed are removed by the next one.
//   - Requests and time are bounded. A question that could not be asked is a row that says why.
//   - No address, name or id of the mailbox is in a report.
package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

const (
	// maxRequests is how many requests a probe makes, a batch being one.
	maxRequests = 500
	// longest is how long it asks, and longestCleanup how long it then takes to clean up.
	longest        = 15 * time.Minute
	longestCleanup = time.Minute
)

// ErrDenied is that Outlook does not let the probe make a calendar: the permission to write is missing.
var ErrDenied = errors.New("the bridge may not make a calendar")

// Graph is what a probe asks; *graph.Client is the real one.
type Graph interface {
	Try(ctx context.Context, t graph.Trial) (graph.Answer, error)
	TryTogether(ctx context.Context, trials ...graph.Trial) ([]graph.Answer, error)
	Calendars(ctx context.Context) ([]graph.Calendar, error)
	CreateCalendar(ctx context.Context, name string) (graph.Calendar, error)
	DeleteCalendar(ctx context.Context, id graph.CalendarID) error
	DeltaURL(cal graph.CalendarID, start, end time.Time) string
	Delta(ctx context.Context, link string) (graph.DeltaPage, error)
	Masters(ctx context.Context, cal graph.CalendarID, refs []graph.MasterRef) []graph.Result
}

// Probe is one mailbox to ask.
type Probe struct {
	Graph   Graph
	Address string                           // of the mailbox, for what is asked about its owner's times; "": not known
	Private []string                         // further names and addresses that are not to be in the report
	Only    []string                         // ids of questions; none: all
	Keep    bool                             // the calendars stay
	Say     func(format string, args ...any) // progress; nil: nobody listens
	Log     *slog.Logger                     // nil: slog.Default
}

// Verdicts on what was seen.
const (
	Expected = "expected" // as expected
	Handled  = "handled"  // another answer, which the bridge cares for
	Report   = "report"   // an answer that the bridge does not know: its makers want to hear of it
	NotAsked = "not-asked"
)

// Row is the answer to a question.
type Row struct {
	ID       string   `json:"id"`
	Question string   `json:"question"`
	Expected string   `json:"expected"`
	Basis    string   `json:"basis"` // where the expectation comes from
	Seen     string   `json:"seen,omitempty"`
	Verdict  string   `json:"verdict"`
	Note     string   `json:"note,omitempty"`     // what Graph said to it, or why it could not be asked
	Requests []string `json:"requests,omitempty"` // request-ids
}

// Question is what can be asked.
type Question struct {
	ID, Text, Expected, Basis string
	// Others are further answers that the bridge cares for; one that ends in "*" is all that begin like it.
	Others []string
	// Why is why it is not asked at all; "": it is.
	Why string

	ask func(*session) (seen string, err error)
}

// verdict judges an answer.
func (q Question) verdict(seen string) string {
	like := func(pattern string) bool {
		start, open := strings.CutSuffix(pattern, "*")
		return seen == pattern || open && strings.HasPrefix(seen, start)
	}
	switch {
	case like(q.Expected):
		return Expected
	case slices.ContainsFunc(q.Others, like):
		return Handled
	}
	return Report
}

// Questions are all there are, in the order in which they are asked; those that would mail somebody come last, and are not asked.
func Questions() []Question {
	return slices.Concat(seriesQuestions, occurrenceQuestions, identityQuestions, timeQuestions, fieldQuestions, quietQuestions, listQuestions, calendarQuestions, unasked)
}

// Select are the questions of some ids, or all where there are none.
func Select(ids []string) ([]Question, error) {
	all := Questions()
	if len(ids) == 0 {
		return all, nil
	}
	var list []Question
	for _, q := range all {
		if slices.Contains(ids, q.ID) {
			list = append(list, q)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(q Question) bool { return q.ID == id }) {
			return nil, fmt.Errorf("there is no question %q", id)
		}
	}
	return list, nil
}

// Result is what a probe has found out.
type Result struct {
	Rows     []Row
	Learned  bridge.Learned // only what the questions that were asked tell, and the counts
	Requests int
	// Left are names of calendars that are still there, though they were to be removed.
	Left []string
}

// Run asks. An error is that it could not begin, or was ended by ctx; the calendars are removed all the same, and Result tells of
// those that could not be.
func (p *Probe) Run(ctx context.Context) (Result, error) {
	questions, err := Select(p.Only)
	if err != nil {
		return Result{}, err
	}
	s := &session{p: p, cleanup: context.WithoutCancel(ctx)}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(ctx, longest)
	defer cancel()
	err = s.begin()
	var rows []Row
	if err == nil {
		rows, err = s.all(ctx, questions)
	}
	left := s.end()
	result := Result{Rows: rows, Learned: learn(rows), Requests: s.requests, Left: left}
	return result, err
}

// all asks one question after the other.
func (s *session) all(ctx context.Context, questions []Question) ([]Row, error) {
	var rows []Row
	for i, q := range questions {
		if ctx.Err() != nil {
			return rows, ctx.Err()
		}
		row := Row{ID: q.ID, Question: q.Text, Expected: q.Expected, Basis: q.Basis, Verdict: NotAsked, Note: q.Why}
		if q.Why == "" {
			s.say("%d of %d: %s", i+1, len(questions), q.ID)
			s.ids, s.note = nil, ""
			seen, err := q.ask(s)
			row.Requests, row.Note = slices.Clone(s.ids), s.redact(s.note)
			switch {
			case ctx.Err() != nil:
				return rows, ctx.Err()
			case err != nil:
				row.Note = s.redact(why(err))
			default:
				row.Seen, row.Verdict = s.redact(seen), q.verdict(seen)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// why is why a question could not be asked.
func why(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the probe has lasted %d minutes, and asks no longer", int(longest.Minutes()))
	case graph.IsThrottled(err):
		return "Microsoft Graph asked to slow down: " + err.Error()
	case graph.IsUnavailable(err):
		return "Microsoft Graph could not be reached: " + err.Error()
	}
	return err.Error()
}

// learn is what rows tell of the mailbox.
func learn(rows []Row) bridge.Learned {
	var l bridge.Learned
	all := func(known **bool, ids []string, good func(Row) bool) {
		asked, so := false, true
		for _, r := range rows {
			if slices.Contains(ids, r.ID) && r.Verdict != NotAsked {
				asked, so = true, so && good(r)
			}
		}
		if asked {
			*known = &so
		}
	}
	for _, r := range rows {
		switch r.Verdict {
		case NotAsked:
			l.Unanswered++
			continue
		case Handled:
			l.Differ++
		case Report:
			l.ToReport++
		}
		l.Asked++
	}
	var resets []string
	for _, q := range seriesQuestions {
		if strings.HasPrefix(q.ID, "reset-") {
			resets = append(resets, q.ID)
		}
	}
	// Of a mailbox of which not all was asked nothing is believed that one of the answers might deny.
	known := func(ids []string) bool {
		return !slices.ContainsFunc(ids, func(id string) bool {
			return !slices.ContainsFunc(rows, func(r Row) bool { return r.ID == id && r.Verdict != NotAsked })
		})
	}
	if known(resets) {
		all(&l.KeepsExceptions, resets, func(r Row) bool { return strings.HasPrefix(r.Seen, keptAll) })
		all(&l.KeepsCancellations, resets, func(r Row) bool { return strings.HasSuffix(r.Seen, keptCancellation) })
	}
	all(&l.ReadsOccurrences, []string{"oid-read"}, func(r Row) bool { return r.Seen == "200" })
	if writes := []string{"oid-patch", "oid-delete"}; known(writes) {
		all(&l.WritesOccurrences, writes, func(r Row) bool { return strings.HasPrefix(r.Seen, "2") })
	}
	all(&l.NamesDuplicates, []string{"tx-same"}, func(r Row) bool { return strings.HasSuffix(r.Seen, duplicateNamed) })
	return l
}

// Merge is what is known after a probe, of what it was asked and else of before.
func Merge(before, now bridge.Learned) bridge.Learned {
	for _, known := range []struct{ was, is **bool }{
		{&before.KeepsExceptions, &now.KeepsExceptions}, {&before.KeepsCancellations, &now.KeepsCancellations},
		{&before.ReadsOccurrences, &now.ReadsOccurrences}, {&before.WritesOccurrences, &now.WritesOccurrences}, {&before.NamesDuplicates, &now.NamesDuplicates},
	} {
		if *known.is == nil {
			*known.is = *known.was
		}
	}
	return now
}

// Host is the part of Graph's address that a report has.
func Host(graphURL string) string {
	if u, err := url.Parse(graphURL); err == nil && u.Host != "" {
		return u.Host
	}
	return graphURL
}

package round

import (
	"context"
	"errors"
	"log/slog"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// Rebuild converts everything in a mailbox's mirror again, without asking Graph, and publishes what comes out
// different.
func (r *Runner) Rebuild(ctx context.Context, m Mailbox) (bridge.Report, error) {
	begin := r.now()
	report := bridge.Report{Account: m.Name}
	a, err := r.Store.Account(ctx, m.Name)
	if err != nil {
		return report, err
	}
	cals, err := r.Store.Calendars(ctx, a.ID)
	if err != nil {
		return report, err
	}
	var errs error
	for _, c := range cals {
		one, err := r.rebuild(bridge.WithLogAttrs(ctx, slog.String("calendar", c.DisplayName)), m, c, a.Addresses(cals), a.Settings)
		errs = errors.Join(errs, err)
		report.Calendars = append(report.Calendars, one)
	}
	report.Seconds = r.now().Sub(begin).Seconds()
	return report, errs
}

// rebuild does one calendar. It waits for a round of it, so that it shows no half of one.
func (r *Runner) rebuild(ctx context.Context, m Mailbox, c bridge.Calendar, own []string, s bridge.Settings) (report bridge.CalendarReport, err error) {
	memory := r.memory.account(m.Name).calendar(c)
	memory.round.Lock()
	defer memory.round.Unlock()
	begin := r.now()
	report = bridge.CalendarReport{Calendar: c.DisplayName, Name: c.Name, ID: c.ID}
	if c.Phase != bridge.PhaseNew && c.Phase != bridge.PhaseOpening { // else its first round is to come, and shows it whole
		d := r.Deriver(ctx, m, c, own, s)
		if err = errors.Join(d.markAll(ctx), d.Derive(ctx)); err == nil {
			report.Changed, report.Removed, err = d.Publish(ctx)
		}
		if report.Changed > 0 && r.Published != nil {
			r.Published(c.ID)
		}
	}
	if r.Count && err == nil {
		var counts bridge.Counts
		counts, err = r.Store.Counts(ctx, c.ID)
		report.Events, report.Series, report.Losses = counts.Events, counts.Series, counts.Losses
	}
	report.Fault = bridge.FaultOf(err)
	report.Seconds = r.now().Sub(begin).Seconds()
	return report, err
}

// SeriesOf is a series as the converter gets it where clients may do what the policy says: to explain what becomes of it, and to
// work out what a client's change comes to.
func (r *Runner) SeriesOf(ctx context.Context, p bridge.Policy, id bridge.CalendarID, series graph.EventID) (convert.Series, error) {
	c, err := r.Store.Calendar(ctx, id)
	if err != nil {
		return convert.Series{}, err
	}
	a, err := r.Store.AccountByID(ctx, c.Account)
	if err != nil {
		return convert.Series{}, err
	}
	all, err := r.Store.Calendars(ctx, c.Account)
	if err != nil {
		return convert.Series{}, err
	}
	rows, err := r.Store.SeriesRows(ctx, id, series)
	if err != nil {
		return convert.Series{}, err
	}
	d := r.Deriver(ctx, Mailbox{Name: a.Name, Policy: p}, c, a.Addresses(all), a.Settings)
	kept, err := d.kept(ctx, []graph.EventID{series})
	if err != nil {
		return convert.Series{}, err
	}
	s, ok, err := d.series(rows, bridge.Mark{Series: series, Complete: true, Unread: true})
	kept.of(series).into(&s)
	d.attach(&s, kept.of(series).attached)
	if err == nil && !ok {
		err = bridge.ErrNotFound
	}
	return s, err
}

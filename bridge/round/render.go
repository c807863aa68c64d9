package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// settingsAge is how old the mailbox's settings may be before they are asked for again.
const settingsAge = time.Hour

// settings are the mailbox's own settings: asked for now and then, else as they are stored. Without the permission
// the bridge does without them.
func (b *Runner) settings(ctx context.Context, m Mailbox, a bridge.Account) (s bridge.Settings, requests int64, err error) {
	if !b.Settings {
		return bridge.Settings{}, 0, nil
	}
	if bridge.Elapsed(b.now(), b.asked.of(a.ID)) < settingsAge {
		return a.Settings, 0, nil
	}
	b.asked.set(a.ID, b.now())
	counted, n := graph.CountRequests(ctx)
	s = bridge.Settings{Colors: map[string]string{}}
	zone, err := m.Graph.MailboxZone(counted)
	if err == nil {
		s.Zone = zone
		var list []graph.Category
		if list, err = m.Graph.Categories(counted); err == nil {
			for _, c := range list {
				if hex := convert.PresetColor(c.Color); hex != "" {
					s.Colors[c.DisplayName] = hex
				}
			}
		}
	}
	if err != nil {
		b.log().Warn("the mailbox's settings cannot be read; those known are used", "account", m.Name, "err", err)
		return a.Settings, n.Load(), nil
	}
	if s.Zone != a.Settings.Zone || !maps.Equal(s.Colors, a.Settings.Colors) {
		return s, n.Load(), b.Store.SetSettings(ctx, a.ID, s)
	}
	return s, n.Load(), nil
}

// rendering names everything beside the mirror that the octets of an object depend on.
func (r *round) rendering() string {
	b, err := json.Marshal(r.settings) // keys in order
	if err != nil {
		panic(err) // strings always marshal
	}
	return fmt.Sprintf("%v html=%t settings=%s", convert.Version, r.b.HTML, shortHash(string(b), 16))
}

// rerender marks every series for conversion where the converter or an option has changed since.
func (r *round) rerender(ctx context.Context) error {
	want := r.rendering()
	if r.cal.Rendering == want {
		return nil
	}
	if err := r.b.Store.MarkAll(ctx, r.cal.ID, want); err != nil {
		return err
	}
	r.cal.Rendering = want
	return nil
}

// Rebuild converts everything in an account's mirror anew, without asking Graph, and publishes what comes out
// different.
func (b *Runner) Rebuild(ctx context.Context, account string) (bridge.Report, error) {
	defer b.lockRound(account)()
	begin := b.now()
	report := bridge.Report{Account: account}
	a, err := b.Store.Account(ctx, account)
	if err != nil {
		return report, err
	}
	cals, err := b.Store.Calendars(ctx, a.ID)
	if err != nil {
		return report, err
	}
	var errs error
	for _, c := range cals {
		r := b.newRound(ctx, Mailbox{Name: account}, c, a.Settings)
		errs = errors.Join(errs, r.do(ctx, func(ctx context.Context) error {
			if c.Phase == bridge.PhaseNew || c.Phase == bridge.PhaseOpening {
				return nil // its first round is to come, and shows it whole
			}
			if err := b.Store.MarkAll(ctx, c.ID, r.rendering()); err != nil {
				return err
			}
			return r.publish(ctx)
		}))
		report.Calendars = append(report.Calendars, r.report)
	}
	report.Seconds = b.now().Sub(begin).Seconds()
	return report, errs
}

// SeriesOf is a series as the converter gets it, to explain what becomes of it.
func (b *Runner) SeriesOf(ctx context.Context, id bridge.CalendarID, series graph.EventID) (convert.Series, error) {
	c, err := b.Store.Calendar(ctx, id)
	if err != nil {
		return convert.Series{}, err
	}
	a, err := b.Store.AccountByID(ctx, c.Account)
	if err != nil {
		return convert.Series{}, err
	}
	rows, err := b.Store.SeriesRows(ctx, id, series)
	if err != nil {
		return convert.Series{}, err
	}
	s, ok, err := b.newRound(ctx, Mailbox{Name: a.Name}, c, a.Settings).series(rows, true)
	if err == nil && !ok {
		err = bridge.ErrNotFound
	}
	return s, err
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/feed"
)

type exportCmd struct {
	User     string `arg:"" help:"Name of the account."`
	Calendar string `arg:"" optional:"" help:"Only this calendar."`
	configFlag
}

func (x *exportCmd) Run(e *env) error {
	p, err := x.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if _, err := p.account(x.User); err != nil {
		return err
	}
	cals, err := p.calendars(e.ctx, x.User)
	if err == nil && x.Calendar != "" {
		var cal bridge.Calendar
		cal, err = p.findCalendar(e.ctx, x.User, x.Calendar)
		cals = []bridge.Calendar{cal}
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriter(e.stdout)
	err = feed.WriteCalendar(w, func() iter.Seq2[[]byte, error] { return feed.Objects(e.ctx, p.store, cals) })
	return errors.Join(err, w.Flush())
}

// calendars are the calendars of a user; the user must have been synced.
func (p *program) calendars(ctx context.Context, user string) ([]bridge.Calendar, error) {
	a, err := p.store.Account(ctx, user)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, errNoCalendars(user)
	}
	if err != nil {
		return nil, err
	}
	return p.store.Calendars(ctx, a.ID)
}

// findCalendar finds a user's calendar by its path segment or its name.
func (p *program) findCalendar(ctx context.Context, user, name string) (bridge.Calendar, error) {
	cals, err := p.calendars(ctx, user)
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
		return bridge.Calendar{}, errNoCalendars(user)
	}
	return bridge.Calendar{}, fmt.Errorf("%s has no calendar %q: there are %s", user, name, strings.Join(all, ", "))
}

func errNoCalendars(user string) error {
	return fmt.Errorf("%s has no calendars yet: run `outbridge sync` first", user)
}

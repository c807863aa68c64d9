package main

import (
	"context"
	"slices"
	"time"

	"outbridge/bridge"
)

const (
	figuresEvery = time.Minute
	figuresAtOne = 50 // calendars that a statement counts
)

// tellFigures tells how all accounts are in the metrics of this machine, for all that use the database, until ctx ends.
func (a *webAccounts) tellFigures(ctx context.Context) error {
	defer a.p.metrics.Silence()
	trouble := ""
	for {
		err := a.countFigures(ctx)
		if ctx.Err() != nil {
			return nil
		}
		was := trouble
		if trouble = ""; err != nil {
			trouble = err.Error()
		}
		if err != nil && trouble != was {
			a.p.log.Warn("the metrics of accounts cannot be brought up to date", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(figuresEvery):
		}
	}
}

// countFigures tells first what is known already, and then what has to be counted.
func (a *webAccounts) countFigures(ctx context.Context) error {
	if err := a.readFigures(ctx); err != nil {
		return err
	}
	for counted := 0; ; {
		n, err := a.p.store.CountFigures(ctx, time.Now(), figuresAtOne)
		if err != nil {
			return err
		}
		if counted += n; n < figuresAtOne {
			if counted == 0 {
				return nil
			}
			return a.readFigures(ctx)
		}
	}
}

func (a *webAccounts) readFigures(ctx context.Context) error {
	list, err := a.p.store.Figures(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(f bridge.AccountFigures) bool { return !a.served(f.Account) })
	for _, f := range list {
		pulse := a.p.pulse.pulse(f.Account)
		for i, c := range f.Calendars {
			f.Calendars[i].Good = pulse.GoodOf(c.ID, c.Good)
		}
	}
	a.p.metrics.Tell(list)
	return ctx.Err()
}

package main

import (
	"bufio"
	"errors"
	"fmt"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

type explainCmd struct {
	Event   string `arg:"" help:"Graph ID, iCalUId, or words from the subject. - reads Graph JSON from standard input instead."`
	Account string `help:"Only this account." placeholder:"ACCOUNT"`
	Redact  bool   `help:"Leave out names, addresses and text."`
	configFlag
}

func (x *explainCmd) Run(e *env) error {
	if x.Event == "-" {
		return x.input(e)
	}
	p, err := x.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if x.Account != "" {
		if _, err := p.account(x.Account); err != nil {
			return err
		}
	}
	found, err := p.store.FindSeries(e.ctx, x.Account, x.Event, 20)
	if uid := convert.UID(graph.Event{ICalUID: x.Event}); err == nil && len(found) == 0 && uid != x.Event {
		found, err = p.store.FindSeries(e.ctx, x.Account, uid, 20) // it is that of an occurrence
	}
	if err != nil {
		return err
	}
	switch len(found) {
	case 0:
		return fmt.Errorf("no event has the id, iCalUId or subject %q: try a word from its subject", x.Event)
	case 1:
		return x.found(e, p, found[0])
	}
	fmt.Fprintln(e.stderr, "Several events match; choose one by its ID:")
	for _, f := range found {
		fmt.Fprintf(e.stderr, "  %s  %s  %s\n", f.Start.Local().Format("2006-01-02 15:04"), f.Series, f.Subject)
	}
	return fmt.Errorf("%d events match %q", len(found), x.Event)
}

func (x *explainCmd) found(e *env, p *program, f bridge.Found) error {
	policy, err := p.policyOf(e.ctx, f.Calendar)
	if err != nil {
		return err
	}
	s, err := p.rounds().SeriesOf(e.ctx, policy, f.Calendar, f.Series)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(e.stdout)
	return errors.Join(convert.Explain(w, s, x.Redact), w.Flush())
}

func (x *explainCmd) input(e *env) error {
	events, err := convert.ReadEvents(e.stdin)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	w := bufio.NewWriter(e.stdout)
	for i, s := range convert.Group(events) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := convert.Explain(w, s, x.Redact); err != nil {
			return errors.Join(fmt.Errorf("explain: %s: %w", title(s), err), w.Flush())
		}
	}
	return w.Flush()
}

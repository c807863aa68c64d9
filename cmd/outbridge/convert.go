package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/term"

	"outbridge/bridge/convert"
	"outbridge/bridge/feed"
	"outbridge/caldav/ics"
)

type convertCmd struct{}

func (convertCmd) Run(e *env) error {
	if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(e.stderr, "Reading Graph JSON from the terminal; press Ctrl-D at the end.")
	}
	events, err := convert.ReadEvents(e.stdin)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	var objects [][]byte
	lost := 0
	for _, s := range convert.Group(events) {
		cal, losses, err := convert.ToICS(s)
		for _, l := range losses {
			fmt.Fprintf(e.stderr, "difference: %s: %s: %s\n", title(s), l.Field, l.Reason)
		}
		if errors.Is(err, convert.ErrNoInstances) || errors.Is(err, convert.ErrNoTime) {
			fmt.Fprintf(e.stderr, "difference: %s: left out: %v\n", title(s), err)
			lost++
			continue
		}
		if err != nil {
			return fmt.Errorf("convert: %s: %w", title(s), err)
		}
		var b bytes.Buffer
		if err := ics.Encode(&b, cal); err != nil {
			return fmt.Errorf("convert: %s: %w", title(s), err)
		}
		objects = append(objects, b.Bytes())
	}
	if lost > 0 && len(objects) == 0 {
		return errors.New("convert: no event could be converted")
	}
	w := bufio.NewWriter(e.stdout)
	err = feed.WriteCalendar(w, func() iter.Seq2[[]byte, error] { return each(objects) })
	return errors.Join(err, w.Flush())
}

func each(objects [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// title names a series in messages.
func title(s convert.Series) string {
	name := fmt.Sprintf("%q", s.Event.Subject)
	if s.Event.ID != "" {
		name += " (" + string(s.Event.ID) + ")"
	}
	return name
}

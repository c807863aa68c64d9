package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// jsonFlag is the flag of every command that prints something to read.
type jsonFlag struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// limitFlag is the flag of commands that list the latest of many.
type limitFlag struct {
	Limit int `help:"How many of the latest to list." default:"50"`
}

func (f limitFlag) check() error {
	if f.Limit < 1 {
		return usageError{fmt.Errorf("--limit = %d: it must be at least 1", f.Limit)}
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// newTable aligns columns that are separated by tabs. The caller flushes it.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }

// localTime is a time as tables show it, in the time zone of this machine.
func localTime(t time.Time) string { return t.Local().Format(time.DateTime) }

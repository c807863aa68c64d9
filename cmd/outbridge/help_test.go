package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestHelpIsComplete: each command, argument and flag says what it is, and the manual page has all of it.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	k, err := kong.New(&cli{}, kong.Name("outbridge"))
	if err != nil {
		t.Fatal(err)
	}
	explainCommands(k)
	var page bytes.Buffer
	if err := run(t.Context(), []string{"man"}, strings.NewReader(""), &page, &page); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, leaf := range k.Model.Leaves(true) {
		name := commandName(leaf)
		seen[name] = true
		if leaf.Help == "" || leaf.Detail == "" {
			t.Errorf("%s is not explained", name)
		}
		if !strings.Contains(page.String(), "\n.SS "+roffText(name)+"\n") {
			t.Errorf("%s is not in the manual page", name)
		}
		for _, arg := range leaf.Positional {
			if arg.Help == "" {
				t.Errorf("%s: %s is not explained", name, arg.Name)
			}
		}
		for _, f := range leaf.Flags {
			if f.Help == "" {
				t.Errorf("%s: --%s is not explained", name, f.Name)
			}
		}
	}
	for name := range details {
		if !seen[name] {
			t.Errorf("%s is explained, and there is no such command", name)
		}
	}
}

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// imports is who may import whom within this module, tests left out. A new edge comes in by a commit of its own that
// adds it here and says why the two packages have to know each other; a new package comes in with its line. The
// simulator and the converter never import each other: they are two independent expanders of a recurrence, and each
// checks the other.
var imports = map[string][]string{
	// The only wiring: it may know everything, and nothing knows it.
	"cmd/outbridge": {"bridge", "bridge/convert", "bridge/dav", "bridge/directory", "bridge/feed", "bridge/graph", "bridge/graph/graphsim", "bridge/notice", "bridge/probe", "bridge/push",
		"bridge/round", "bridge/sqlstore", "bridge/web", "bridge/work", "bridge/write", "caldav", "caldav/ics"},
	// Of rounds, push and the rest it knows interfaces of its own. What a calendar page shows are stored objects,
	// expanded. A feed answers conditional requests as an object does.
	"bridge/web": {"bridge", "bridge/feed", "caldav/ics", "caldav/negotiate"},
	// A feed is made of stored objects: read, reduced, and written again with the time zones that they name.
	"bridge/feed": {"bridge", "bridge/convert", "caldav/ics"},
	"bridge/dav":  {"bridge", "bridge/convert", "bridge/write", "caldav"}, // of convert the kinds of refusals
	// It plans, carries out and reads back what clients write: the words of all three, and octets to compare.
	"bridge/write": {"bridge", "bridge/convert", "bridge/graph", "bridge/round", "caldav/ics"},
	// What nobody can tell of Graph, and the words for what was found out.
	"bridge/probe": {"bridge", "bridge/graph"},
	"bridge/push":  {"bridge", "caldav"},
	// Who is a member is what Graph says; who has an account is what the store keeps.
	"bridge/directory": {"bridge", "bridge/graph"},
	// It reads the store and sends; words come from outside, so it needs nobody else.
	"bridge/notice": {"bridge"},
	"bridge/work":   {"bridge", "bridge/graph", "bridge/round"},
	// What tests of several rooms drive; no program has it.
	"bridge/round/roundtest": {"bridge", "bridge/convert", "bridge/dav", "bridge/graph", "bridge/graph/graphsim", "bridge/round", "bridge/sqlstore", "bridge/sqlstore/pgtest", "caldav", "caldav/ics"},
	"bridge/round":           {"bridge", "bridge/convert", "bridge/graph", "caldav/ics"},
	// The Store contract speaks of ids, tokens and losses in the words of graph and convert: types only.
	"bridge/sqlstore":        {"bridge", "bridge/convert", "bridge/graph"},
	"bridge/sqlstore/pgtest": {},                                 // for tests: a PostgreSQL server
	"bridge":                 {"bridge/convert", "bridge/graph"}, // types, and what kind of error one of Graph is
	"bridge/convert":         {"bridge/graph", "caldav/ics"},     // of graph types only
	"bridge/graph/graphsim":  {"bridge/graph"},                   // types only
	"bridge/graph":           {},
	"caldav":                 {"caldav/ics", "caldav/negotiate"},
	"caldav/ics":             {}, // octets and time: it knows no DAV and no Outlook
	"caldav/negotiate":       {},
	"caldav/ics/lint":        {}, // for tests: it reads octets by itself, so it knows nobody
}

func TestImports(t *testing.T) {
	t.Parallel()
	module, err := exec.Command("go", "list", "-m").Output() // another one, where it is published
	if err != nil {
		t.Fatal(err)
	}
	us := strings.TrimSpace(string(module)) + "/"
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, us)
		allowed, known := imports[name]
		if !known {
			t.Errorf("package %s has no line in the map of imports", name)
			continue
		}
		seen[name] = true
		for _, path := range p.Imports {
			if path, ours := strings.CutPrefix(path, us); ours && !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s, which the map of imports does not allow", name, path)
			}
		}
	}
	for name := range imports {
		if !seen[name] {
			t.Errorf("the map of imports has %s, which is no package", name)
		}
	}
}

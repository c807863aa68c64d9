package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/sqlstore"
)

// TestServerProblems: each thing that is wrong with a server is a finding, and what is right is none.
func TestServerProblems(t *testing.T) {
	t.Parallel()
	d := &doctor{c: &config{Database: "postgres://bridge@db.example/calendar"}}
	good := sqlstore.ServerState{Version: "17.2", Number: 170002, User: "bridge", Schema: sqlstore.Schema(), MayCreate: true, Owner: true, Encrypted: true,
		Durable: true, Pool: 16, Connections: 20, MaxConnections: 100, Reserved: 3}
	if list := d.serverProblems(good); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	for name, one := range map[string]struct {
		change func(*sqlstore.ServerState)
		broken bool
	}{
		"too old":          {func(s *sqlstore.ServerState) { s.Number = 120009 }, true},
		"a standby":        {func(s *sqlstore.ServerState) { s.ReadOnly = true }, true},
		"no rights":        {func(s *sqlstore.ServerState) { s.MayCreate, s.Schema = false, 0 }, true},
		"another's tables": {func(s *sqlstore.ServerState) { s.Owner = false }, false},
		"clock ahead":      {func(s *sqlstore.ServerState) { s.Clock = time.Minute }, false},
		"clock behind":     {func(s *sqlstore.ServerState) { s.Clock = -time.Minute }, false},
		"connections":      {func(s *sqlstore.ServerState) { s.Connections = 82 }, false},
		"not durable":      {func(s *sqlstore.ServerState) { s.Durable = false }, false},
		"in the clear":     {func(s *sqlstore.ServerState) { s.Encrypted = false }, false},
	} {
		s := good
		one.change(&s)
		if list := d.serverProblems(s); len(list) != 1 || list[0].broken != one.broken || list[0].fix == "" || list[0].what == "" {
			t.Errorf("%s: %+v", name, list)
		}
	}
	s := good
	s.Encrypted, s.Local = false, true
	if list := d.serverProblems(s); len(list) != 0 {
		t.Errorf("a socket: %+v", list)
	}
}

// TestServerWords: each trouble with a server is worded once, with what to do.
func TestServerWords(t *testing.T) {
	t.Parallel()
	for trouble := sqlstore.ServerUnreachable; trouble <= sqlstore.ServerTaken; trouble++ {
		err := fmt.Errorf("migrate: %w", &sqlstore.ServerError{Trouble: trouble, Server: "calendar on db.example:5432", Err: errors.New("as the server says it")})
		fix := serverFix(err)
		if fix == seeMessage {
			t.Errorf("%v: nothing says what to do", err)
		}
		text := worded(err, "").Error()
		for _, part := range []string{"calendar on db.example:5432", "(as the server says it)", strings.TrimSuffix(fix[1:], ".")} {
			if strings.Count(text, part) != 1 {
				t.Errorf("%q is not in it once: %s", part, text)
			}
		}
		if strings.Count(text, "check user") > 1 {
			t.Errorf("said twice: %s", text)
		}
	}
}

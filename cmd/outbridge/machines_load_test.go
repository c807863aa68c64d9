//go:build load

package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// goesOn is how soon the accounts of a machine that has died have to go on.
const goesOn = 2 * time.Minute

// holdPolls has Outlook answer no request for changes until the function that it returns is called.
func (m *machines) holdPolls() (release func()) {
	hold := make(chan struct{})
	m.mu.Lock()
	m.slow = hold
	m.mu.Unlock()
	for len(m.waits) > 0 {
		<-m.waits
	}
	return func() {
		m.mu.Lock()
		m.slow = nil
		m.mu.Unlock()
		close(hold)
	}
}

// held waits until requests for the changes of so many accounts wait.
func (m *machines) held(n int) {
	m.Helper()
	paths := map[string]bool{}
	late := time.After(time.Until(patience(m.T)))
	for len(paths) < n {
		select {
		case path := <-m.waits:
			paths[path] = true
		case <-late:
			m.Fatalf("%d of %d accounts are asked about", len(paths), n)
		}
	}
}

// allSeen creates an event in each mailbox, and checks that machines serve all of them before a time is over.
func (m *machines) allSeen(what string, within time.Duration, by ...*served) {
	m.Helper()
	begin := time.Now()
	for name := range m.boxes {
		m.seen(name, m.create(name), by...)
	}
	took := time.Since(begin).Round(100 * time.Millisecond)
	m.Logf("%s: %s", what, took)
	if took > within {
		m.Errorf("%s: %s, more than %s", what, took, within)
	}
}

// TestMachinesInTrouble kills and stops machines in the middle of rounds, lets rounds last, and takes the database away: no round is
// done twice at once, and afterwards every machine serves what Outlook has.
func TestMachinesInTrouble(t *testing.T) {
	accounts := []string{"alice", "bob", "carol", "dave", "erin", "frank"}
	m := newMachines(t, 3, accounts...)
	m.allSeen("first sync", time.Minute, m.of...)

	release := m.holdPolls()
	m.held(len(accounts))
	time.Sleep(75 * time.Second) // longer than a job may last, than a lease, and than River waits
	release()
	m.allSeen("after rounds that last", time.Minute, m.of...)

	release = m.holdPolls()
	m.held(len(accounts))
	m.of[0].kill()
	release()
	m.allSeen("a machine is killed in its rounds", goesOn, m.of[1:]...)
	m.of[0].process = startProgram(t, "outbridge", m.of[0].dir, "serve")
	m.of[0].url = m.of[0].waitFor(`msg=serving listen=(\S+)`)[0]

	release = m.holdPolls()
	m.held(len(accounts))
	stopped := m.of[1].cmd.Process
	if err := stopped.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	release() // its answers wait for it
	m.allSeen("a machine is stopped in its rounds", goesOn, m.of[0], m.of[2])
	if err := stopped.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.allSeen("it goes on", time.Minute, m.of...)

	name := m.database[strings.LastIndex(m.database[:strings.Index(m.database, "?")], "/")+1 : strings.Index(m.database, "?")]
	whole := m.database
	m.database = strings.Replace(m.database, "/"+name+"?", "/postgres?", 1)
	m.query(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS false`)
	m.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + name + `'`)
	time.Sleep(20 * time.Second)
	m.query(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS true`)
	m.database = whole
	m.allSeen("the database was away", goesOn, m.of...)

	for i, s := range m.of {
		for name, box := range m.boxes {
			_, list := m.dav(s, "PROPFIND", name, calendarPath(name), "")
			if have, want := strings.Count(list, ".ics</"), len(box.Calendar().Instances(time.Now().AddDate(0, -1, 0), time.Now().AddDate(0, 1, 0))); have != want {
				t.Errorf("machine %d serves %d events of %s, not %d", i, have, name, want)
			}
		}
	}
	m.check()
	for _, s := range m.of {
		begin := time.Now()
		s.end(syscall.SIGTERM)
		t.Log(fmt.Sprint("it ended after ", time.Since(begin).Round(100*time.Millisecond)))
	}
}

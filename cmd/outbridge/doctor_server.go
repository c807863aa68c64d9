package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

// clockMayDiffer is how far the clocks of this machine and of the database's may be apart: leases and tickets end by them.
const clockMayDiffer = 10 * time.Second

// server checks the key and a database on a PostgreSQL server, without creating or migrating anything.
func (d *doctor) server(noKey bool) {
	const check = "database"
	state, err := sqlstore.InspectServer(d.ctx, d.c.databaseURL())
	if err != nil {
		d.broken(check, serverFix(err), "%v", err)
		d.skip("key", "whether it is the database's is not known")
		return
	}
	d.began = !state.Empty
	key, ok := d.key(noKey)
	if !ok {
		return
	}
	for _, p := range d.serverProblems(state) {
		if p.broken {
			d.broken(check, p.fix, "%s", p.what)
			return
		}
		d.warn(check, p.fix, "%s", p.what)
	}
	if state.Empty || state.Schema == 0 {
		d.ok("key", "%s", d.c.KeyFile)
		d.broken(check, "Run `outbridge login "+d.firstAccount()+"`, then `outbridge serve`; or `outbridge migrate` with a database that you have.", "%s is empty", d.c.Database)
		return
	}
	if !d.keyFits(sqlstore.CheckServerKey(d.ctx, d.c.databaseURL(), key)) {
		return
	}
	if state.Schema < sqlstore.Schema() {
		d.warn(check, "Restart the servers, one after the other.", "%s has schema %d, of an older version; this version uses %d", d.c.Database, state.Schema, sqlstore.Schema())
		return
	}
	defer d.machines()
	d.openStore(fmt.Sprintf("%s, PostgreSQL %s, schema %d, %d of %d connections in use", d.c.Database, state.Version, state.Schema, state.Connections, state.MaxConnections))
}

// machines tells which servers use the database.
func (d *doctor) machines() {
	const check = "machines"
	if d.p == nil || d.p.store == nil {
		return
	}
	list, now, err := d.p.store.Machines(d.ctx)
	if err != nil {
		d.broken(check, seeMessage, "%v", err)
		return
	}
	var there []string
	for _, m := range list {
		age := now.Sub(m.Seen).Round(time.Second)
		switch {
		case age >= bridge.MachineLife:
			d.warn(check, "Look why it has stopped, or ignore this if it is meant to be gone: it is forgotten a day after it was last seen.", "%s (%s) was last seen %s ago; the others do its work", m.Name, m.ID, age)
			continue
		case m.Schema < sqlstore.Schema():
			d.warn(check, "Give it this version too, when it suits.", "%s (%s) runs version %s, which is older than this one", m.Name, m.ID, m.Version)
		}
		there = append(there, fmt.Sprintf("%s (%s, version %s)", m.Name, m.ID, m.Version))
	}
	if len(there) == 0 {
		d.warn(check, "Run `outbridge serve`.", "no server uses the database now")
		return
	}
	d.serving = true
	d.ok(check, "%s", strings.Join(there, ", "))
}

// serverProblem is something about a server that is not as it should be.
type serverProblem struct {
	what, fix string
	broken    bool // so that it cannot be used
}

func (d *doctor) serverProblems(s sqlstore.ServerState) (all []serverProblem) {
	add := func(broken bool, fix, format string, args ...any) {
		all = append(all, serverProblem{fmt.Sprintf(format, args...), fix, broken})
	}
	if s.Number < sqlstore.OldestServer {
		add(true, "Use PostgreSQL 13 or newer.", "the server is PostgreSQL %s", s.Version)
	}
	if s.ReadOnly {
		add(true, "Name the primary in database, or all hosts with target_session_attrs=read-write.", "%s is a standby, or read-only", d.c.Database)
	}
	if !s.MayCreate && s.Schema < sqlstore.Schema() {
		add(true, "Make the user owner of the database, or grant it: GRANT CREATE ON SCHEMA public TO the user.", "the user %s may create no tables", s.User)
	}
	if !s.Owner && s.Schema > 0 {
		add(false, "Give the tables to the user: REASSIGN OWNED, or ALTER TABLE … OWNER TO; else the next upgrade cannot change them.", "the tables do not belong to the user %s", s.User)
	}
	if s.Clock < -clockMayDiffer || s.Clock > clockMayDiffer {
		add(false, "Set the clocks by NTP.", "the server's clock and this machine's are %v apart", s.Clock.Abs().Round(time.Second))
	}
	if left := s.MaxConnections - s.Reserved - s.Connections; int(s.Pool) > left {
		add(false, "Set pool_max_conns in database lower, or max_connections of the server higher: each machine takes up to the former.", "this machine may take %d connections, and %d of the server's %d are free", s.Pool, max(left, 0), s.MaxConnections)
	}
	if !s.Durable {
		add(false, "Set fsync, full_page_writes and synchronous_commit to on.", "the server does not wait for its disk: a power cut may lose what clients were told")
	}
	if !s.Encrypted && !s.Local {
		add(false, "Add sslmode=verify-full to database, and sslrootcert= if the server's certificate is of an authority of your own.", "the connection to %s is not encrypted", d.c.Database)
	}
	return all
}

// serverFix is what to do about a server that cannot be used.
func serverFix(err error) string {
	var e *sqlstore.ServerError
	if !errors.As(err, &e) {
		return seeMessage
	}
	switch e.Trouble {
	case sqlstore.ServerUnreachable:
		return "Check the address in database, that the server runs, and what is between: pg_isready tells."
	case sqlstore.ServerRefuses:
		return "Check user, password, database and TLS in its URL: psql with the same URL tells. pg_hba.conf of the server says who gets in."
	case sqlstore.ServerForbids:
		return "Make the user owner of the database, or grant it CREATE on its schema."
	case sqlstore.ServerReadOnly:
		return "Give the address of the primary."
	case sqlstore.ServerTaken:
		return "Name an empty database, or a schema of its own with search_path= in the URL."
	case sqlstore.ServerBusy:
		return "Look at pg_stat_activity of the server, and at its log."
	case sqlstore.ServerFull:
		return "Make room on the server."
	}
	return seeMessage
}

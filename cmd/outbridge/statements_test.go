package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"outbridge/bridge/sqlstore/pgtest"
)

// TestIdleRoundStatements: what a round of an account in which nothing has changed asks PostgreSQL for. The account is read once.
func TestIdleRoundStatements(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, "shared_preload_libraries=pg_stat_statements")
	database := server.URL("idle")
	admin, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	for _, query := range []string{`CREATE DATABASE idle`, `CREATE EXTENSION pg_stat_statements`} {
		if _, err := admin.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	var accounts []string
	for i := range 10 {
		accounts = append(accounts, fmt.Sprintf("user%d", i))
	}
	m := newMachinesOn(t, database, 1, accounts...)
	rounds := func() (n int) {
		for _, r := range m.Requests() {
			if strings.Contains(r.Path, "/delta?") {
				n++
			}
		}
		return n
	}
	eventually(t, "the first rounds do not end", func() bool { return rounds() >= 3*len(accounts) })
	m.ResetRequests()
	if _, err := admin.Exec(t.Context(), `SELECT pg_stat_statements_reset()`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no rounds come", func() bool { return rounds() >= 3*len(accounts) })
	n := float64(rounds())
	rows, err := admin.Query(t.Context(), `SELECT regexp_replace(query, '\s+', ' ', 'g'), calls, rows, wal_bytes::float8 FROM pg_stat_statements JOIN pg_database ON oid = dbid
		WHERE datname = 'idle' ORDER BY calls DESC`)
	if err != nil {
		t.Fatal(err)
	}
	all, each, reads, wal := 0.0, 0.0, 0.0, 0.0
	var list []string
	for rows.Next() {
		var query string
		var calls, got, octets float64
		if err := rows.Scan(&query, &calls, &got, &octets); err != nil {
			t.Fatal(err)
		}
		all += calls
		wal += octets
		if calls/n > 0.9 { // else it is of many rounds, or of none
			each += calls
		}
		if strings.Contains(query, "FROM account WHERE name = $") {
			reads += calls
		}
		list = append(list, fmt.Sprintf("%5.2f  %5.2f rows  %6.0f octets of WAL  %.150s", calls/n, got/n, octets/n, query))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("of %.0f rounds: %.2f statements and %.0f octets of WAL each\n%s", n, all/n, wal/n, strings.Join(list, "\n"))
	if reads > 1.2*n {
		t.Errorf("the account is read %.2f times a round", reads/n)
	}
	if each > 9.5*n {
		t.Errorf("%.2f statements that each round makes", each/n)
	}
}

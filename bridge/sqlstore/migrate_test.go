package sqlstore

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore/pgtest"
)

// TestSchemasAreOne: both databases have the same tables with the same columns, and every text of PostgreSQL's compares as octets.
func TestSchemasAreOne(t *testing.T) {
	t.Parallel()
	file := openDatabase(t, filepath.Join(t.TempDir(), "outbridge.db"), freshKey())
	server := openDatabase(t, pgtest.URL(t), freshKey())
	columns := func(s *Store, query string) map[string]string {
		all := map[string]string{}
		rows := must(s.read.Query(query))(t)
		defer rows.Close()
		for rows.Next() {
			var column, what string
			if err := rows.Scan(&column, &what); err != nil {
				t.Fatal(err)
			}
			all[column] = what
		}
		return all
	}
	want := columns(file, `
		SELECT m.name || '.' || c.name,
			CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' WHEN 'TEXT' THEN 'text' ELSE c.type END ||
			CASE WHEN c."notnull" OR c.pk > 0 THEN '' ELSE ' null' END
		FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%'`)
	got := columns(server, `
		SELECT table_name || '.' || column_name, data_type || CASE WHEN is_nullable = 'YES' THEN ' null' ELSE '' END
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT LIKE 'goose_%'`)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for column, collation := range columns(server, `
		SELECT table_name || '.' || column_name, coalesce(collation_name, 'none')
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT LIKE 'goose_%' AND data_type = 'text'`) {
		if collation != "C" {
			t.Errorf(`%s is not COLLATE "C"`, column)
		}
	}
	names := func(kind string) (list []string) {
		for _, e := range must(fs.ReadDir(migrations, "migrations/"+kind))(t) {
			number, _, _ := strings.Cut(e.Name(), "_")
			if kind == "postgres" || number >= "0016" {
				list = append(list, number)
			}
		}
		return list
	}
	if d := cmp.Diff(names("sqlite"), names("postgres")); d != "" {
		t.Errorf("the migrations have not the same numbers: %s", d)
	}
}

// TestSchema15: what searches look for is taken out of the events that are there, and differences keep their order.
func TestSchema15(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outbridge.db")
	names := must(fs.Glob(migrations, "migrations/sqlite/*.sql"))(t)
	names = slices.DeleteFunc(names, func(name string) bool { return filepath.Base(name) >= "0016" })
	db := atMigrations(t, path, names)
	for _, query := range []string{
		`INSERT INTO account (name) VALUES ('alice')`,
		`INSERT INTO calendar (account_id, graph_id, name, display_name, color, can_edit, is_default, owner, position, epoch, modified)
			VALUES (1, 'AAMk=', 'calendar', 'Calendar', '', 1, 1, 'alice@x.example', 1, 'e', 7)`,
		`INSERT INTO event (calendar_id, id, series, kind, round, raw) VALUES (1, 'A', 'A', 'single', 1, CAST('{"subject":"Lunch","iCalUId":"0400"}' AS BLOB)),
			(1, 'B', 'B', 'single', 1, CAST('{}' AS BLOB)), (1, 'C', 'C', 'single', 1, CAST('nonsense' AS BLOB))`,
		`INSERT INTO audit_difference VALUES (1, 'A', '', 20, 21, NULL, NULL), (1, 'B', 'Before', 20, 21, NULL, NULL)`,
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	s := openDatabase(t, path, freshKey())
	for _, text := range []string{"lunch", "0400", "A"} {
		found := must(s.FindSeries(t.Context(), "alice", text, 5))(t)
		if len(found) != 1 || found[0].Series != "A" || found[0].Subject != "Lunch" {
			t.Errorf("%s: %+v", text, found)
		}
	}
	list := must(s.Differences(t.Context(), 1))(t)
	if len(list) != 2 || list[0].Subject != "Lunch" || list[1].Subject != "Before" {
		t.Errorf("%+v", list)
	}
}

// atMigrations is a database that only these migrations have made.
func atMigrations(t *testing.T, database string, names []string) *sql.DB {
	t.Helper()
	driver, dialect := "sqlite", goose.DialectSQLite3
	if IsServer(database) {
		driver, dialect = "pgx", goose.DialectPostgres
	}
	db := must(sql.Open(driver, database))(t)
	files := fstest.MapFS{}
	for _, name := range names {
		files[filepath.Base(name)] = &fstest.MapFile{Data: must(migrations.ReadFile(name))(t)}
	}
	if _, err := must(goose.NewProvider(dialect, db, files))(t).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestFindSeries: a series is found by an id, by its iCalUId and by a part of its subject, and stands at the first row that was found.
func TestFindSeries(t *testing.T) { forEach(t, testFindSeries) }

func testFindSeries(t *testing.T, s *Store) {
	c := calendar(t, s)
	of := func(id, series, kind, subject string, hours int) bridge.Row {
		r := row(id, series, kind, 1)
		r.Subject, r.ICalUID = subject, "uid-"+id
		r.Span.Start = now.Add(hour(hours))
		r.Span.End = now.Add(hour(hours + 1))
		return r
	}
	mirror(t, s, &c, bridge.MirrorPage{Rows: []bridge.Row{
		of("M", "M", bridge.KindMaster, "Team Lunch", 3), of("occurrence", "M", bridge.KindOccurrence, "", 1), of("X", "X", bridge.KindSingle, "lunch % with bob", 2),
		of("Y", "Y", bridge.KindSingle, "Dinner", 0),
	}})
	for text, want := range map[string][]string{"LUNCH": {"X", "M"}, "occurrence": {"M"}, "uid-Y": {"Y"}, "%": {"X"}, "uid-": nil, "nothing": nil} {
		var got []string
		for _, f := range must(s.FindSeries(t.Context(), "", text, 5))(t) {
			got = append(got, string(f.Series))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
	if f := must(s.FindSeries(t.Context(), "alice", "Team", 5))(t); len(f) != 1 || !f[0].Start.Equal(now.Add(hour(3))) {
		t.Errorf("%+v", f)
	}
}

// TestNewerServer: a schema that is newer is refused, unless its migrations say that this program goes on with it.
func TestNewerServer(t *testing.T) {
	t.Parallel()
	database, key := pgtest.URL(t), freshKey()
	s := openDatabase(t, database, key)
	calendar(t, s)
	if _, err := s.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	open := func() error {
		again, err := Open(t.Context(), database, key)
		if err == nil {
			_, err = again.Account(t.Context(), "alice")
			again.Close()
		}
		return err
	}
	refused := func(when string) {
		t.Helper()
		if err := open(); err == nil || !strings.Contains(err.Error(), "newer outbridge (schema 9999") {
			t.Errorf("%s: %v", when, err)
		}
	}
	if _, err := s.write.Exec(`DELETE FROM meta WHERE key = '` + metaCompatible + `'`); err != nil {
		t.Fatal(err)
	}
	refused("nothing is said of it")
	for oldest, fine := range map[int64]bool{Schema() - 1: true, Schema(): true, Schema() + 1: false} {
		if err := s.setMeta(t.Context(), metaCompatible, fmt.Append(nil, oldest)); err != nil {
			t.Fatal(err)
		}
		if !fine {
			refused("only newer programs go on with it")
		} else if err := open(); err != nil {
			t.Errorf("compatible with %d: %v", oldest, err)
		}
	}
}

// TestCompatible: a database says which older programs go on with it, and the migrations since have only added to it.
func TestCompatible(t *testing.T) {
	t.Parallel()
	s := openDatabase(t, pgtest.URL(t), freshKey())
	if said := must(s.meta(t.Context(), metaCompatible))(t); string(said) != fmt.Sprint(oldestCompatible) {
		t.Errorf("it says %q", said)
	}
	more := regexp.MustCompile(`(?i)\b(?:DROP|RENAME|ALTER COLUMN|UPDATE|DELETE FROM|TRUNCATE|INSERT)\b`)
	added := regexp.MustCompile(`(?i)ADD COLUMN [^;]*NOT NULL[^;]*;`)
	files := must(fs.Glob(migrations, "migrations/postgres/*.sql"))(t)
	for _, file := range files {
		var number int64
		if _, err := fmt.Sscanf(path.Base(file), "%d_", &number); err != nil {
			t.Fatal(err)
		}
		if number <= oldestCompatible {
			continue
		}
		text := string(must(fs.ReadFile(migrations, file))(t))
		if found := more.FindString(text); found != "" {
			t.Errorf("%s does more than add (%s), so oldestCompatible has to be %d", file, found, number)
		}
		for _, column := range added.FindAllString(text, -1) {
			if !strings.Contains(strings.ToUpper(column), "DEFAULT") {
				t.Errorf("%s: an older program does not fill in %s", file, column)
			}
		}
	}
}

// TestMachinesStartAtOnce: one of them makes the schema.
func TestMachinesStartAtOnce(t *testing.T) {
	t.Parallel()
	database, key := pgtest.URL(t), freshKey()
	var all sync.WaitGroup
	for n := range 6 {
		all.Go(func() {
			s, err := Open(t.Context(), database, key)
			if err == nil {
				_, err = s.EnsureAccount(t.Context(), "alice")
				s.Close()
			}
			if err != nil {
				t.Errorf("machine %d: %v", n, err)
			}
		})
	}
	all.Wait()
}

func hour(n int) time.Duration { return time.Duration(n) * time.Hour }

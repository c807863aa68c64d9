//go:build load

package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore/pgtest"
)

// What TestManyMachines measures. The rounds of 10,000 accounts in five minutes are as many a second whatever is chosen.
var (
	crowdMailboxes = fromEnvironment("CROWD_MAILBOXES", 100)                      // accounts with a mailbox of their own, whose first sync is measured; at least crowdClients for TestManyMachines
	crowdAccounts  = max(fromEnvironment("CROWD_ACCOUNTS", 1000), crowdMailboxes) // that are polled
	crowdInterval  = time.Duration(crowdAccounts) * 30 * time.Millisecond
	crowdWatched   = max(crowdInterval, 150*time.Second)
)

// crowdTokensKept is how many cursors Outlook remembers: all of ten minutes, since an idle round keeps the one that it has for five.
var crowdTokensKept = max(20*crowdAccounts, 20_000)

const (
	crowdEvents  = 200 // of each mailbox, a tenth of them series
	crowdClients = 40  // accounts that clients poll
	crowdServers = 3
	crowdLate    = 15 * time.Second // that a round may come after its time
)

func fromEnvironment(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// crowd are several servers on one PostgreSQL, for very many accounts.
type crowd struct {
	*testing.T
	sim      *graphsim.Server
	outlook  string // URL
	binary   string
	dir      string
	server   *pgtest.Server
	database string
	db       *pgxpool.Pool
	servers  []*crowdServer
	password map[string]string // by account
	broken   int               // rules of Graph by the first syncs: the two databases ask for the same mailboxes

	delay atomic.Int64 // of answers to requests for changes, in nanoseconds

	mu    sync.Mutex
	asked map[string][]time.Time // for changes, by account
	other int                    // requests for anything else
}

type crowdServer struct {
	cmd     *exec.Cmd
	address string
}

// TestManyMachines runs three servers on a real PostgreSQL for very many accounts and prints what that costs: the first sync of some,
// beside that of one server with SQLite; polls of clients; idle rounds. Then it kills one of the servers under load. Only a part of
// the accounts is synced, and their rows are multiplied; the others read the same mailboxes, under addresses of their own.
func TestManyMachines(t *testing.T) {
	c := newCrowd(t)
	c.firstSyncs()
	c.addPasswords()
	c.multiply()
	c.polls()
	c.idle()
	c.killOne()
}

// TestManyFirstSyncs is the beginning of TestManyMachines alone, for more mailboxes than make bench has time for: CROWD_MAILBOXES=1000.
func TestManyFirstSyncs(t *testing.T) { newCrowd(t).firstSyncs() }

// firstSyncs compares the first sync on SQLite with that on PostgreSQL.
func (c *crowd) firstSyncs() {
	c.Helper()
	one := c.firstSync("SQLite, one server", filepath.Join(c.dir, "one.db"), 1)
	many := c.firstSync(fmt.Sprintf("PostgreSQL, %d servers", crowdServers), c.database, crowdServers)
	row("first sync, PostgreSQL to SQLite", fmt.Sprintf("%.2f of the time", many.wall.Seconds()/one.wall.Seconds()),
		fmt.Sprintf("%.2f of the processor time", many.all().Seconds()/one.all().Seconds()))
	c.stop()
}

func newCrowd(t *testing.T) *crowd {
	dir := t.TempDir()
	c := &crowd{T: t, dir: dir, binary: buildBinary(t, dir), password: map[string]string{}, asked: map[string][]time.Time{},
		sim: &graphsim.Server{ClientSecret: "secret", MaxPage: 200, Tokens: crowdTokensKept}}
	for i := range crowdMailboxes {
		box := c.sim.AddMailbox(address(i), crowdName(i), "W. Europe Standard Time")
		fill(box.Calendar(), crowdEvents, i)
		for n := i + crowdMailboxes; n < crowdAccounts; n += crowdMailboxes {
			box.AddAddress(address(n))
		}
	}
	outlook := httptest.NewServer(http.HandlerFunc(c.serveOutlook))
	t.Cleanup(outlook.Close)
	c.outlook = outlook.URL
	c.server = pgtest.Start(t, "fsync=on", "full_page_writes=on", "autovacuum=on", "jit=on", "shared_buffers=128MB",
		"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_utility=on")
	c.database = c.server.URL("crowd")
	admin, err := pgxpool.New(t.Context(), c.server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Exec(t.Context(), `CREATE DATABASE crowd`); err != nil {
		t.Fatal(err)
	}
	if c.db, err = pgxpool.New(t.Context(), c.database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.db.Close)
	c.exec(`CREATE EXTENSION pg_stat_statements`)
	t.Cleanup(c.stop)
	return c
}

func crowdName(i int) string { return fmt.Sprintf("user%d", i) }
func address(i int) string   { return crowdName(i) + "@contoso.example" }

var userInPath = regexp.MustCompile(`^/v1\.0/users/(user\d+)@`)

// serveOutlook notes which account asks for changes, and when.
func (c *crowd) serveOutlook(w http.ResponseWriter, r *http.Request) {
	if user := userInPath.FindStringSubmatch(r.URL.Path); user != nil {
		changes := strings.HasSuffix(r.URL.Path, "/delta")
		c.mu.Lock()
		if changes {
			c.asked[user[1]] = append(c.asked[user[1]], time.Now())
		} else {
			c.other++
		}
		c.mu.Unlock()
		if d := time.Duration(c.delay.Load()); changes && d > 0 {
			<-time.After(d)
		}
	}
	c.sim.ServeHTTP(w, r)
}

// forget empties what was noted of requests.
func (c *crowd) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.other = map[string][]time.Time{}, 0
}

// noted are the requests for changes by account, and how many others there were.
func (c *crowd) noted() (asked map[string][]time.Time, other int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked = map[string][]time.Time{}
	for account, list := range c.asked {
		asked[account] = slices.Clone(list)
	}
	return asked, c.other
}

// start starts servers on a database, for the first accounts.
func (c *crowd) start(database string, servers, accounts int, interval time.Duration) {
	c.Helper()
	c.servers = nil
	var list strings.Builder
	for i := range accounts {
		fmt.Fprintf(&list, "[[account]]\nname = %q\nmailbox = %q\naccess = \"read-write\"\n", crowdName(i), address(i))
	}
	for n := range servers {
		s := &crowdServer{address: freeAddress(c.T)}
		conf := fmt.Sprintf("listen = %q\npublic_url = \"http://127.0.0.1:1\"\nlog_level = \"warn\"\ndatabase = %q\nkey_file = %q\n[sync]\ninterval = %q\n[microsoft]\ncloud = \"custom\"\nlogin_url = %[5]q\ngraph_url = %[5]q\nclient_id = \"load\"\ntenant = \"contoso.example\"\nclient_secret_file = %[6]q\n",
			s.address, database, filepath.Join(c.dir, "key"), interval, c.outlook, filepath.Join(c.dir, "secret"))
		for name, text := range map[string]string{c.conf(n): conf + list.String(), filepath.Join(c.dir, "secret"): "secret"} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				c.Fatal(err)
			}
		}
		s.cmd = exec.Command(c.binary, "serve", "--config", c.conf(n))
		s.cmd.Stderr = os.Stderr
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		c.servers = append(c.servers, s)
		if n == 0 { // it makes the key
			if err := s.cmd.Start(); err != nil {
				c.Fatal(err)
			}
			awaitHTTP(c.T, "http://"+s.address+"/readyz")
		}
	}
	for _, s := range c.servers[1:] {
		if err := s.cmd.Start(); err != nil {
			c.Fatal(err)
		}
	}
}

func (c *crowd) conf(n int) string { return filepath.Join(c.dir, fmt.Sprintf("outbridge%d.toml", n)) }

// answering waits until all servers answer.
func (c *crowd) answering() {
	c.Helper()
	for _, s := range c.servers {
		awaitHTTP(c.T, "http://"+s.address+"/readyz")
	}
}

func (c *crowd) stop() {
	for _, s := range c.servers {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, s := range c.servers {
		_ = s.cmd.Wait()
	}
	c.servers = nil
}

func (c *crowd) exec(query string, args ...any) {
	c.Helper()
	if _, err := c.db.Exec(c.Context(), query, args...); err != nil {
		c.Fatalf("%s: %v", query, err)
	}
}

func (c *crowd) number(query string, args ...any) (n float64) {
	c.Helper()
	if err := c.db.QueryRow(context.WithoutCancel(c.Context()), query, args...).Scan(&n); err != nil {
		c.Fatalf("%s: %v", query, err)
	}
	return n
}

// cost is what something has taken.
type cost struct {
	wall, bridge, postgres time.Duration // time, and processor time
	wal, written           float64       // octets of WAL, rows
	commits                float64
}

func (a cost) all() time.Duration { return a.bridge + a.postgres }

func (c *crowd) now(began time.Time) (now cost) {
	c.Helper()
	now.wall = time.Since(began)
	for _, s := range c.servers {
		if s.cmd.ProcessState == nil {
			now.bridge += cpuTime(c.T, s.cmd.Process.Pid)
		}
	}
	now.postgres = familyTime(c.T, c.server.PID(c.T))
	now.wal = c.number(`SELECT wal_bytes FROM pg_stat_wal`)
	now.written = c.number(`SELECT tup_inserted + tup_updated + tup_deleted FROM pg_stat_database WHERE datname = current_database()`)
	now.commits = c.number(`SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
	return now
}

func (a cost) since(b cost) cost {
	return cost{a.wall - b.wall, a.bridge - b.bridge, a.postgres - b.postgres, a.wal - b.wal, a.written - b.written, a.commits - b.commits}
}

// familyTime is what a process has used so far, with its children, also those that have ended.
func familyTime(t *testing.T, pid int) (used time.Duration) {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		self, rest, _ := strings.Cut(string(b), " ")
		fields := strings.Fields(rest[strings.LastIndexByte(rest, ')')+1:]) // from the third on, "state"
		of := []int{11, 12}
		if self == strconv.Itoa(pid) {
			of = append(of, 13, 14)
		} else if fields[1] != strconv.Itoa(pid) {
			continue
		}
		for _, i := range of {
			ticks, _ := strconv.ParseInt(fields[i], 10, 64)
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}

// firstSync has servers sync the accounts that have mailboxes of their own.
func (c *crowd) firstSync(what, database string, servers int) cost {
	c.Helper()
	count := func() int { return int(c.number(`SELECT count(*) FROM calendar WHERE good IS NOT NULL`)) }
	if !strings.HasPrefix(database, "postgres:") {
		file, err := sql.Open("sqlite", "file:"+database+"?mode=ro&_pragma=busy_timeout(10000)")
		if err != nil {
			c.Fatal(err)
		}
		defer file.Close()
		count = func() (n int) {
			if err := file.QueryRowContext(c.Context(), `SELECT count(*) FROM calendar WHERE good IS NOT NULL`).Scan(&n); err != nil {
				c.Fatal(err)
			}
			return n
		}
	}
	c.resetStatements()
	began := time.Now()
	before := cost{postgres: familyTime(c.T, c.server.PID(c.T)), wal: c.number(`SELECT wal_bytes FROM pg_stat_wal`)}
	c.start(database, servers, crowdMailboxes, time.Hour)
	for count() < crowdMailboxes {
		if time.Since(began) > 20*time.Minute {
			c.Fatal("the first sync takes longer than 20 minutes")
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := c.now(began).since(before)
	row(fmt.Sprintf("first sync, %d mailboxes, %s", crowdMailboxes, what), fmt.Sprintf("%.1f s", took.wall.Seconds()),
		fmt.Sprintf("CPU time: servers %.1f s, PostgreSQL %.1f s; WAL %.1f MiB", took.bridge.Seconds(), took.postgres.Seconds(), took.wal/(1<<20)))
	if servers == 1 {
		c.stop()
		took.postgres = 0
	} else {
		calls, list := c.statements(float64(crowdMailboxes*crowdEvents), 0.5)
		row("statements of the first sync", fmt.Sprintf("%.2f an event", calls/float64(crowdMailboxes*crowdEvents)), "")
		for _, s := range list[:min(15, len(list))] {
			fmt.Println("   ", s)
		}
	}
	c.broken = len(c.sim.Violations())
	return took
}

func (c *crowd) addPasswords() {
	c.Helper()
	for i := range crowdClients {
		cmd := exec.Command(c.binary, "password", "add", crowdName(i), "--json", "--config", c.conf(0))
		out, err := cmd.Output()
		var p struct{ Password string }
		if err != nil || json.Unmarshal(out, &p) != nil {
			c.Fatalf("password add: %v: %s", err, out)
		}
		c.password[crowdName(i)] = p.Password
	}
}

// multiply makes the rows of all accounts from those that were synced. Each of the others has a password too.
func (c *crowd) multiply() {
	c.Helper()
	began := time.Now()
	quick, err := c.db.Acquire(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	defer quick.Release()
	exec := func(query string, args ...any) {
		if _, err := quick.Exec(c.Context(), query, args...); err != nil {
			c.Fatalf("%s: %v", query, err)
		}
	}
	exec(`SET session_replication_role = replica`) // what is copied needs no check of what it refers to
	defer exec(`RESET session_replication_role`)
	insert := func(table, join string, instead map[string]string) {
		var columns []string
		rows, err := c.db.Query(c.Context(), `SELECT column_name::text FROM information_schema.columns WHERE table_name = $1 AND table_schema = 'public' ORDER BY ordinal_position`, table)
		if err != nil {
			c.Fatal(err)
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				c.Fatal(err)
			}
			if name != "id" || table == "event" || table == "series" || table == "chunk" {
				columns = append(columns, name)
			}
		}
		if err := rows.Err(); err != nil {
			c.Fatal(err)
		}
		values := make([]string, len(columns))
		for i, name := range columns {
			values[i] = "r." + name
			if with := instead[name]; with != "" {
				values[i] = with
			}
		}
		exec(fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM %s r %s`, table, strings.Join(columns, ", "), strings.Join(values, ", "), table, join))
	}
	c.exec(`CREATE TABLE copied AS SELECT n, 'user' || n AS name, a.id AS original FROM generate_series($1::bigint, $2::bigint) n JOIN account a ON a.name = 'user' || n % $1`, crowdMailboxes, crowdAccounts-1)
	insert("account", `JOIN copied ON r.id = copied.original`, map[string]string{"name": "copied.name", "mailbox": `regexp_replace(r.mailbox, '^user\d+', copied.name)`})
	insert("calendar", `JOIN copied ON r.account_id = copied.original JOIN account made ON made.name = copied.name`, map[string]string{
		"account_id": "made.id", "epoch": "r.epoch || copied.n", "cursor": `regexp_replace(r.cursor, '/users/user\d+', '/users/' || copied.name)`})
	var indexes []string
	list, err := quick.Query(c.Context(), `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename IN ('series', 'event', 'chunk', 'object') AND indexname NOT LIKE '%_pkey'`)
	if err != nil {
		c.Fatal(err)
	}
	drops, err := pgx.CollectRows(list, func(row pgx.CollectableRow) (name string, err error) {
		indexes = append(indexes, "")
		err = row.Scan(&name, &indexes[len(indexes)-1])
		return "DROP INDEX " + name, err
	})
	if err != nil {
		c.Fatal(err)
	}
	for _, drop := range drops {
		exec(drop)
	}
	for _, table := range []string{"series", "event", "chunk", "stretch", "object"} {
		insert(table, `JOIN calendar c ON c.id = r.calendar_id JOIN copied ON c.account_id = copied.original JOIN account made ON made.name = copied.name JOIN calendar of ON of.account_id = made.id AND of.graph_id = c.graph_id`,
			map[string]string{"calendar_id": "of.id"})
	}
	for _, index := range indexes {
		exec(index)
	}
	c.exec(`INSERT INTO password ("user", label, hash, created) SELECT name, 'phone', sha256(name::bytea), 0 FROM copied`)
	c.exec(`DROP TABLE copied`)
	c.exec(`VACUUM (ANALYZE)`)
	row(fmt.Sprintf("%d accounts of %d events", crowdAccounts, crowdEvents), fmt.Sprintf("%.0f MiB of database", c.number(`SELECT pg_database_size(current_database())`)/(1<<20)), fmt.Sprintf("made in %.0f s", time.Since(began).Seconds()))
}

// statements are those since the last reset, with how often they ran and what they wrote, for each of n things.
func (c *crowd) statements(n float64, least float64) (calls float64, list []string) {
	c.Helper()
	rows, err := c.db.Query(c.Context(), `
		SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 110), calls, rows, wal_bytes::float8, total_exec_time FROM pg_stat_statements JOIN pg_database ON oid = dbid
		WHERE datname = current_database() AND query NOT LIKE '%pg_stat%' ORDER BY total_exec_time DESC`)
	if err != nil {
		c.Fatal(err)
	}
	for rows.Next() {
		var query string
		var times, got, wal, ms float64
		if err := rows.Scan(&query, &times, &got, &wal, &ms); err != nil {
			c.Fatal(err)
		}
		calls += times
		if times/n >= least || wal/n >= 100 {
			list = append(list, fmt.Sprintf("%6.2f × %-110s %6.2f rows, %6.0f octets of WAL, %.3f ms", times/n, query, got/n, wal/n, ms/n))
		}
	}
	if err := rows.Err(); err != nil {
		c.Fatal(err)
	}
	return calls, list
}

func (c *crowd) resetStatements() { c.exec(`SELECT pg_stat_statements_reset()`) }

// polls are idle polls of clients, while no round is due.
func (c *crowd) polls() {
	c.start(c.database, crowdServers, crowdMailboxes, time.Hour)
	c.answering()
	defer c.stop()
	for i := range crowdClients {
		c.poll(crowdName(i), i%crowdServers) // the last use of the password is noted
	}
	time.Sleep(5 * time.Second) // the servers have started
	scans := `SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_user_tables WHERE relname IN ('password', 'account', 'calendar', 'object')`
	c.resetStatements()
	scanned, before := c.number(scans), c.now(time.Now())
	began := time.Now()
	time.Sleep(5 * time.Second)
	idle := c.now(began).since(before)
	c.resetStatements()
	before, began = c.now(time.Now()), time.Now()
	before.wall = 0
	var done atomic.Int64
	var clients sync.WaitGroup
	for i := range loadClients {
		clients.Go(func() {
			for n := i; time.Since(began) < 2*loadTime; n++ {
				c.poll(crowdName(n%crowdClients), n%crowdServers)
				done.Add(1)
			}
		})
	}
	clients.Wait()
	took, n := c.now(began).since(before), float64(done.Load())
	_, list := c.statements(n, 0.1)
	share := took.wall.Seconds() / 5
	row("idle polls of clients", fmt.Sprintf("%.0f a second", n/took.wall.Seconds()), fmt.Sprintf("CPU time of each: servers %.3f ms, PostgreSQL %.3f ms; %.2f transactions; %.0f whole tables read",
		1000*(took.bridge.Seconds()-share*idle.bridge.Seconds())/n, 1000*(took.postgres.Seconds()-share*idle.postgres.Seconds())/n, (took.commits-share*idle.commits)/n, c.number(scans)-scanned))
	row("servers with nothing to do", fmt.Sprintf("%.2f %% of one core", 100*idle.bridge.Seconds()/5), fmt.Sprintf("PostgreSQL %.2f %%", 100*idle.postgres.Seconds()/5))
	for _, s := range list {
		fmt.Println("   ", s)
	}
}

var crowdTokens sync.Map // by account

// poll asks a server whether anything has changed since the last time.
func (c *crowd) poll(account string, server int) {
	token, _ := crowdTokens.Load(account)
	if token == nil {
		token = ""
	}
	status, body, err := c.dav(c.servers[server].address, "REPORT", account, "", fmt.Sprintf(syncBody, token), nil)
	if next := regexp.MustCompile(`urn:outbridge:sync:[^<]+`).FindString(body); err == nil && status == http.StatusMultiStatus && next != "" {
		crowdTokens.Store(account, next)
		return
	}
	c.Errorf("poll of %s: %d, %v: %.200s", account, status, err, body)
}

var crowdHTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * loadClients, DisableCompression: true}, Timeout: 45 * time.Second}

// dav makes one request of a client, of an account's calendar or what is in it.
func (c *crowd) dav(server, method, account, name, body string, header map[string]string) (int, string, error) {
	r, err := http.NewRequest(method, "http://"+server+"/dav/calendars/"+account+"/calendar/"+name, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.SetBasicAuth(account, c.password[account])
	r.Header.Set("Depth", "1")
	r.Header.Set("Content-Type", "application/xml; charset=utf-8")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := crowdHTTP.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// idle are the rounds of all accounts, while nothing changes.
func (c *crowd) idle() {
	c.exec(`UPDATE river_job SET scheduled_at = now() + random() * $1 * interval '1 second' WHERE kind = 'round' AND state = 'scheduled'`, crowdInterval.Seconds())
	c.forget()
	c.start(c.database, crowdServers, crowdAccounts, crowdInterval)
	c.answering()
	began := time.Now()
	for { // until each has been polled, with the list of calendars that comes with the first round here
		if asked, _ := c.noted(); len(asked) == crowdAccounts {
			break
		}
		if time.Since(began) > 4*crowdInterval+2*time.Minute {
			c.Fatal("not every account is polled")
		}
		time.Sleep(time.Second)
	}
	row("all accounts polled after a start", fmt.Sprintf("%.0f s", time.Since(began).Seconds()), "")
	time.Sleep(crowdInterval / 10)
	earlier, _ := c.noted()
	c.forget()
	c.resetStatements()
	c.exec(`CHECKPOINT`) // from now on the first change of each page is a page of WAL, as every five minutes
	before := c.now(time.Now())
	before.wall = 0
	begin := time.Now()
	time.Sleep(crowdWatched)
	took := c.now(begin).since(before)
	asked, other := c.noted()
	rounds, late, worst := 0, 0, time.Duration(0)
	for i := range crowdAccounts {
		account := crowdName(i)
		rounds += len(asked[account])
		last := earlier[account][len(earlier[account])-1]
		for _, at := range append(asked[account], begin.Add(crowdWatched)) {
			gap := at.Sub(last) - crowdInterval
			worst = max(worst, gap)
			if gap > crowdLate {
				late++
			}
			last = at
		}
	}
	n := float64(rounds)
	row(fmt.Sprintf("idle rounds of %d accounts every %s", crowdAccounts, crowdInterval), fmt.Sprintf("%.1f a second", n/took.wall.Seconds()),
		fmt.Sprintf("%d of %d more than %s after their time, the latest %.1f s; %.2f further requests to Graph each", late, rounds, crowdLate, worst.Seconds(), float64(other)/n))
	row("an idle round", fmt.Sprintf("%.2f ms of CPU time", 1000*took.all().Seconds()/n), fmt.Sprintf("servers %.2f ms, PostgreSQL %.2f ms; %.2f rows written, %.0f octets of WAL, %.2f transactions",
		1000*took.bridge.Seconds()/n, 1000*took.postgres.Seconds()/n, took.written/n, took.wal/n, took.commits/n))
	calls, list := c.statements(n, 0.05)
	row("statements", fmt.Sprintf("%.2f a round", calls/n), "")
	for _, s := range list {
		fmt.Println("   ", s)
	}
	row("processor time in all", fmt.Sprintf("%.1f %% of one core", 100*took.all().Seconds()/took.wall.Seconds()), "")
	if late > rounds/1000 {
		c.Errorf("%d of %d rounds were late", late, rounds)
	}
}

// killOne kills a server while rounds run and clients read and write.
func (c *crowd) killOne() {
	ctx, end := context.WithCancel(c.Context())
	defer end()
	var clients sync.WaitGroup
	var requests, again, later, failed atomic.Int64
	var turn atomic.Int64
	// ask sends a request as a client behind a load balancer does: what fails is sent once more, to the next server.
	ask := func(method, account, name, body string, header map[string]string, good ...int) string {
		requests.Add(1)
		first := int(turn.Add(1))
		var said string
		for try := range 2 {
			status, text, err := c.dav(c.servers[(first+try)%crowdServers].address, method, account, name, body, header)
			if err == nil && slices.Contains(good, status) {
				again.Add(int64(try))
				return text
			}
			// A write that died with its server is another's to carry out once the lease has ended: until then a client is told to come again.
			for err == nil && method == "PUT" && status == http.StatusServiceUnavailable && ctx.Err() == nil {
				later.Add(1)
				time.Sleep(5 * time.Second)
				if status, text, err = c.dav(c.servers[(first+1)%crowdServers].address, method, account, name, body, header); err == nil && slices.Contains(good, status) {
					return text
				}
			}
			said += fmt.Sprintf(" %d %v %.300s;", status, err, text)
		}
		failed.Add(1)
		c.Errorf("%s of %s %s failed twice:%s", method, account, name, said)
		return ""
	}
	for i := range 2 * loadClients {
		clients.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				account := crowdName(n % crowdClients)
				ask("REPORT", account, "", fmt.Sprintf(syncBody, ""), nil, 207)
				ask("PROPFIND", account, "", ctagBody, nil, 207)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	wrote := make([]map[string]string, 2) // titles by account
	day := time.Now().UTC().AddDate(0, 0, 3).Format("20060102")
	for i := range wrote {
		wrote[i] = map[string]string{}
		clients.Go(func() {
			for n := 0; ctx.Err() == nil && n < 10_000; n++ {
				account, title := crowdName((2*n+i)%crowdClients), fmt.Sprintf("Written %d by %d", n, i)
				uid := fmt.Sprintf("written-%d-%d", n, i)
				ask("PUT", account, uid+".ics", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:"+uid+"\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:"+day+"T090000Z\r\nDTEND:"+day+"T100000Z\r\nSUMMARY:"+title+"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
					map[string]string{"Content-Type": "text/calendar", "If-None-Match": "*"}, 201, 204)
				wrote[i][title] = account
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	clients.Go(func() { // somebody works in Outlook
		for n := 0; ctx.Err() == nil; n++ {
			box := c.sim.AddMailbox(address(n%min(10, crowdMailboxes)), "", "")
			at := time.Now().UTC().Truncate(time.Hour).AddDate(0, 0, 5)
			box.Calendar().Create(graphsim.Event{Subject: fmt.Sprintf("In Outlook %d", n), Start: at, End: at.Add(time.Hour)})
			time.Sleep(500 * time.Millisecond)
		}
	})
	c.delay.Store(int64(2 * time.Second)) // so that many rounds run
	time.Sleep(5 * time.Second)
	victim := c.servers[0]
	var id string
	if err := c.db.QueryRow(ctx, `SELECT id FROM machine WHERE address LIKE '%' || $1 || '%' ORDER BY seen DESC LIMIT 1`, victim.address).Scan(&id); err != nil {
		c.Fatal(err)
	}
	// Jobs become due every few seconds, all at once.
	for until := time.Now().Add(time.Minute); c.number(`SELECT count(*) FROM river_job WHERE kind = 'round' AND state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = $1`, id) == 0 && time.Now().Before(until); {
		time.Sleep(50 * time.Millisecond)
	}
	_ = victim.cmd.Process.Kill()
	_ = victim.cmd.Wait()
	killed := time.Now()
	rows, err := c.db.Query(ctx, `SELECT args->>'account' FROM river_job WHERE kind = 'round' AND state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = $1`, id)
	if err != nil {
		c.Fatal(err)
	}
	held := map[string]bool{}
	for rows.Next() {
		var account string
		if err := rows.Scan(&account); err != nil {
			c.Fatal(err)
		}
		held[account] = true
	}
	c.delay.Store(0)
	c.forget()
	if len(held) == 0 {
		c.Error("the server that was killed had no round under way")
	}
	left := maps.Clone(held)
	for len(left) > 0 && time.Since(killed) < 4*time.Minute {
		time.Sleep(200 * time.Millisecond)
		asked, _ := c.noted()
		for account := range left {
			if len(asked[account]) > 0 {
				delete(left, account)
			}
		}
	}
	goneOn := time.Since(killed)
	row("a server of three is killed", fmt.Sprintf("%.0f s", goneOn.Seconds()), fmt.Sprintf("until the last of its %d rounds was begun anew", len(held)))
	if goneOn > 2*time.Minute {
		c.Errorf("accounts of a server that was killed went on after %s", goneOn)
	}
	end()
	clients.Wait()
	row("requests of clients meanwhile", fmt.Sprint(requests.Load()), fmt.Sprintf("%d sent a second time, %d failed then too; %d PUTs, told to come again %d times", again.Load(), failed.Load(), len(wrote[0])+len(wrote[1]), later.Load()))
	c.equal(wrote)
}

var summary = regexp.MustCompile(`SUMMARY:([^\r\n&]+)`)

// equal waits until every account has what is in its mailbox, and checks that clients get that and what they have written.
func (c *crowd) equal(wrote []map[string]string) {
	c.Helper()
	want := map[string]map[string]int{} // how often each title is there, by account
	total := 0
	for i := range crowdMailboxes {
		titles, known := map[string]int{}, map[graph.EventID]bool{}
		now := time.Now()
		for _, e := range c.sim.AddMailbox(address(i), "", "").Calendar().Instances(now.AddDate(0, 0, -110), now.AddDate(0, 11, 0)) {
			id := e.ID
			if e.SeriesMasterID != "" {
				id = e.SeriesMasterID
			}
			if !known[id] {
				known[id] = true
				titles[e.Subject]++
			}
		}
		want[crowdName(i)] = titles
		for n := i; n < crowdAccounts; n += crowdMailboxes {
			total += len(known)
		}
	}
	for _, of := range wrote {
		for title, account := range of {
			if n := want[account][title]; n != 1 {
				c.Errorf("%q of %s is %d times in Outlook", title, account, n)
			}
		}
	}
	began := time.Now()
	have := 0
	for time.Since(began) < 2*crowdInterval+2*time.Minute {
		if have = int(c.number(`SELECT count(*) FROM object WHERE deleted = 0`)); have == total {
			break
		}
		time.Sleep(2 * time.Second)
	}
	row("objects of all accounts afterwards", fmt.Sprint(have), fmt.Sprintf("%d in the mailboxes", total))
	if have != total {
		c.Errorf("%d objects, not %d", have, total)
	}
	for i := range crowdClients {
		account, titles := crowdName(i), map[string]int{}
		_, body, err := c.dav(c.servers[1+rand.IntN(crowdServers-1)].address, "REPORT", account, "", `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns="DAV:"><prop><C:calendar-data/></prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>`, nil)
		if err != nil {
			c.Fatal(err)
		}
		for _, found := range summary.FindAllStringSubmatch(body, -1) {
			titles[found[1]]++
		}
		if !maps.Equal(titles, want[account]) {
			c.Errorf("%s is served %d titles, and has %d in Outlook", account, len(titles), len(want[account]))
		}
	}
	if v := c.sim.Violations()[c.broken:]; len(v) > 0 {
		c.Errorf("Graph's rules were broken: %q", v[:min(5, len(v))])
	}
}

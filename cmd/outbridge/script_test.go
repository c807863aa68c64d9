package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore/pgtest"
)

func TestMain(m *testing.M) {
	// The ACME server of the tests is to answer at once and to refuse nothing that is right.
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	testscript.Main(m, map[string]func(){"outbridge": main})
}

// TestScripts runs the scripts of testdata/script, each with a folder and a simulated Outlook of its own. Beside the
// commands of package testscript they have these:
//
//	fails CODE outbridge ARG…     it exits with CODE and one line on standard error that begins with "outbridge: "
//	lines FILE N                  the file (or stdout, stderr) has N lines
//	json FILE PATH VALUE          the value at a dotted path of the JSON in the file; an array's length is its "len"
//	jsonenv FILE PATH NAME        that value becomes an environment variable
//	get [-u USER:PASSWORD] URL    an HTTP GET: standard output is the body, the file status the status
//	newer DATABASE                a later version of the program has written it
//	outlook VERB ARG…             what happens in Outlook; see (*world).do
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata/script", func(*testscript.Env) {}))
}

// TestServerScripts runs those of testdata/server, whose DATABASE is an empty one on a PostgreSQL server, and OTHER another. FILE is the name of the
// SQLite database that the configuration has by default.
func TestServerScripts(t *testing.T) {
	pgtest.Shared(t)
	testscript.Run(t, scripts("testdata/server", func(e *testscript.Env) {
		e.Setenv("DATABASE", pgtest.URL(t))
		e.Setenv("OTHER", pgtest.URL(t))
	}))
}

func scripts(dir string, set func(*testscript.Env)) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			set(e)
			sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
			box, ids := officeWeek(sim)
			o, err := startOutlook(sim, box)
			if err != nil {
				return err
			}
			e.Defer(o.stop)
			e.Values[worldKey{}] = &world{o, ids}
			e.Setenv("OUTLOOK", o.url)
			e.Setenv("CLIENT_ID", testClientID)
			e.Setenv("HOME", e.WorkDir)
			root, err := filepath.Abs("../..")
			e.Setenv("ROOT", root)
			if err != nil {
				return err
			}
			for file, client := range map[string]string{"outbridge.toml": testClientID, "wrongclient.toml": "not-ours"} {
				config := fmt.Sprintf("[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\nclient_id = %q\n\n[[account]]\nname = \"alice\"\n",
					o.url, o.url, client)
				if err := os.WriteFile(filepath.Join(e.WorkDir, file), []byte(config), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"fails":   scriptFails,
			"lines":   scriptLines,
			"json":    scriptJSON,
			"jsonenv": scriptJSONEnv,
			"get":     scriptGet,
			"newer":   scriptNewer,
			"outlook": func(ts *testscript.TestScript, neg bool, args []string) { ts.Value(worldKey{}).(*world).do(ts, args) },
		},
	}
}

type worldKey struct{}

// world is what a script's Outlook holds.
type world struct {
	*outlook
	ids map[string]graph.EventID
}

// do makes something happen in Outlook:
//
//	change SUBJECT                another location
//	move SUBJECT                  one hour later
//	cancel SUBJECT                the occurrence of the day after tomorrow is removed
//	delete SUBJECT
//	decline                       the person declines sign-ins from now on
//	revoke                        the sign-ins are revoked and the access tokens have expired
//	stop                          Outlook cannot be reached any more
//	forget                        the log of requests is cleared
//	requests PART N               so many requests since then have PART in their path
func (w *world) do(ts *testscript.TestScript, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: outlook VERB ARG…")
	}
	cal := w.box.Calendar()
	id := func() graph.EventID {
		if len(args) < 2 || w.ids[args[1]] == "" {
			ts.Fatalf("outlook %s: no such event", args[0])
		}
		return w.ids[args[1]]
	}
	switch args[0] {
	case "change":
		ts.Check(cal.Change(id(), func(e *graphsim.Event) { e.Location = "Room Alster" }))
	case "move":
		ts.Check(cal.Change(id(), func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(time.Hour), e.End.Add(time.Hour) }))
	case "cancel":
		ts.Check(cal.CancelOccurrence(id(), time.Now().AddDate(0, 0, 2).Format(time.DateOnly)))
	case "delete":
		ts.Check(cal.Delete(id()))
	case "decline":
		w.decline.Store(true)
	case "revoke":
		w.RevokeTokens(w.box)
		w.ExpireAccessTokens()
	case "stop":
		w.stop()
	case "forget":
		w.ResetRequests()
	case "requests":
		n := 0
		for _, r := range w.Requests() {
			if strings.Contains(r.Path, args[1]) {
				n++
			}
		}
		if strconv.Itoa(n) != args[2] {
			ts.Fatalf("%d requests have %q in their path, not %s:\n%s", n, args[1], args[2], paths(w.Requests()))
		}
	default:
		ts.Fatalf("outlook %s: no such verb", args[0])
	}
}

func paths(requests []graphsim.Request) string {
	var b strings.Builder
	for _, r := range requests {
		fmt.Fprintln(&b, r.Status, r.Method, r.Path)
	}
	return b.String()
}

func scriptFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE COMMAND ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("it ends with %v, not with exit code %s", err, args[0])
	}
	if got := strconv.Itoa(exit.ExitCode()); got != args[0] {
		ts.Fatalf("exit code %s, not %s", got, args[0])
	}
	stderr := ts.ReadFile("stderr")
	if !strings.HasPrefix(stderr, "outbridge: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		ts.Fatalf("standard error is not one line of outbridge's:\n%s", stderr)
	}
}

func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, not %s", args[0], n, args[1])
	}
}

func jsonAt(ts *testscript.TestScript, file, path string) string {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &v))
	for key := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = at[key]; !ok {
				ts.Fatalf("%s has no %s", file, path)
			}
		case []any:
			if key == "len" {
				v = float64(len(at))
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s has no %s", file, path)
			}
			v = at[i]
		default:
			ts.Fatalf("%s has no %s", file, path)
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	ts.Check(err)
	return string(b)
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH VALUE")
	}
	if got := jsonAt(ts, args[0], args[1]); (got == args[2]) == neg {
		ts.Fatalf("%s is %s", args[1], got)
	}
}

func scriptJSONEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: jsonenv FILE PATH NAME")
	}
	ts.Setenv(args[2], jsonAt(ts, args[0], args[1]))
}

func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	user, password := "", ""
	if len(args) == 3 && args[0] == "-u" {
		user, password, _ = strings.Cut(args[1], ":")
		args = args[2:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: get [-u USER:PASSWORD] URL")
	}
	req, err := http.NewRequest(http.MethodGet, args[0], nil)
	ts.Check(err)
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("status"), []byte(strconv.Itoa(resp.StatusCode)+"\n"), 0o600))
}

// scriptNewer makes a database look as if a later version of the program had written it.
func scriptNewer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer DATABASE")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	ts.Check(err)
}

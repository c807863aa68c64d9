package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

type doctorCmd struct {
	configFlag
	jsonFlag
}

// Results of a finding.
const (
	resultOK      = "ok"
	resultWarning = "warning" // it works, but not for long or not well
	resultBroken  = "broken"
	resultSkipped = "skipped" // it cannot be checked until something else is fixed
)

// seeMessage is the fix of a finding if its detail already says what to do.
const seeMessage = "Follow the message above."

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
	Fix    string `json:"mend,omitempty"`
}

// doctor checks one installation.
type doctor struct {
	ctx      context.Context
	log      func(finding) // gets each finding at once
	findings []finding
	c        *config
	p        *program // without a store if the database cannot be used
	http     *http.Client
	serving  bool // a server is running on the database
	began    bool // there is a database, usable or not
}

func (d *doctor) add(f finding) {
	f.Detail = oneLine(errors.New(f.Detail))
	d.findings = append(d.findings, f)
	d.log(f)
}

func (d *doctor) ok(check, format string, args ...any) {
	d.add(finding{Check: check, Result: resultOK, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) skip(check, format string, args ...any) {
	d.add(finding{Check: check, Result: resultSkipped, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) broken(check, fix, format string, args ...any) {
	d.add(finding{check, resultBroken, fmt.Sprintf(format, inPlainWords(args)...), fix})
}

func (d *doctor) warn(check, fix, format string, args ...any) {
	d.add(finding{check, resultWarning, fmt.Sprintf(format, inPlainWords(args)...), fix})
}

func (d *doctor) count(result string) (n int) {
	for _, f := range d.findings {
		if f.Result == result {
			n++
		}
	}
	return n
}

// Run checks everything and fails if something is broken.
func (cmd *doctorCmd) Run(e *env) error {
	d := &doctor{ctx: e.ctx, log: func(f finding) {
		if cmd.JSON {
			return
		}
		line := fmt.Sprintf("%-8s %s: %s", f.Result, f.Check, f.Detail)
		if f.Fix != "" {
			line += "\n         → " + f.Fix
		}
		fmt.Fprintln(e.stdout, line)
	}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.OnProxyConnectResponse = graph.ProxyAnswer
	d.http = &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	d.examine(e, cmd.configFlag)
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}
	broken := d.count(resultBroken)
	if cmd.JSON {
		report := struct {
			OK       bool      `json:"ok"`
			Findings []finding `json:"findings"`
		}{broken == 0, d.findings}
		if err := writeJSON(e.stdout, report); err != nil {
			return err
		}
	}
	switch {
	case broken == 1:
		return errors.New("doctor: 1 check failed: see above how to fix it")
	case broken > 1:
		return fmt.Errorf("doctor: %d checks failed: see above how to fix them", broken)
	}
	return nil
}

func (d *doctor) examine(e *env, f configFlag) {
	c, err := f.load()
	if o := obstacleOf(err); o != nil {
		d.broken("configuration", o.fix(), "%v", o)
		return
	}
	if err != nil {
		d.broken("configuration", "Correct the file; config.example.toml explains every key.", "%v", err)
		return
	}
	d.c, d.p = c, newProgram(c, e)
	d.p.oneShot(e, 2)
	file := f.file()
	if !exists(file) {
		file = "no file, so the defaults apply"
	}
	for _, name := range c.unknownVariables {
		d.warn("configuration", "Correct or remove it; docs/operations.md has the names.", "the environment has %s, which is no key of the configuration", name)
	}
	d.ok("configuration", "%s; accounts: %d", file, len(c.Accounts))
	d.exposure()
	d.serving = c.served()
	usable := d.files()
	if d.keyAndDatabase(usable); d.p.store != nil {
		defer d.p.store.Close()
	}
	d.app()
	login, reachable := d.login(), d.graph()
	d.organization(login && reachable)
	d.accounts(login && reachable)
	d.certificates()
	d.public()
	d.notify()
}

// served reports whether a server is running on the database.
func (c *config) served() bool {
	if c.onServer() {
		return false
	}
	if _, err := os.Stat(c.Database + ".lock"); err != nil {
		return false
	}
	lock := flock.New(c.Database + ".lock")
	free, err := lock.TryLock()
	if free {
		_ = lock.Unlock()
	}
	return err == nil && !free
}

func (d *doctor) exposure() {
	const check = "listen"
	if err := d.c.checkExposed(); err != nil {
		d.broken(check, "Set [tls], or trusted_proxy, or listen = \"127.0.0.1:8080\".", "%v", err)
		return
	}
	d.ok(check, "%s, %s", d.c.listenText(), d.c.scheme())
}

// app checks the app registration, and that there are accounts. Those of the web pages are in the database.
func (d *doctor) app() {
	const check = "app registration"
	if d.p.store == nil && d.began && d.p.registration.ClientID == "" {
		d.skip(check, "unknown without the database, which has what was entered on the web pages")
		d.skip("accounts", "unknown without the database, which has those added on the web pages")
		return
	}
	credential, err := d.c.Microsoft.credential(time.Now())
	switch {
	case d.p.registration.ClientID == "":
		d.broken(check, "Register an app as docs/admin.md describes, and enter its Application (client) ID on the web pages or in the configuration.", "client_id is missing: nobody can sign in")
	case err != nil:
		d.broken(check, seeMessage, "%v", err)
	case credential != nil && time.Until(credential.Expires) <= 0:
		d.broken(check, "Create a new one; until then the app does not work.", "%s", credential.Warning)
	case credential != nil && credential.Warning != "":
		d.warn(check, "Create a new one before then.", "%s", credential.Warning)
	case credential != nil:
		d.ok(check, "%s; its %s expires on %s", d.p.registration.ClientID, credential.Kind, credential.Expires.Format(time.DateOnly))
	default:
		d.ok(check, "%s", d.p.registration.ClientID)
	}
	if len(d.p.accounts) == 0 && !d.c.Organization.enabled() {
		d.broken("accounts", "Add one on the web pages, or an [[account]] to the configuration.", "there are no accounts: nothing is synced")
	}
}

// files checks that the database's folder and files can be written, and reports whether they can: each thing in the way is a
// finding of its own.
func (d *doctor) files() bool {
	if d.c.onServer() {
		return true
	}
	if !exists(d.c.Database) && !exists(d.c.KeyFile) {
		return true // nothing has run here, and keyAndDatabase says so
	}
	list := d.c.inTheWay()
	folder := filepath.Dir(absolute(d.c.Database))
	if who := keeper(folder); len(list) == 0 && !who.service {
		if o := tryToWrite(folder, who); o != nil {
			list = append(list, o)
		}
	}
	full := false
	for _, o := range list {
		check := "database"
		switch o.what {
		case hindranceFull:
			check, full = "disk", true
		case hindranceReadOnly:
			check = "disk"
		}
		d.broken(check, o.fix(), "%v", o)
	}
	room, err := d.c.databaseDisk()
	switch {
	case err != nil || full || room.unknown:
	case room.low(d.c.databaseSize()):
		d.warn("disk", "Make room before it is full: then nothing can be synced any more, and an upgrade needs room for a copy of the database.", "on the disk of %s only %s", folder, room)
	default:
		d.ok("disk", "%s: %s", folder, room)
	}
	return len(list) == 0
}

// keyAndDatabase opens the store, without creating or migrating anything. usable is what files has found.
func (d *doctor) keyAndDatabase(usable bool) {
	_, keyErr := os.Lstat(d.c.KeyFile)
	if d.c.onServer() {
		d.server(errors.Is(keyErr, fs.ErrNotExist))
		return
	}
	schema, dbErr := int64(0), error(nil)
	if _, dbErr = os.Stat(d.c.Database); dbErr == nil && usable {
		schema, dbErr = sqlstore.Check(d.ctx, d.c.Database)
	}
	noDatabase := errors.Is(dbErr, fs.ErrNotExist)
	d.began = !noDatabase
	key, ok := d.key(errors.Is(keyErr, fs.ErrNotExist))
	if !ok {
		return
	}
	if noDatabase && d.c.keyUsed() {
		d.ok("key", "%s", d.c.KeyFile)
		d.broken("database", "Check database in the configuration, or run `outbridge restore FILE`. To start over, move the key and the folder "+d.c.feedCache()+" away, run `outbridge login "+d.firstAccount()+"`, then `outbridge serve`.",
			"%s is missing, and the key was used with one", d.c.Database)
		return
	}
	if noDatabase {
		d.ok("key", "%s", d.c.KeyFile)
		d.broken("database", "Run `outbridge login "+d.firstAccount()+"`, then `outbridge serve`; or `outbridge restore FILE` if you have a backup.", "%s does not exist yet", d.c.Database)
		return
	}
	if !usable {
		d.ok("key", "%s", d.c.KeyFile)
		d.skip("database", "what is in it is not checked until that is fixed")
		return
	}
	if dbErr != nil {
		d.ok("key", "%s", d.c.KeyFile)
		d.database(dbErr)
		return
	}
	if !d.keyFits(sqlstore.CheckKey(d.ctx, d.c.Database, key)) {
		return
	}
	if schema < sqlstore.Schema() {
		d.warn("database", "Restart the server; it copies the database before it changes anything.", "%s has schema %d, of an older version; this version uses %d", d.c.Database, schema, sqlstore.Schema())
		return
	}
	d.openStore(fmt.Sprintf("%s, intact, schema %d", d.c.Database, schema))
}

// key reads the key file, which may be missing, and says what is wrong with it; false where anything is. began is known.
func (d *doctor) key(missing bool) (key sqlstore.Key, ok bool) {
	same, back := "", "Follow the message above; `outbridge restore` brings back a key that was kept with a backup."
	if d.c.onServer() {
		same, back = ": every machine has the same one", seeMessage
	}
	switch {
	case missing && !d.began:
		d.broken("key", d.first(), "there is no key %s yet, and nothing in %s: nothing has run here", d.c.KeyFile, d.c.Database)
		return key, false
	case missing:
		d.broken("key", "Put the key back from your copy, with mode 0600"+same+". If it is lost, create a new one with `outbridge init --key-only --lost` and sign in again with `outbridge login "+d.firstAccount()+"`.",
			"the key %s is missing, and the database was made with one", d.c.KeyFile)
		return key, false
	}
	key, err := sqlstore.ReadKey(d.c.KeyFile)
	if o := obstacleOf(err); o != nil {
		d.broken("key", o.fix(), "%v", o)
		return key, false
	}
	if err != nil {
		d.broken("key", back, "%v", err)
		return key, false
	}
	return key, true
}

// keyFits says whether the key is that of the database, of which err is what came of trying.
func (d *doctor) keyFits(err error) bool {
	if err != nil {
		d.broken("key", "Put the right key back from your copy, or sign in again with `outbridge login "+d.firstAccount()+"`.", "%v", err)
		return false
	}
	d.ok("key", "%s", d.c.KeyFile)
	return true
}

// database says what is wrong with the file. Only damage needs a backup.
func (d *doctor) database(err error) {
	const check = "database"
	var file *sqlstore.FileError
	if !errors.As(err, &file) {
		d.broken(check, seeMessage, "%v", err)
		return
	}
	switch file.Trouble {
	case sqlstore.Damaged:
		d.broken(check, "Replace it with a backup: `outbridge restore FILE --force`. Without a backup, move the file, the key and the folder feed-cache away, run `outbridge login` for each account, then `outbridge serve`: everything is read from Outlook again.", "%v", err)
	case sqlstore.Foreign:
		d.broken(check, "Correct database in the configuration, or move that file away.", "%v", err)
	case sqlstore.Newer:
		d.broken(check, "Use the version that wrote it, or restore the copy that it made before: `outbridge restore "+d.c.Database+".before-v…`.", "%v", err)
	case sqlstore.DiskFails:
		d.broken(check, "Look for errors of the disk: `dmesg --level=err,warn` as root. Make a backup while it can be read: `outbridge backup FILE`.", "%v", err)
	default:
		d.broken(check, "Look for what keeps it from being opened: `ls -ld "+quoted(filepath.Dir(d.c.Database))+" && ls -l "+quoted(d.c.Database)+"*`. The database is not damaged.", "%v", err)
	}
}

func (d *doctor) openStore(detail string) {
	if err := d.p.openStore(d.ctx); err != nil {
		d.broken("database", seeMessage, "%v", err)
		return
	}
	if detail == "" {
		detail = "opened"
	}
	d.ok("database", "%s", detail)
}

// first is what to run where nothing has run yet: nobody signs in for mailboxes that the app reads in its own name.
func (d *doctor) first() string {
	signedIn := func(a accountConfig) bool { return a.Mailbox == "" }
	if d.c.Organization.enabled() && !slices.ContainsFunc(d.p.accounts, signedIn) {
		return "Run `outbridge serve`."
	}
	return "Run `outbridge login " + d.firstAccount() + "`, then `outbridge serve`."
}

func (d *doctor) firstAccount() string {
	if len(d.p.accounts) == 0 {
		return "ACCOUNT"
	}
	return d.p.accounts[0].Name
}

// get reads at most a MiB of an answer.
func (d *doctor) get(url string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, string(b), err
}

// between reports, as a finding, what stands between this machine and a service of Microsoft, where a request shows that.
func (d *doctor) between(check, address string, resp *http.Response, body string, err error) bool {
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	reason := graph.ObstacleTo(err, status, []byte(body))
	if reason == "" {
		return false
	}
	words := web.WordsFor(bridge.Fault{Reason: bridge.Reason(reason)})
	cause := fmt.Sprintf("its answer is %d", status)
	if err != nil {
		cause = err.Error()
	}
	d.broken(check, words.Fix+".", "%s cannot be reached: %s (%s)", address, strings.TrimSuffix(words.Sentence, "."), cause)
	return true
}

// login asks the login service to describe the tenant, and reports whether it can be reached.
func (d *doctor) login() bool {
	const check = "login service"
	tenant := d.p.registration.Tenant
	if tenant == "" {
		tenant = "common"
	}
	resp, body, err := d.get(d.c.loginURL + "/" + tenant + "/v2.0/.well-known/openid-configuration")
	if d.between(check, d.c.loginURL, resp, body, err) {
		return false
	}
	if err != nil {
		d.broken(check, "Check the network, DNS, and any firewall or proxy on the way out (HTTPS_PROXY is honoured).", "%s cannot be reached: %v", d.c.loginURL, err)
		return false
	}
	var answer struct {
		TokenEndpoint string `json:"token_endpoint"`
		Error         string `json:"error"`
	}
	switch err := json.Unmarshal([]byte(body), &answer); {
	case err == nil && answer.TokenEndpoint != "":
		d.ok(check, "%s knows the tenant %s", d.c.loginURL, tenant)
	case err == nil && answer.Error != "" && resp.StatusCode/100 == 4:
		d.broken(check, "Correct microsoft.tenant: the organization's ID or domain, or common. Correct microsoft.cloud if it is in another cloud.", "%s does not know the tenant %s (%s)", d.c.loginURL, tenant, answer.Error)
	case d.c.Microsoft.Cloud == "custom" && resp.StatusCode < 500:
		d.ok(check, "%s answers", d.c.loginURL)
	default:
		d.broken(check, "Look for a proxy or a network sign-in page in between.", "the answer of %s, %s, is not from the login service", d.c.loginURL, resp.Status)
		return false
	}
	return true
}

// Skews of the clock: Microsoft accepts assertions that are a few minutes off.
const (
	skewWarning = time.Minute
	skewBroken  = 4 * time.Minute
)

// graph sends Graph a request, reports whether it can be reached, and compares the clocks.
func (d *doctor) graph() bool {
	begin := time.Now()
	resp, body, err := d.get(d.c.graphURL + "/v1.0/")
	if d.between("Microsoft Graph", d.c.graphURL, resp, body, err) {
		return false
	}
	if err != nil {
		d.broken("Microsoft Graph", "Check the network, DNS, and any firewall or proxy on the way out (HTTPS_PROXY is honoured).", "%s cannot be reached: %v", d.c.graphURL, err)
		return false
	}
	if d.c.Microsoft.Cloud != "custom" && resp.Header.Get("Request-Id") == "" {
		d.broken("Microsoft Graph", "Look for a proxy or a network sign-in page in between.", "the answer of %s, %s, is not from Graph", d.c.graphURL, resp.Status)
		return false
	}
	d.ok("Microsoft Graph", "%s answers in %s", d.c.graphURL, time.Since(begin).Round(time.Millisecond))
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		d.skip("clock", "Graph's answer has no date to compare with")
		return true
	}
	skew := begin.Sub(at)
	const fix = "Set the clock and keep it synchronized: `timedatectl set-ntp true`."
	switch off := skew.Abs().Round(time.Second); {
	case off >= skewBroken:
		d.broken("clock", fix, "this machine's clock is %s %s Microsoft's: sign-ins fail, and calendars cover the wrong dates", off, aheadOrBehind(skew))
	case off >= skewWarning:
		d.warn("clock", fix, "this machine's clock is %s %s Microsoft's", off, aheadOrBehind(skew))
	default:
		d.ok("clock", "within %s of Microsoft's", max(off, 2*time.Second))
	}
	return true
}

func aheadOrBehind(skew time.Duration) string {
	if skew > 0 {
		return "ahead of"
	}
	return "behind"
}

// accounts tries the sign-in of each account with one request.
func (d *doctor) accounts(reachable bool) {
	sample := maxSampled
	for _, a := range d.p.accounts {
		if a.member {
			if sample--; sample < 0 {
				continue
			}
		}
		check := "account " + a.Name
		switch {
		case d.p.store == nil:
			d.skip(check, "not checked without the database")
		case !reachable:
			d.skip(check, "not checked without Microsoft's services")
		default:
			d.account(check, a)
		}
	}
	if d.p.store == nil {
		return
	}
	twice, err := d.p.twins(d.ctx)
	if err != nil {
		d.broken("accounts", seeMessage, "%v", err)
	}
	for _, t := range twice {
		d.warn("account "+t.account, seeMessage, "%s", t.sentence())
	}
}

func (d *doctor) account(check string, a accountConfig) {
	m, err := d.p.mailbox(d.ctx, a)
	if err != nil {
		d.broken(check, seeMessage, "%v", err)
		return
	}
	cals, err := m.Graph.Calendars(d.ctx)
	if a.member && graph.IsMailboxMissing(err) {
		d.warn(check, "Give it a licence for Exchange Online, or name it in organization.deny.", "a member of the organization without a usable mailbox, so nothing of it is served")
		return
	}
	if f := bridge.FaultOf(err); f.Detail != "" {
		d.broken(check, seeMessage, "%v", worded(err, a.Name))
		return
	} else if err != nil {
		sentence, action := inWords(f, a.Name)
		d.broken(check, action, "%s", sentence)
		return
	}
	row, err := d.p.store.Account(d.ctx, a.Name)
	if err != nil {
		d.broken(check, seeMessage, "%v", err)
		return
	}
	switch late := time.Since(d.p.told(d.ctx).Good.of(a.Name).LastGood(row.LastGood)); {
	case row.LastGood.IsZero() && !d.serving:
		d.ok(check, "signed in, not synced yet; calendars: %d", len(cals))
	case d.serving && !row.LastGood.IsZero() && late > max(time.Hour, 10*d.c.interval):
		d.warn(check, "See `outbridge status` and the server log.", "signed in, but the last good sync was %s ago", late.Round(time.Minute))
	default:
		d.ok(check, "signed in; calendars: %d", len(cals))
	}
	d.probe(a, row)
}

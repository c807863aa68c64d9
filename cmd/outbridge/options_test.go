package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// visitor is somebody at the pages of a running bridge.
type visitor struct {
	testing.TB
	url    string
	client *http.Client
}

func newVisitor(t testing.TB, url string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, url, &http.Client{Jar: jar}}
}

// send follows redirects, and returns the page that they end at.
func (v *visitor) send(r *http.Request, err error) (status int, at, body string) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
	resp, err := v.client.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.Fatal(err)
	}
	return resp.StatusCode, resp.Request.URL.RequestURI(), string(b)
}

func (v *visitor) get(path string) string {
	v.Helper()
	_, _, body := v.send(http.NewRequestWithContext(v.Context(), "GET", v.url+path, nil))
	return body
}

func (v *visitor) post(path string, pairs ...string) (status int, at, body string) {
	v.Helper()
	form := neturl.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(v.Context(), "POST", v.url+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.send(r, err)
}

// upload posts a form with a file.
func (v *visitor) upload(path, field string, file []byte, pairs ...string) (status int, at, body string) {
	v.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
			v.Fatal(err)
		}
	}
	part, err := w.CreateFormFile(field, "app.pem")
	if err == nil {
		_, err = part.Write(file)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		v.Fatal(err)
	}
	r, err := http.NewRequestWithContext(v.Context(), "POST", v.url+path, &b)
	if err == nil {
		r.Header.Set("Content-Type", w.FormDataContentType())
	}
	return v.send(r, err)
}

// TestOptionsOnPages: the pages set what the file does, at once, and it outlives a restart.
func TestOptionsOnPages(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, ClientSecret: "the value of it"}
	box, _ := officeWeek(sim)
	outlook := httptest.NewServer(sim)
	t.Cleanup(outlook.Close)
	dir := t.TempDir()
	config := fmt.Sprintf("listen = \"127.0.0.1:0\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\n[sync]\nhorizon = \"6mo\"\n", outlook.URL, outlook.URL)
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "serve")
	found := p.waitFor(`open (\S+)/setup\?code=(\S+)$`)
	v := newVisitor(t, found[0])
	const password = "correct horse battery"
	if status, at, body := v.post("/setup", "code", found[1], "password", password, "repeat", password); status != 200 || at != "/" {
		t.Fatalf("set-up: %d at %s\n%s", status, at, body)
	}

	// The app's secret is tried at once.
	app := []string{"client_id", testClientID, "tenant", "contoso.example"}
	for _, c := range []struct {
		form []string
		says string
	}{
		{[]string{"credential", "secret", "client_secret", "another"}, "The client secret is wrong."},
		{[]string{"credential", "secret", "client_secret", ""}, "The client secret is empty."},
		{[]string{"credential", "secret", "client_secret", "x", "expires", "soon"}, "is not a date"},
		{[]string{"credential", "certificate"}, "No certificate was chosen."},
	} {
		if status, _, body := v.post("/app", append(c.form, app...)...); status != 400 || !strings.Contains(body, c.says) {
			t.Errorf("%v: %d\n%s", c.form, status, body)
		}
	}
	if status, _, body := v.upload("/app", "certificate", []byte("-----BEGIN NOTHING-----"), append(app, "credential", "certificate")...); status != 400 || !strings.Contains(body, "The certificate cannot be used") {
		t.Errorf("a file that is no certificate: %d\n%s", status, body)
	}
	if status, at, body := v.post("/app", append(app, "credential", "secret", "client_secret", "the value of it", "expires", "2031-05-06")...); status != 200 || at != "/new-account" {
		t.Fatalf("the registration: %d at %s\n%s", status, at, body)
	}
	if body := v.get("/app"); !strings.Contains(body, "Keep the client secret, which ends on 6 May 2031") || strings.Contains(body, "the value of it") {
		t.Errorf("the app's page:\n%s", body)
	}
	if status, at, body := v.post("/new-account", "name", "alice", "mailbox", box.Address()); status != 200 || at != "/accounts/alice" {
		t.Fatalf("the account: %d at %s\n%s", status, at, body)
	}

	// Which calendars.
	var made struct{ URL string }
	if err := json.Unmarshal([]byte(outbridge(t, dir, "feed", "add", "alice", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	feed := func() string {
		_, body := fetch(t, "GET", v.url+mustPath(t, made.URL), "", "")
		return body
	}
	eventually(t, "the first round", func() bool { return strings.Contains(feed(), "SUMMARY:School play") })
	if body := v.get("/accounts/alice/options"); !strings.Contains(body, `value="Family" checked`) {
		t.Errorf("the options:\n%s", body)
	}
	if status, at, body := v.post("/accounts/alice/options", "which", "all", "listed", "Calendar", "listed", "Family", "calendar", "Calendar"); status != 200 || !strings.HasSuffix(at, "?done=options") {
		t.Fatalf("options: %d at %s\n%s", status, at, body)
	}
	eventually(t, "the calendar to go", func() bool { return !strings.Contains(feed(), "SUMMARY:School play") })
	if body := v.get("/accounts/alice/options"); strings.Contains(body, `value="Family" checked`) || !strings.Contains(body, `value="Family">`) {
		t.Errorf("the calendar that is left out is not there, without a tick:\n%s", body)
	}
	for _, wrong := range [][]string{{"which", "some", "listed", "Family"}, {"which", "all", "listed", "Family", "calendar", "Family", "shared", "nobody"}} {
		if status, _, body := v.post("/accounts/alice/options", wrong...); status != 400 || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%v: %d\n%s", wrong, status, body)
		}
	}

	// How to sync; what the file sets stays.
	if status, _, body := v.post("/settings/sync", "interval", "1s"); status != 400 || !strings.Contains(body, "at least 5 seconds") || strings.Contains(body, "sync.interval") {
		t.Errorf("an interval of a second: %d\n%s", status, body)
	}
	if status, at, body := v.post("/settings/sync", "interval", "5s", "history", "2mo", "horizon", "1y"); status != 200 || !strings.HasSuffix(at, "?done=options") ||
		!strings.Contains(body, `value="6mo"`) || !strings.Contains(body, `value="2mo"`) {
		t.Errorf("how to sync: %d at %s\n%s", status, at, body)
	}
	box.Calendar().Create(graphsim.Event{Subject: "Fresh", Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})
	eventually(t, "a round within the minute", func() bool { return strings.Contains(feed(), "SUMMARY:Fresh") })

	// Nothing of the secret is readable in the database, and all of it outlives the server.
	p.end(syscall.SIGTERM)
	files, err := filepath.Glob(filepath.Join(dir, "outbridge.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("the value of it")) {
			t.Errorf("the secret is readable in %s", file)
		}
	}
	if out := outbridge(t, dir, "sync"); !strings.Contains(out, "alice") || strings.Contains(out, "Family") {
		t.Errorf("a command knows other options:\n%s", out)
	}
	p = start(t, dir, "serve")
	v = newVisitor(t, p.waitFor(`msg=serving listen=(\S+)`)[0])
	v.post("/sign-in", "password", password)
	if body := v.get("/settings/sync"); !strings.Contains(body, `value="5s"`) || !strings.Contains(body, `value="2mo"`) {
		t.Errorf("after a restart:\n%s", body)
	}
	p.end(syscall.SIGTERM)
}

func mustPath(t *testing.T, address string) string {
	t.Helper()
	u, err := neturl.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

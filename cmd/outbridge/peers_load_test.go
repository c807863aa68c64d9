//go:build load

package main_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// peers are the servers that the program is compared with, by the names that SERVING_PEERS has.
var peers = map[string]func(t *testing.T, ours *served, objects map[string][]byte) *served{
	"plain": startPlain,
	"nginx": startFiles,
	"cyrus": startCyrus,
	"radicale": func(t *testing.T, _ *served, objects map[string][]byte) *served {
		return servedBy(t, "Radicale", startRadicale(t, objects))
	},
	"xandikos": func(t *testing.T, _ *served, objects map[string][]byte) *served {
		s := servedBy(t, "Xandikos", startXandikos(t, objects))
		s.slow = true
		return s
	},
}

// buildMeasured builds the program of a commit, or of these files, with one file more: it tells how much was allocated
// and makes profiles, at the address in OUTBRIDGE_MEASURE.
func buildMeasured(t *testing.T, dir, commit string) string {
	t.Helper()
	source, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if commit != "" {
		root := filepath.Join(dir, "source")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sh", "-c", `git -C ../.. archive "$1" | tar -x -C "$2"`, "sh", commit, root).CombinedOutput(); err != nil {
			t.Fatalf("commit %s: %v\n%s", commit, err, out)
		}
		source = filepath.Join(root, "cmd", "outbridge")
	}
	more, err := filepath.Abs("testdata/measured.go")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(source, "measured.go"): more}})
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string][]byte{"overlay.json": overlay})
	binary := filepath.Join(dir, "outbridge")
	build := exec.Command("go", "build", "-buildvcs=false", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// recorded is an answer that the plain server gives.
type recorded struct {
	Request string // method, path, coding and body
	Status  int
	Header  map[string]string
	Body    []byte
}

// startPlain serves what the program answers from memory, by net/http alone, after a sign-in by a keyed hash, with the same
// headers and octets: what a server in Go cannot fall below. It has no time-outs, which ours sets for each request.
func startPlain(t *testing.T, ours *served, _ map[string][]byte) *served {
	t.Helper()
	s := *ours
	s.name, s.world, s.measure, s.address = "plain net/http", nil, freeAddress(t), freeAddress(t)
	var all []recorded
	for _, r := range servedRows {
		for _, gzip := range []bool{false, true} {
			for _, request := range r.requests(ours, gzip) {
				a := ours.whole(request)
				head, body, _ := strings.Cut(string(request), "\r\n\r\n")
				line, _, _ := strings.Cut(head, " HTTP/1.1\r\n")
				one := recorded{Request: fmt.Sprint(line, " ", gzip, " ", body), Status: a.status, Header: map[string]string{}, Body: a.body}
				for _, field := range strings.Split(string(a.head), "\r\n")[1:] {
					if name, value, ok := strings.Cut(field, ": "); ok && name != "Transfer-Encoding" && name != "Date" {
						one.Header[name] = value
					}
				}
				all = append(all, one)
			}
		}
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(all); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"answers": b.Bytes()})
	cmd := exec.Command(os.Args[0], "-test.run=^TestPlainServer$")
	cmd.Env = append(os.Environ(), "PLAIN_SERVER="+filepath.Join(dir, "answers"), "PLAIN_ADDRESS="+s.address, "PLAIN_PASSWORD="+s.password, "PLAIN_MEASURE="+s.measure)
	s.pid = otherOf(t, cmd)
	awaitHTTP(t, "http://"+s.address+"/")
	return &s
}

// servedBy is the calendar of a server that a client knows, and that takes a hundred times our time for some requests.
func servedBy(t *testing.T, name string, c *caldavClient) *served {
	t.Helper()
	u, err := url.Parse(c.calendar)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, name: name, pid: c.pid, address: u.Host, user: c.user, password: c.password, calendar: u.Path, once: true}
	s.read()
	return s
}

// startFiles has nginx serve what the program answers to GET and multiget, as files, compressed beforehand.
func startFiles(t *testing.T, ours *served, objects map[string][]byte) *served {
	t.Helper()
	s := &served{t: t, name: "nginx, files", files: true}
	files := map[string][]byte{}
	add := func(name string, data []byte) {
		files[name] = data
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(data)
		w.Close()
		files[name+".gz"] = b.Bytes()
	}
	for name, data := range objects {
		add(name, data)
		s.paths = append(s.paths, "/"+url.PathEscape(name))
	}
	slices.Sort(s.paths)
	for i, request := range ours.multigets(false) {
		add(fmt.Sprint("multiget", i), ours.whole(request).body)
	}
	origin, pid := startNginx(t, files)
	s.address, s.pid = strings.Trim(strings.TrimPrefix(origin, "http:"), "/"), pid
	return s
}

// startCyrus serves the objects from Cyrus, as user cyrus if the test is root, which Cyrus refuses to be.
func startCyrus(t *testing.T, _ *served, objects map[string][]byte) *served {
	t.Helper()
	const bin = "/usr/lib/cyrus/bin/"
	dir, web, mail := t.TempDir(), freeAddress(t), freeAddress(t)
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	name := self.Username
	var who *syscall.Credential
	if self.Uid == "0" {
		name = "cyrus"
		u, err := user.Lookup(name)
		if err != nil {
			t.Fatalf("%v: .ci/packages cyrus-caldav cyrus-imapd sasl2-bin", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	writeFiles(t, dir, map[string][]byte{
		"imapd.conf": []byte(strings.NewReplacer("DIR", dir, "USER", name).Replace(`configdirectory: DIR/conf
defaultpartition: default
partition-default: DIR/mail
proc_path: DIR/proc
mboxname_lockpath: DIR/lock
idlesocket: DIR/idle
notifysocket: DIR/notify
cyrus_user: USER
servername: localhost
httpmodules: caldav
caldav_allowscheduling: off
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: DIR/sasldb
skiplist_unsafe: 1
autocreate_quota: 0
`)),
		"cyrus.conf": []byte(strings.NewReplacer("BIN", bin, "CONF", dir+"/imapd.conf", "WEB", web, "MAIL", mail, "CLIENTS", fmt.Sprint(loadClients)).Replace(`START {
	recover cmd="BINctl_cyrusdb -C CONF -r"
}
SERVICES {
	imap cmd="BINimapd -C CONF" listen="MAIL" prefork=0
	http cmd="BINhttpd -C CONF -U 1000000" listen="WEB" prefork=CLIENTS
}
`)),
	})
	saslpasswd := "saslpasswd2"
	if _, err := exec.LookPath(saslpasswd); err != nil {
		saslpasswd = "/usr/sbin/saslpasswd2"
	}
	password := exec.Command(saslpasswd, "-p", "-c", "-f", filepath.Join(dir, "sasldb"), "-u", "localhost", "alice")
	password.Stdin = strings.NewReader("secret")
	if out, err := password.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v: %s: .ci/packages sasl2-bin", err, out)
	}
	for _, d := range []string{"conf", "mail", "proc", "lock"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if who != nil {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("chown", "-R", name, dir).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
	}
	cmd := exec.Command(bin+"master", "-C", filepath.Join(dir, "imapd.conf"), "-M", filepath.Join(dir, "cyrus.conf"), "-p", filepath.Join(dir, "pid"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	pid := otherOf(t, cmd)
	awaitHTTP(t, "http://"+web+"/")

	// The first sign-in by IMAP makes the mailbox, without which there is no calendar.
	conn, err := net.Dial("tcp", mail)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "a LOGIN alice secret\r\nb LOGOUT\r\n")
	if said, err := io.ReadAll(conn); err != nil || !bytes.Contains(said, []byte("\na OK")) {
		t.Fatalf("IMAP: %v: %s", err, said)
	}
	c := newCalDAVClient(t, pid, "http://"+web+"/dav/calendars/user/alice/Default/", "alice", "secret")
	c.fetch(c.request("PROPFIND", "http://"+web+"/dav/calendars/user/alice/", "1", listBody), http.StatusMultiStatus) // makes the calendar
	for name, data := range objects {
		r := c.request("PUT", c.calendar+url.PathEscape(name), "", string(data))
		r.Header.Set("Content-Type", "text/calendar; charset=utf-8")
		c.fetch(r, http.StatusCreated)
	}
	return servedBy(t, "Cyrus", c)
}

// TestPlainServer is the process of startPlain.
func TestPlainServer(t *testing.T) {
	if os.Getenv("PLAIN_SERVER") == "" {
		t.Skip("it is a part of TestServing")
	}
	f, err := os.Open(os.Getenv("PLAIN_SERVER"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	if err := gob.NewDecoder(f).Decode(&all); err != nil {
		t.Fatal(err)
	}
	answers := map[string]*recorded{}
	for i := range all {
		answers[all[i].Request] = &all[i]
	}
	key := []byte("the key of the installation")
	hash := func(password string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(password))
		return h.Sum(nil)
	}
	users := map[string][]byte{"alice": hash(os.Getenv("PLAIN_PASSWORD"))}
	go http.ListenAndServe(os.Getenv("PLAIN_MEASURE"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprint(w, m.Mallocs)
	}))
	t.Fatal(http.ListenAndServe(os.Getenv("PLAIN_ADDRESS"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if known := users[user]; known == nil || !hmac.Equal(known, hash(password)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		a := answers[fmt.Sprint(r.Method, " ", r.URL.EscapedPath(), " ", r.Header.Get("Accept-Encoding") == "gzip", " ", string(body))]
		if a == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		for name, value := range a.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.Status)
		w.Write(a.Body)
	})))
}

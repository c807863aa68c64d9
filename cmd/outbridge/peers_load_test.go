//go:build load

package main_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// peers are the servers that the program is compared with, by the names that SERVING_PEERS has.
var peers = map[string]func(t *testing.T, ours *served, objects map[string][]byte) *served{
	"plain": startPlain,
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

// startPlain serves what the program answers from memory, by net/http alone, after a sign-in by a keyed hash: what a
// server in Go cannot fall below.
func startPlain(t *testing.T, ours *served, _ map[string][]byte) *served {
	t.Helper()
	s := *ours
	s.name, s.world, s.measure, s.address = "plain net/http", nil, "", freeAddress(t)
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
	s.pid = otherWith(t, []string{"PLAIN_SERVER=" + filepath.Join(dir, "answers"), "PLAIN_ADDRESS=" + s.address, "PLAIN_PASSWORD=" + s.password},
		os.Args[0], "-test.run=^TestPlainServer$")
	awaitHTTP(t, "http://"+s.address+"/")
	return &s
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

package notice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/notice"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// world is a Watcher over a real store, with a clock that tests move.
type world struct {
	*testing.T
	*notice.Watcher
	store *sqlstore.Store
	logs  *bytes.Buffer

	now   time.Time
	found notice.Findings
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(t.Context(), filepath.Join(dir, "outbridge.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{T: t, store: store, logs: new(bytes.Buffer), now: time.Now()}
	w.start()
	return w
}

// start begins anew with what is stored.
func (w *world) start() {
	w.Helper()
	w.Watcher = &notice.Watcher{Store: w.store, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Survey: func(context.Context, time.Time) (notice.Findings, error) { return w.found, nil },
		Words: func(m bridge.NoticeMessage, language string) (string, string) {
			l, ok := web.FindLanguage(language)
			if !ok {
				l = web.English
			}
			return web.NoticeWords(l, m, "https://calendar.example.com")
		}}
	w.must(w.Load(w.Context()))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) add(url string) (id string) {
	w.Helper()
	id, err := w.Add(w.Context(), url, "")
	w.must(err)
	return id
}

// looks lets minutes pass, with a look at the end of each, and has everything delivered that is due.
func (w *world) looks(n int) {
	w.Helper()
	for range n {
		w.now = w.now.Add(time.Minute)
		w.must(w.Look(w.Context(), true))
		w.Deliver(w.Context())
	}
}

func (w *world) waiting() []bridge.NoticeMessage {
	w.Helper()
	_, messages, err := w.store.Notices(w.Context())
	w.must(err)
	return messages
}

var (
	signIn = bridge.Notice{Key: "sign-in/alice", Kind: bridge.NoticeSignIn, Account: "alice", Fault: bridge.Fault{Reason: "expired", Action: bridge.ActionSignIn}}
	stale  = bridge.Notice{Key: "stale/alice/1", Kind: bridge.NoticeStale, Account: "alice", Calendar: "Team \r\nBcc: eve@example.org"}
)

// inbox is what receivers got.
type inbox struct {
	mu   sync.Mutex
	list []string
}

func (i *inbox) add(s string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, s)
}

func (i *inbox) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := i.list
	i.list = nil
	return list
}

// mailServer is an SMTP server on loopback that takes mail from those with the password.
func mailServer(t *testing.T, to *inbox) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go takeMail(conn, to)
		}
	}()
	return l.Addr().String()
}

func takeMail(conn net.Conn, to *inbox) {
	defer conn.Close()
	c := textproto.NewConn(conn)
	say := func(s string) { _ = c.PrintfLine("%s", s) }
	say("220 mail.test ESMTP")
	envelope := ""
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "EHLO":
			say("250-mail.test")
			say("250 AUTH PLAIN")
		case "AUTH":
			if rest != "PLAIN AGJvYgBodW50ZXIyLXNlY3JldA==" { // bob, hunter2-secret
				say("535 5.7.8 bob is not who he says")
				continue
			}
			say("235 ok")
		case "MAIL", "RCPT":
			envelope += line + "\n"
			say("250 ok")
		case "DATA":
			say("354 go on")
			body, err := io.ReadAll(c.DotReader())
			if err != nil {
				return
			}
			to.add(envelope + string(body))
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 no")
		}
	}
}

// ntfyServer takes messages as ntfy does.
func ntfyServer(t *testing.T, to *inbox) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		to.add(fmt.Sprintf("%s %s\n%s\n%s", r.Method, r.URL.Path, r.Header.Get("Title"), body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","event":"message"}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// hook takes JSON, and answers with the statuses given, then with 204.
func hook(t *testing.T, to *inbox, statuses ...int) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Title, Message string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("a webhook got no JSON: %v", err)
		}
		to.add(r.URL.RequestURI() + "\n" + body.Title + "\n" + body.Message)
		status := http.StatusNoContent
		if len(statuses) > 0 {
			status, statuses = statuses[0], statuses[1:]
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

// Trouble is told once to each target, also across a restart, and once that it is over.
func TestReceivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mails, topics, hooks inbox
	w.add("smtp://bob:hunter2-secret@" + mailServer(t, &mails) + "/?from=bridge@example.com&to=me@example.org,you@example.org")
	w.add("ntfy://" + strings.TrimPrefix(ntfyServer(t, &topics).URL, "http://") + "/secret-topic?scheme=http")
	w.add(hook(t, &hooks).URL + "/hook/secret-path?token=secret-token")

	w.found.Present = []bridge.Notice{signIn}
	w.looks(1)
	for _, c := range []struct {
		name string
		got  []string
		want int
		has  []string
	}{
		{"mail", mails.take(), 2, []string{"Subject: outbridge: alice needs a new sign-in", "The sign-in has expired", "https://calendar.example.com/accounts/alice/sign-in", "RCPT TO:<me@example.org>"}},
		{"ntfy", topics.take(), 1, []string{"POST /secret-topic\noutbridge: alice needs a new sign-in\n", "The sign-in has expired", "Sign in again."}},
		{"webhook", hooks.take(), 1, []string{"/hook/secret-path?token=secret-token\noutbridge: alice needs a new sign-in\n", "The sign-in has expired"}},
	} {
		if len(c.got) != c.want {
			t.Fatalf("%s: %d messages: %q", c.name, len(c.got), c.got)
		}
		for _, text := range c.has {
			if !strings.Contains(c.got[0], text) {
				t.Errorf("%s lacks %q:\n%s", c.name, text, c.got[0])
			}
		}
	}
	quiet := func(when string) {
		t.Helper()
		if got := append(append(mails.take(), topics.take()...), hooks.take()...); len(got) > 0 {
			t.Errorf("%s: %q", when, got)
		}
	}
	w.looks(20)
	quiet("told again")
	w.start()
	w.looks(20)
	quiet("told again after a restart")

	w.found = notice.Findings{Unsure: map[string]bool{signIn.Key: true}}
	w.looks(20)
	quiet("over, though nothing is known")
	w.found = notice.Findings{}
	w.start()
	w.looks(2)
	if got := hooks.take(); len(got) != 1 || !strings.Contains(got[0], "outbridge: over: alice needs a new sign-in") {
		t.Errorf("over: %q", got)
	}
	mails.take()
	topics.take()
	w.looks(20)
	quiet("over again")
	w.found.Present = []bridge.Notice{signIn}
	w.looks(1)
	if got := hooks.take(); len(got) != 1 {
		t.Errorf("it comes back: %q", got)
	}
}

// A calendar is old after a sleep until its next round; only what lasts is told of. What ends untold never was.
func TestLasts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var hooks inbox
	w.add(hook(t, &hooks).URL)
	w.found.Present = []bridge.Notice{stale}
	w.looks(5)
	w.found = notice.Findings{}
	w.looks(3)
	w.found.Present = []bridge.Notice{stale}
	w.looks(5)
	for range 30 {
		w.must(w.Look(t.Context(), false)) // rounds that end
	}
	w.Deliver(t.Context())
	if got := hooks.take(); len(got) != 0 {
		t.Fatalf("too early: %q", got)
	}
	w.looks(5)
	got := hooks.take()
	if len(got) != 1 || !strings.Contains(got[0], `calendar "Team Bcc: eve@example.org" of alice is out of date`) {
		t.Errorf("%q", got)
	}
}

// Without a target nobody is told, and with the first one what is wrong then is.
func TestFirstTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over := bridge.Notice{Key: "held/alice", Kind: bridge.NoticeHeld, Account: "alice"}
	w.found.Present = []bridge.Notice{signIn, over}
	w.looks(3)
	w.found.Present = []bridge.Notice{signIn}
	w.looks(3)
	var hooks inbox
	id := w.add(hook(t, &hooks).URL)
	w.looks(1)
	if got := hooks.take(); len(got) != 1 || strings.Contains(got[0], "stopped") || !strings.Contains(got[0], "needs a new sign-in") {
		t.Errorf("%q", got)
	}
	w.must(w.Remove(t.Context(), id))
	if _, err := w.Test(t.Context(), id); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("a test of a target that was removed: %v", err)
	}
	if err := w.Remove(t.Context(), id); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// What cannot be delivered is sent again, each time later, for some days; other targets do not wait for it.
func TestAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var bad, good inbox
	w.add(hook(t, &bad, 500, 503, 429).URL + "/bad")
	w.add(hook(t, &good).URL + "/good")
	w.found.Present = []bridge.Notice{signIn}
	w.must(w.Look(t.Context(), true))
	var waits []time.Duration
	for range 4 {
		if wait := w.Deliver(t.Context()); len(w.waiting()) > 0 {
			waits = append(waits, wait)
			w.now = w.now.Add(wait - time.Second)
			w.Deliver(t.Context())
			w.start() // it is stored too
			w.now = w.now.Add(time.Second)
		}
	}
	if got := bad.take(); len(got) != 4 || fmt.Sprint(waits) != "[30s 1m0s 2m0s]" {
		t.Errorf("%d attempts, waits of %v", len(got), waits)
	}
	if got := good.take(); len(got) != 1 {
		t.Errorf("the other target got %q", got)
	}

	refuses := make([]int, 1000)
	for i := range refuses {
		refuses[i] = 500
	}
	w = newWorld(t)
	w.add(hook(t, &bad, refuses...).URL + "/bad")
	w.found.Present = []bridge.Notice{signIn}
	w.must(w.Look(t.Context(), true))
	for begin := w.now; len(w.waiting()) > 0; w.now = w.now.Add(w.Deliver(t.Context())) {
		if w.now.Sub(begin) > 5*24*time.Hour {
			t.Fatal("it never gives up")
		}
	}
	if n := len(bad.take()); n < 10 || n > 30 {
		t.Errorf("%d attempts", n)
	}
}

// No URL, nor anything of it, gets into the log, into what is stored of a failure or into an error.
func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var box inbox
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	closed.Close()
	refusing := hook(t, &box, 403, 403, 403)
	for url, want := range map[string]bridge.NoticeFailure{
		"smtp://bob:wrong-secret@" + mailServer(t, &box) + "/?from=a@example.com&to=b@example.com": {Reason: "sign-in", Status: 535},
		"ntfy://secretuser:secretpass@" + closed.Addr().String() + "/secret-topic?scheme=http":     {Reason: "unreachable"},
		refusing.URL + "/secret-path?token=secret-token":                                           {Reason: "sign-in", Status: 403},
		"https://secret-host.invalid/secret-path":                                                  {Reason: "no-host"},
	} {
		id := w.add(url)
		got, err := w.Test(t.Context(), id)
		w.must(err)
		if got != want && got.Reason != "timeout" { // a name server may not answer
			t.Errorf("%s: %+v, want %+v", url, got, want)
		}
	}
	w.found.Present = []bridge.Notice{signIn}
	w.looks(1)
	for _, text := range []string{
		"secret", "://not a url", "logger://", "https://", "ftp://secret@example.com/", "smtp://secret:secret@host/", "ntfy://\nsecret", "generic://" + strings.Repeat("secret", 1000),
	} {
		if _, err := w.Add(t.Context(), text, ""); !errors.Is(err, bridge.ErrNoticeURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	targets, err := w.Targets(t.Context())
	w.must(err)
	for _, one := range targets {
		if one.Last.At.IsZero() {
			t.Errorf("nothing is noted of %s", web.TargetName(one))
		}
		one.URL = ""
		b, err := json.Marshal(one)
		w.must(err)
		if strings.Contains(string(b), "secret") && one.Service != "generic" {
			t.Errorf("%s", b)
		}
	}
	if s := w.logs.String(); strings.Contains(s, "secret") || strings.Contains(s, "bob") || !strings.Contains(s, "not delivered") {
		t.Errorf("the log:\n%s", s)
	}
}

// However much goes wrong, messages are few and short, and none is lost.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var hooks inbox
	w.add(hook(t, &hooks).URL)
	for i := range 30 {
		w.found.Present = append(w.found.Present, bridge.Notice{Key: fmt.Sprint("write/", i), Kind: bridge.NoticeRefused, Account: "alice", Calendar: "Work"})
		w.looks(1)
	}
	got := hooks.take()
	if len(got) != 12 {
		t.Errorf("%d messages in half an hour", len(got))
	}
	w.looks(40)
	got = append(got, hooks.take()...)
	if n := strings.Count(strings.Join(got, "\n"), "was refused"); n < 30 {
		t.Errorf("%d of 30 were told", n)
	}
	for i := range 1000 {
		w.found.Present = append(w.found.Present, bridge.Notice{Key: fmt.Sprint("more/", i), Kind: bridge.NoticeRefused, Account: "alice", Calendar: "Work"})
	}
	w.looks(90)
	got = hooks.take()
	if len(got) != 1 || !strings.Contains(got[0], "new problems") || !strings.Contains(got[0], "And 450 more.") || len(got[0]) > 10_000 {
		t.Errorf("%d messages: %.500q", len(got), got)
	}
	list, _, err := w.store.Notices(t.Context())
	w.must(err)
	if len(list) != 500 {
		t.Errorf("%d troubles are kept", len(list))
	}
	w.found = notice.Findings{}
	w.looks(1)
	if list, _, err = w.store.Notices(t.Context()); err != nil || len(list) != 0 || len(hooks.take()) != 0 {
		t.Errorf("what has only happened is told to be over: %d, %v", len(list), err)
	}
}

// fullStore is on a full disk.
type fullStore struct{ *sqlstore.Store }

func (fullStore) SetNotices(context.Context, []bridge.Notice, []bridge.NoticeMessage) error {
	return errors.New("the disk is full")
}

// A full disk is told of, once, although nothing can be stored.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var hooks inbox
	w.add(hook(t, &hooks).URL)
	w.Store = fullStore{w.store}
	w.found.Present = []bridge.Notice{{Key: "disk-full", Kind: bridge.NoticeDiskFull}}
	for range 5 {
		_ = w.Look(t.Context(), true) // it says so, each time
		w.Deliver(t.Context())
	}
	if got := hooks.take(); len(got) != 1 || !strings.Contains(got[0], "the disk is full") {
		t.Errorf("%q", got)
	}
}

// A target that never answers holds up neither the others nor the looks, and gets one delivery at a time.
func TestHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
		if err != nil {
			t.Fatal(err)
		}
		store, err := sqlstore.Open(t.Context(), filepath.Join(dir, "outbridge.db"), key)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		free := make(chan struct{})
		var mu sync.Mutex
		began := map[string]int{}
		found := notice.Findings{Present: []bridge.Notice{signIn}}
		w := &notice.Watcher{Store: store,
			Log:    slog.New(slog.DiscardHandler),
			Survey: func(context.Context, time.Time) (notice.Findings, error) { return found, nil },
			Words:  func(m bridge.NoticeMessage, _ string) (string, string) { return web.NoticeWords(web.English, m, "") },
			Send: func(_ context.Context, target, _, _ string) error {
				mu.Lock()
				began[target]++
				mu.Unlock()
				if strings.Contains(target, "hangs") {
					<-free
				}
				return nil
			}}
		w.Configure([]string{"generic+https://hangs.example/", "generic+https://works.example/"}, "")
		if err := w.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		if began["generic+https://hangs.example/"] != 1 || began["generic+https://works.example/"] != 1 {
			t.Errorf("%v", began)
		}
		mu.Unlock()
		close(free)
		time.Sleep(10 * time.Minute)
		mu.Lock()
		if n := began["generic+https://hangs.example/"]; n != 2 {
			t.Errorf("%d deliveries once it answers", n)
		}
		mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

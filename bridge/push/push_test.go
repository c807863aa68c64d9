package push_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/push"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav"
)

// device is a client with a push service: it can read what the service gets for it.
type device struct {
	key      *ecdh.PrivateKey
	auth     []byte
	endpoint string
	vapid    string // the server's key, that the subscription is restricted to
}

func newDevice(endpoint string) *device {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	auth := make([]byte, 16)
	rand.Read(auth)
	return &device{key: key, auth: auth, endpoint: endpoint}
}

var b64 = base64.RawURLEncoding

// body is a push-register as DAVx5 sends it.
func (d *device) body(expires string) string {
	if expires != "" {
		expires = "<expires>" + expires + "</expires>"
	}
	return `<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><push-register xmlns="https://bitfire.at/webdav-push"><subscription>` +
		`<web-push-subscription><push-resource>` + d.endpoint + `</push-resource><subscription-public-key type="p256dh">` +
		b64.EncodeToString(d.key.PublicKey().Bytes()) + `</subscription-public-key><auth-secret>` + b64.EncodeToString(d.auth) +
		`</auth-secret></web-push-subscription></subscription>` + expires + `</push-register>`
}

// pushMessage is what a device has got.
type pushMessage struct {
	Topic string `xml:"topic"`
	Token string `xml:"content-update>sync-token"`
	at    time.Time
	head  http.Header
}

// open checks the headers of a message as a push service does, and decrypts it as the device does.
func (d *device) open(r *http.Request) (m pushMessage, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, err
	}
	m.head = r.Header
	if err := d.checkVAPID(r); err != nil {
		return m, err
	}
	h := r.Header
	if h.Get("Content-Encoding") != "aes128gcm" || h.Get("TTL") == "" || h.Get("Urgency") == "" || len(body) > 4096 ||
		!regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`).MatchString(h.Get("Topic")) {
		return m, fmt.Errorf("%d octets with %v", len(body), h)
	}
	plain, err := d.decrypt(body)
	if err != nil {
		return m, err
	}
	return m, xml.Unmarshal(plain, &m)
}

// decrypt is RFC 8291 §3.3 and §3.4, of one record of RFC 8188.
func (d *device) decrypt(body []byte) ([]byte, error) {
	if len(body) < 86 || body[20] != 65 {
		return nil, errors.New("no aes128gcm header with a P-256 key")
	}
	salt, size, sender, box := body[:16], binary.BigEndian.Uint32(body[16:]), body[21:86], body[86:]
	if int(size) < len(box) || size < 18 {
		return nil, fmt.Errorf("record size %d for %d octets", size, len(box))
	}
	theirs, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, err
	}
	shared, err := d.key.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	ikm, err := hkdf.Key(sha256.New, shared, d.auth, "WebPush: info\x00"+string(d.key.PublicKey().Bytes())+string(sender), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, box, nil)
	if err != nil {
		return nil, err
	}
	plain = bytes.TrimRight(plain, "\x00")
	if !bytes.HasSuffix(plain, []byte{2}) {
		return nil, errors.New("no delimiter of a last record")
	}
	return plain[:len(plain)-1], nil
}

// checkVAPID is RFC 8292 §2 and §3: a JWT signed by ES256 with the key that the subscription is restricted to.
func (d *device) checkVAPID(r *http.Request) error {
	found := regexp.MustCompile(`^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), ?k=([\w-]+)$`).FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil {
		return fmt.Errorf("Authorization: %s", r.Header.Get("Authorization"))
	}
	if found[4] != d.vapid {
		return fmt.Errorf("signed with %s, the server's key is %s", found[4], d.vapid)
	}
	point, _ := b64.DecodeString(found[4])
	sig, _ := b64.DecodeString(found[3])
	if len(point) != 65 || len(sig) != 64 {
		return fmt.Errorf("a key of %d and a signature of %d octets", len(point), len(sig))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(found[1] + "." + found[2]))
	if !ecdsa.Verify(key, hash[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return errors.New("the signature is not right")
	}
	var header struct{ Alg, Typ string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	for i, into := range []any{&header, &claims} {
		b, err := b64.DecodeString(found[i+1])
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, into); err != nil {
			return err
		}
	}
	left := time.Until(time.Unix(claims.Exp, 0))
	if header.Alg != "ES256" || header.Typ != "JWT" || claims.Aud != r.URL.Scheme+"://"+r.URL.Host || left <= 0 || left > 24*time.Hour ||
		claims.Sub != "https://calendar.example.com" {
		return fmt.Errorf("header %+v, claims %+v", header, claims)
	}
	return nil
}

// pushService answers for all devices, without a network so that the clock of synctest runs.
type pushService struct {
	mu      sync.Mutex
	devices map[string]*device
	got     map[string][]pushMessage // by endpoint
	tries   map[string]int
	answer  func(endpoint string, try int) *http.Response // nil: 201
	bad     []error
}

func (p *pushService) RoundTrip(r *http.Request) (*http.Response, error) {
	endpoint := r.URL.String()
	p.mu.Lock()
	p.tries[endpoint]++
	try, answer := p.tries[endpoint], p.answer
	p.mu.Unlock()
	if answer != nil {
		if res := answer(endpoint, try); res != nil {
			return res, nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.devices[endpoint]
	if d == nil || r.Method != "POST" {
		p.bad = append(p.bad, fmt.Errorf("%s %s", r.Method, endpoint))
		return respond(404), nil
	}
	m, err := d.open(r)
	if err != nil {
		p.bad = append(p.bad, err)
		return respond(400), nil
	}
	m.at = time.Now()
	p.got[endpoint] = append(p.got[endpoint], m)
	return respond(201), nil
}

func respond(status int, headers ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	for i := 0; i < len(headers); i += 2 {
		res.Header.Set(headers[i], headers[i+1])
	}
	return res
}

// pushWorld is a world whose clients are told. It lives on the clock of synctest.
type pushWorld struct {
	*roundtest.World
	t       *testing.T
	service *pushService
	pusher  *push.Pusher
	log     *bytes.Buffer
	stop    func()
}

func inPushWorld(t *testing.T, f func(*pushWorld)) {
	synctest.Test(t, func(t *testing.T) {
		w := &pushWorld{t: t, World: roundtest.New(t), service: &pushService{devices: map[string]*device{}, got: map[string][]pushMessage{}, tries: map[string]int{}}, log: new(bytes.Buffer)}
		w.startPushing()
		t.Cleanup(func() {
			w.stop()
			w.Must(w.Store.Close())
			for _, err := range w.service.bad {
				t.Error(err)
			}
		})
		f(w)
	})
}

func (w *pushWorld) startPushing() {
	w.Helper()
	w.pusher = &push.Pusher{Store: w.Store, Subject: "https://calendar.example.com", Transport: w.service,
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	w.Must(w.pusher.Prepare(w.Ctx))
	w.Rounds.Published = w.pusher.Published
	w.run()
}

func (w *pushWorld) run() {
	ctx, cancel := context.WithCancel(w.Ctx)
	var g sync.WaitGroup
	g.Go(func() { w.Must(w.pusher.Run(ctx)) })
	w.stop = func() { cancel(); g.Wait() }
}

// dav sends one request as alice.
func (w *pushWorld) dav(method, path, body string) *httptest.ResponseRecorder {
	w.Helper()
	h := &caldav.Handler{Backend: passing{dav.Backend{Store: w.Store, Push: w.pusher}}, Log: w.World.Log, PublicURL: "https://calendar.example.com"}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth("alice", "x")
	r.Header.Set("Depth", "0")
	a := httptest.NewRecorder()
	h.ServeHTTP(a, r)
	return a
}

// passing lets everybody in.
type passing struct{ dav.Backend }

func (passing) Login(_ context.Context, user, _ string) (caldav.Principal, error) {
	return caldav.Principal{Name: user}, nil
}

const inbox = "/dav/calendars/alice/calendar/"

// subscribe does as DAVx5 does, and returns the registration's path and expiry.
func (w *pushWorld) subscribe(d *device, expires time.Duration, status int) (string, time.Duration) {
	w.Helper()
	a := w.dav("PROPFIND", inbox, `<propfind xmlns="DAV:" xmlns:P="https://bitfire.at/webdav-push"><prop><P:transports/></prop></propfind>`)
	key := regexp.MustCompile(`type="p256ecdsa">([\w-]+)<`).FindStringSubmatch(a.Body.String())
	if key == nil {
		w.Fatalf("no VAPID key: %s", a.Body)
	}
	d.vapid = key[1]
	w.service.mu.Lock()
	w.service.devices[d.endpoint] = d
	w.service.mu.Unlock()
	text := ""
	if expires != 0 {
		text = time.Now().Add(expires).UTC().Format(http.TimeFormat)
	}
	a = w.dav("POST", inbox, d.body(text))
	until, err := http.ParseTime(a.Header().Get("Expires"))
	path, ok := strings.CutPrefix(a.Header().Get("Location"), "https://calendar.example.com")
	if a.Code != status || err != nil || !ok {
		w.Fatalf("subscribe: %d %v %s", a.Code, a.Header(), a.Body)
	}
	return path, time.Until(until)
}

// got waits, in bubble time, and returns what a device got since it was last asked.
func (w *pushWorld) got(d *device, wait time.Duration) []pushMessage {
	w.Helper()
	time.Sleep(wait)
	synctest.Wait()
	w.service.mu.Lock()
	defer w.service.mu.Unlock()
	list := w.service.got[d.endpoint]
	delete(w.service.got, d.endpoint)
	return list
}

func (w *pushWorld) token() string {
	w.Helper()
	c, err := dav.Backend{Store: w.Store}.Calendar(w.Ctx, caldav.Principal{Name: "alice"}, "calendar")
	w.Must(err)
	return c.Token.String()
}

func TestPush(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		cal := w.Box.Calendar()
		id := cal.Create(roundtest.Meeting("Review", 1, 10))
		w.Round()
		d := newDevice("https://push.example/alice?up=1")
		path, left := w.subscribe(d, 72*time.Hour, 201)
		if left != 72*time.Hour {
			t.Errorf("expires in %s", left)
		}
		if list := w.got(d, time.Hour); len(list) != 0 {
			t.Errorf("told of what it has seen: %v", list)
		}

		topic := regexp.MustCompile(`<P:topic[^>]*>([^<]+)<`).FindStringSubmatch(
			w.dav("PROPFIND", inbox, `<propfind xmlns="DAV:" xmlns:P="https://bitfire.at/webdav-push"><prop><P:topic/></prop></propfind>`).Body.String())
		w.Must(cal.Change(id, func(e *graphsim.Event) { e.Subject = "Renamed" }))
		w.Changes(1)
		list := w.got(d, 3*time.Second)
		if len(list) != 1 || list[0].Topic != topic[1] || list[0].Token != w.token() {
			t.Fatalf("got %+v, want topic %s and token %s", list, topic[1], w.token())
		}
		if strings.Contains(list[0].head.Get("Topic"), topic[1]) || list[0].head.Get("Content-Type") != `application/xml; charset="utf-8"` {
			t.Errorf("headers %v", list[0].head)
		}
		w.Round() // nothing has changed
		if list := w.got(d, time.Hour); len(list) != 0 {
			t.Errorf("told of nothing: %v", list)
		}

		if a := w.dav("DELETE", path, ""); a.Code != 204 {
			t.Errorf("unsubscribe: %d", a.Code)
		}
		if a := w.dav("DELETE", path, ""); a.Code != 404 {
			t.Errorf("unsubscribe again: %d", a.Code)
		}
		w.Must(cal.Delete(id))
		w.Changes(1)
		if list := w.got(d, time.Hour); len(list) != 0 {
			t.Errorf("told after it unsubscribed: %v", list)
		}
	})
}

// Many changes are few messages, and the last one names the state that is.
func TestPushCoalesces(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		cal := w.Box.Calendar()
		w.Round()
		d := newDevice("https://push.example/alice")
		w.subscribe(d, 0, 201)
		for i := range 40 {
			cal.Create(roundtest.Meeting(fmt.Sprintf("Meeting %d", i), 1+i, 10))
		}
		w.Changes(40)
		for i := range 8 { // rounds one after another, as notifications from Outlook bring them about
			cal.Create(roundtest.Meeting("More", 50+i, 10))
			w.Changes(1)
			time.Sleep(100 * time.Millisecond)
		}
		list := w.got(d, 5*time.Second)
		if len(list) != 1 || list[0].Token != w.token() {
			t.Fatalf("a burst is %+v", list)
		}
		first := list[0].at
		for i := range 20 {
			cal.Create(roundtest.Meeting("Even more", 60+i, 10))
			w.Changes(1)
			time.Sleep(time.Second)
		}
		list = w.got(d, time.Minute)
		last := first
		for _, m := range list {
			if gap := m.at.Sub(last); gap < 10*time.Second {
				t.Errorf("two messages within %s", gap)
			}
			last = m.at
		}
		if len(list) > 3 || len(list) == 0 || list[len(list)-1].Token != w.token() {
			t.Errorf("20 changes in 20 seconds are %d messages, the last %+v", len(list), list[len(list)-1])
		}
	})
}

func TestPushDeadEndpoints(t *testing.T) {
	for _, status := range []int{404, 410} {
		inPushWorld(t, func(w *pushWorld) {
			w.Round()
			d := newDevice("https://push.example/secret-of-the-phone")
			path, _ := w.subscribe(d, 0, 201)
			w.service.answer = func(string, int) *http.Response { return respond(status) }
			w.Box.Calendar().Create(roundtest.Meeting("One", 1, 10))
			w.Changes(1)
			w.got(d, time.Minute)
			w.Box.Calendar().Create(roundtest.Meeting("Two", 1, 10))
			w.Changes(1)
			w.got(d, time.Hour)
			if w.service.tries[d.endpoint] != 1 {
				t.Errorf("%d: sent %d times", status, w.service.tries[d.endpoint])
			}
			if a := w.dav("DELETE", path, ""); a.Code != 404 {
				t.Errorf("%d: the registration is still there: %d", status, a.Code)
			}
			if strings.Contains(w.log.String(), "secret-of-the-phone") {
				t.Errorf("the log tells the endpoint:\n%s", w.log)
			}
		})
	}
}

func TestPushRetries(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		cal := w.Box.Calendar()
		w.Round()
		d, other := newDevice("https://push.example/alice"), newDevice("https://other.example/alice")
		w.subscribe(d, 0, 201)
		w.subscribe(other, 0, 201)
		answers := []*http.Response{
			respond(503), respond(500), respond(429, "Retry-After", "3600"),
			respond(302, "Location", "https://elsewhere.example/"), respond(429, "Retry-After", "soon"),
		}
		var tries []time.Time
		w.service.answer = func(endpoint string, try int) *http.Response {
			if endpoint != d.endpoint {
				return nil
			}
			tries = append(tries, time.Now())
			if try <= len(answers) {
				return answers[try-1]
			}
			return nil
		}
		cal.Create(roundtest.Meeting("One", 1, 10))
		w.Changes(1)
		if list := w.got(other, 2*time.Second); len(list) != 1 {
			t.Errorf("another push service waits: %v", list)
		}
		list := w.got(d, 3*time.Hour)
		if len(list) != 1 || len(tries) != 6 {
			t.Fatalf("%d tries, delivered %+v", len(tries), list)
		}
		for i, want := range []time.Duration{30 * time.Second, time.Minute, time.Hour, 4 * time.Minute, 8 * time.Minute} {
			if wait := tries[i+1].Sub(tries[i]); wait < want || wait > want+2*time.Second {
				t.Errorf("try %d comes after %s, want %s", i+2, wait, want)
			}
		}
		if list := w.got(d, 24*time.Hour); len(list) != 0 {
			t.Errorf("delivered again: %v", list)
		}
	})
}

// A push service that does not answer delays no round, no other push service, and the end of the program.
func TestPushSlowService(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		w.Round()
		release := make(chan struct{})
		var slow []*device
		for i := range 50 {
			d := newDevice(fmt.Sprintf("https://slow.example/%d", i))
			w.subscribe(d, 0, 201)
			slow = append(slow, d)
		}
		fast := newDevice("https://fast.example/")
		w.subscribe(fast, 0, 201)
		most, now := 0, 0
		var mu sync.Mutex
		w.service.answer = func(endpoint string, _ int) *http.Response {
			if endpoint == fast.endpoint {
				return nil
			}
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		}
		w.Box.Calendar().Create(roundtest.Meeting("One", 1, 10))
		before := time.Now()
		w.Changes(1)
		if took := time.Since(before); took > 0 {
			t.Errorf("the round took %s longer", took)
		}
		if list := w.got(fast, 2*time.Second); len(list) != 1 {
			t.Errorf("the fast one got %v", list)
		}
		close(release)
		for _, d := range slow {
			if list := w.got(d, time.Second); len(list) != 1 {
				t.Errorf("%s got %d messages", d.endpoint, len(list))
			}
		}
		if most > 4 {
			t.Errorf("%d at once to one host", most)
		}
	})
}

// fullDisk cannot record anything.
type fullDisk struct{ bridge.PushStore }

func (fullDisk) SetDelivery(context.Context, string, int64, int, time.Time) error {
	return errors.New("database or disk is full")
}

// A delivery that cannot be recorded does not flood the push service.
func TestPushFullDisk(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		w.Round()
		d := newDevice("https://push.example/alice")
		w.subscribe(d, 0, 201)
		w.stop()
		w.pusher.Store = fullDisk{w.Store}
		w.run()
		w.Box.Calendar().Create(roundtest.Meeting("One", 1, 10))
		w.Changes(1)
		if list := w.got(d, 5*time.Minute); len(list) == 0 || len(list) > 10 {
			t.Errorf("%d messages in five minutes", len(list))
		}
	})
}

// What was published and not told when the program ended is told after its next start.
func TestPushAfterCrash(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		w.Round()
		d := newDevice("https://push.example/alice")
		w.subscribe(d, 0, 201)
		w.stop()
		w.Box.Calendar().Create(roundtest.Meeting("One", 1, 10))
		w.Changes(1)
		w.Crash()
		w.startPushing()
		list := w.got(d, time.Second)
		if len(list) != 1 || list[0].Token != w.token() {
			t.Errorf("got %+v", list)
		}
	})
}

func TestPushExpiry(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		cal := w.Box.Calendar()
		w.Round()
		day := 24 * time.Hour
		d := newDevice("https://push.example/alice")
		first, _ := w.subscribe(d, 0, 201)
		for _, c := range []struct{ asked, want time.Duration }{
			{0, 7 * day}, {time.Hour, 3 * day}, {-day, 3 * day}, {5 * day, 5 * day}, {400 * day, 30 * day}, {3 * day, 3 * day},
		} {
			if path, left := w.subscribe(d, c.asked, 204); left != c.want || path != first {
				t.Errorf("asked for %s: %s, %s", c.asked, left, path)
			}
		}
		cal.Create(roundtest.Meeting("One", 1, 10))
		w.Changes(1)
		if list := w.got(d, 3*day-time.Hour); len(list) != 1 {
			t.Errorf("before it expires: %v", list)
		}
		time.Sleep(time.Hour)
		cal.Create(roundtest.Meeting("Two", 1, 10))
		w.Changes(1)
		if list := w.got(d, time.Hour); len(list) != 0 {
			t.Errorf("after it has expired: %v", list)
		}
		if a := w.dav("DELETE", first, ""); a.Code != 404 {
			t.Errorf("it is still there: %d", a.Code)
		}
	})
}

func TestPushRefuses(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		w.Round()
		for _, endpoint := range []string{
			"http://push.example/x", "https://localhost/x", "https://LOCALHOST.:8443/x", "https://db.localhost/", "https://127.0.0.1/x", "https://[::1]/x",
			"https://10.1.2.3/", "https://192.168.1.1:8443/", "https://172.20.0.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/",
			"https://0.0.0.0/", "https://[::]/", "https://[fe80::1%25eth0]/", "https://[fd00::1]/", "https://[::ffff:10.0.0.1]/", "https://[::10.0.0.1]/",
			"https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://224.0.0.1/", "https://255.255.255.255/",
		} {
			a := w.dav("POST", inbox, newDevice(endpoint).body(""))
			if a.Code != 403 || !strings.Contains(a.Body.String(), "invalid-subscription") {
				t.Errorf("%s: %d %s", endpoint, a.Code, a.Body)
			}
		}
		if log := w.log.String(); !strings.Contains(log, "push_private = true allows it") || strings.Contains(log, "meta-data") {
			t.Errorf("the log is to say what to do, and not the endpoint:\n%s", log)
		}
		for i := range 300 {
			if a := w.dav("POST", inbox, newDevice(fmt.Sprintf("https://push.example/%d", i)).body("")); a.Code != 201 {
				t.Fatalf("subscription %d: %d", i, a.Code)
			}
		}
		a := w.dav("POST", inbox, newDevice("https://push.example/one-more").body(""))
		if a.Code != 403 || !strings.Contains(a.Body.String(), "push-not-available") {
			t.Errorf("one more: %d %s", a.Code, a.Body)
		}
		if a := w.dav("POST", inbox, newDevice("https://push.example/7").body("")); a.Code != 204 {
			t.Errorf("a renewal: %d", a.Code)
		}
	})
}

// A registration is its owner's alone.
func TestPushOwner(t *testing.T) {
	inPushWorld(t, func(w *pushWorld) {
		w.Round()
		path, _ := w.subscribe(newDevice("https://push.example/alice"), 0, 201)
		back := dav.Backend{Store: w.Store, Push: w.pusher}
		id := strings.TrimPrefix(path, "/dav/push/")
		if err := back.PushUnregister(w.Ctx, caldav.Principal{Name: "bob"}, id); !errors.Is(err, caldav.ErrNotFound) {
			t.Errorf("bob removes it: %v", err)
		}
		if err := back.PushUnregister(w.Ctx, caldav.Principal{Name: ""}, id); !errors.Is(err, caldav.ErrNotFound) {
			t.Errorf("nobody removes it: %v", err)
		}
		if err := back.PushUnregister(w.Ctx, caldav.Principal{Name: "alice"}, id); err != nil {
			t.Errorf("alice removes it: %v", err)
		}
	})
}

// A name may stand for any address, so the connection is what is looked at.
func TestPushPrivateNetwork(t *testing.T) {
	hits := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hits <- r.URL.Path }))
	defer s.Close()
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, private := range []bool{false, true} {
		p := &push.Pusher{Store: roundtest.New(t).Store, Private: private, Subject: "https://calendar.example.com"}
		if err := p.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"127.0.0.1", "localhost"} {
			res, err := (&http.Client{Transport: p.Transport}).Get("http://" + host + port + "/" + host)
			if private {
				if err != nil || res.StatusCode != 200 || <-hits != "/"+host {
					t.Errorf("%s: %v", host, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "private network") {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
	if len(hits) != 0 {
		t.Error("a private address was asked")
	}
}

// The key is made once, and is sealed in the database.
func TestPushKey(t *testing.T) {
	w := roundtest.New(t)
	key := func() string {
		p := &push.Pusher{Store: w.Store, Subject: "https://calendar.example.com"}
		w.Must(p.Prepare(w.Ctx))
		k, err := dav.Backend{Store: w.Store, Push: p}.PushKey(w.Ctx)
		w.Must(err)
		return string(k)
	}
	first := key()
	w.Crash()
	if len(first) != 65 || key() != first {
		t.Error("the key is another one after a start")
	}
	if k, err := (dav.Backend{Store: w.Store}).PushKey(w.Ctx); k != nil || err != nil {
		t.Errorf("without push: %v, %v", k, err)
	}
}

package work_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/work"
)

const notifyURL = "https://bridge.test/graph/notify"

// webhook carries what Graph posts to the bridge, as the page at its notification URL does.
type webhook struct {
	mu   sync.Mutex
	b    *work.Scheduler
	down bool
}

func (h *webhook) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	b, down := h.b, h.down
	h.mu.Unlock()
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	if down {
		return answer(http.StatusBadGateway, "")
	}
	if token := r.URL.Query().Get("validationToken"); token != "" {
		return answer(http.StatusOK, token)
	}
	var delivery struct{ Value []bridge.Notification }
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&delivery); err != nil {
		return nil, err
	}
	b.Notify(delivery.Value)
	return answer(http.StatusAccepted, "")
}

func (h *webhook) set(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

// listening makes a world whose bridge runs, in a bubble of compressed time, with notifications.
func listening(t *testing.T, set func(*world), test func(*world, *webhook)) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		w := newWorld(t, func(s *graphsim.Server) {
			s.Now, s.Webhooks = nil, &http.Client{Transport: hook}
		})
		defer w.Store.Close()
		defer w.Sim.Close()
		w.realTime()
		w.s.NotifyURL, w.Rounds.ListEvery, w.Rounds.CheckpointAfter = notifyURL, time.Hour, 5*time.Minute
		if set != nil {
			set(w)
		}
		hook.b = w.s
		stop := w.run()
		defer stop()
		time.Sleep(10 * time.Second)
		test(w, hook)
	})
}

// polls counts the delta requests during a time.
func (w *world) polls(during time.Duration) int {
	w.Sim.ResetRequests()
	time.Sleep(during)
	return w.DeltaRequests()
}

func TestNotifications(t *testing.T) {
	listening(t, func(w *world) { w.Box.Calendar().Create(meeting("Before", 2, 9)) }, func(w *world, hook *webhook) {
		w.Check()
		if n := len(w.Sim.Subscriptions()); n != 1 {
			t.Fatalf("%d subscriptions", n)
		}
		if n := w.polls(time.Hour); n < 3 || n > 5 {
			t.Errorf("%d polls in an hour with notifications, want one in 15 minutes", n)
		}
		begin := time.Now()
		w.Sim.ResetRequests()
		w.Box.Calendar().Create(meeting("Now", 3, 9))
		for w.DeltaRequests() == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("a change was asked for after %s", took)
		}
		time.Sleep(5 * time.Second)
		w.Check()

		// Where notifications stop arriving, a round finds out, and polling is as before.
		hook.set(true)
		w.Box.Calendar().Create(meeting("Unheard", 4, 9))
		time.Sleep(16 * time.Minute)
		w.Check()
		if n := w.polls(time.Hour); n < 55 {
			t.Errorf("%d polls in an hour without notifications, want one a minute", n)
		}
		// And back, when one arrives.
		hook.set(false)
		w.Box.Calendar().Create(meeting("Heard", 5, 9))
		time.Sleep(5 * time.Minute)
		if n := w.polls(time.Hour); n > 6 {
			t.Errorf("%d polls in an hour with notifications again", n)
		}
	})
}

func TestNotificationsFromStrangers(t *testing.T) {
	listening(t, nil, func(w *world, hook *webhook) {
		id := w.Sim.Subscriptions()[0].ID
		time.Sleep(2 * time.Minute)
		w.Sim.ResetRequests()
		w.s.Notify([]bridge.Notification{{SubscriptionID: id, ClientState: "guessed"}, {SubscriptionID: "other"}, {}})
		time.Sleep(5 * time.Second)
		if n := w.DeltaRequests(); n != 0 {
			t.Errorf("%d polls after forged notifications", n)
		}
	})
}

// TestSubscriptionLives follows one over weeks: renewed in time, made again when Graph removes it, reauthorized.
func TestSubscriptionLives(t *testing.T) {
	listening(t, nil, func(w *world, hook *webhook) {
		first := w.Sim.Subscriptions()[0].ID
		for range 12 {
			time.Sleep(24 * time.Hour)
			subs := w.Sim.Subscriptions()
			if len(subs) != 1 || subs[0].ID != first {
				t.Fatalf("subscriptions %+v", subs)
			}
			if left := time.Until(subs[0].Expires); left < 48*time.Hour {
				t.Fatalf("it is renewed %s before its end only", left)
			}
		}
		w.Sim.Lifecycle(w.Box, "reauthorizationRequired")
		time.Sleep(5 * time.Second)
		if w.Sim.Subscriptions()[0].Paused {
			t.Error("it is not reauthorized")
		}
		w.Sim.Lifecycle(w.Box, "subscriptionRemoved")
		w.Box.Calendar().Create(meeting("Meanwhile", 3, 9))
		time.Sleep(10 * time.Second)
		if subs := w.Sim.Subscriptions(); len(subs) != 1 || subs[0].ID == first {
			t.Errorf("subscriptions %+v", subs)
		}
		w.Check()
		w.Box.Calendar().Create(meeting("Missed", 4, 9))
		w.Sim.Lifecycle(w.Box, "missed")
		time.Sleep(10 * time.Second)
		w.Check()
	})
}

// TestReauthorizeFails asks for it again, since without it Graph stops to tell.
func TestReauthorizeFails(t *testing.T) {
	var refuse atomic.Bool
	listening(t, func(w *world) {
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if refuse.Load() && r.Method == http.MethodPatch {
				return &graphsim.Fault{Status: 503}
			}
			return nil
		}
	}, func(w *world, hook *webhook) {
		refuse.Store(true)
		w.Sim.Lifecycle(w.Box, "reauthorizationRequired")
		time.Sleep(time.Hour)
		refuse.Store(false)
		time.Sleep(time.Hour)
		if w.Sim.Subscriptions()[0].Paused {
			t.Error("it is not reauthorized")
		}
	})
}

// TestSubscriptionRefused polls as ever, and tries again later.
func TestSubscriptionRefused(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	listening(t, func(w *world) {
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if refuse.Load() && strings.Contains(r.URL.Path, "/subscriptions") {
				return &graphsim.Fault{Status: 403, Code: "ExtensionError", Message: "The mailbox is currently on backend 'Unknown'"}
			}
			return nil
		}
	}, func(w *world, hook *webhook) {
		if n := w.polls(time.Hour); n < 55 {
			t.Errorf("%d polls in an hour without a subscription", n)
		}
		sub, err := w.Store.Subscription(w.Ctx, 1)
		w.Must(err)
		if sub.GraphID != "" || sub.Fault == (bridge.Fault{}) {
			t.Errorf("subscription %+v", sub)
		}
		refuse.Store(false)
		time.Sleep(20 * time.Minute)
		if n := w.polls(time.Hour); n > 6 {
			t.Errorf("%d polls in an hour with a subscription", n)
		}
	})
}

// An answer to Subscribe that is lost leaves a subscription whose secret nobody can check: it is ended, and a new one made.
func TestSubscriptionWhoseAnswerIsLost(t *testing.T) {
	var lost atomic.Int64
	listening(t, func(w *world) {
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/subscriptions") && lost.Add(1) == 1 {
				return &graphsim.Fault{DropAnswer: true}
			}
			return nil
		}
	}, func(w *world, hook *webhook) {
		list := w.Sim.Subscriptions()
		a, err := w.Store.Account(w.Ctx, "alice")
		w.Must(err)
		sub, err := w.Store.Subscription(w.Ctx, a.ID)
		w.Must(err)
		if len(list) != 1 || list[0].ID != sub.GraphID || lost.Load() != 2 {
			t.Errorf("%d subscriptions at Graph after %d requests; stored: %+v", len(list), lost.Load(), sub)
		}
	})
}

// TestSubscriptionsAfterRestart keeps the subscription that it has, replaces one that it did not note down, and ends it
// where notifications are switched off.
func TestSubscriptionsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		w := newWorld(t, func(s *graphsim.Server) { s.Now, s.Webhooks = nil, &http.Client{Transport: hook} })
		defer w.Sim.Close()
		restart := func(url string) {
			w.crash()
			w.realTime()
			w.s.NotifyURL, hook.b = url, w.s
			stop := w.run()
			time.Sleep(10 * time.Second)
			stop()
		}
		restart(notifyURL)
		first := w.Sim.Subscriptions()[0].ID
		restart(notifyURL)
		if subs := w.Sim.Subscriptions(); len(subs) != 1 || subs[0].ID != first {
			t.Errorf("after a restart: %+v", subs)
		}
		w.Must(w.Store.SetSubscription(w.Ctx, bridge.Subscription{Account: 1}))
		restart(notifyURL)
		if subs := w.Sim.Subscriptions(); len(subs) != 1 || subs[0].ID == first {
			t.Errorf("one that was not noted down: %+v", subs)
		}
		restart("")
		if subs := w.Sim.Subscriptions(); len(subs) != 0 {
			t.Errorf("switched off: %+v", subs)
		}
		w.Store.Close()
	})
}

package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"outbridge/bridge"
)

const (
	// browserLife is how long a sign-in in the browser may take.
	browserLife = 15 * time.Minute
	// deviceShown is how long after its code has expired a sign-in with a code is kept for the page that shows what came of it.
	deviceShown = 15 * time.Minute

	// While a machine waits for a code to be entered, it has a lease, and looks whether the person has given up. If it dies, the
	// next machine that is asked for the page goes on.
	waitLife  = 20 * time.Second
	waitRenew = 5 * time.Second
)

// States of a sign-in to Microsoft.
const (
	flowWaiting = "waiting"
	flowDone    = "done"
	flowFailed  = "failed"
)

// Kinds of bridge.BriefStore. A sign-in with a code is found by its account, one in the browser by its state.
const (
	deviceKind  = "device-sign-in"
	browserKind = "browser-sign-in"
)

// flows are the sign-ins to Microsoft that this process waits for. What is known of a sign-in is in the store.
type flows struct {
	mu      sync.Mutex
	waiting map[string]*deviceWait // by account
}

type deviceWait struct {
	id     string // of the sign-in
	cancel context.CancelFunc
}

// deviceFlow is a sign-in that waits for its code to be entered at Microsoft.
type deviceFlow struct {
	ID      string     `json:"id"` // another than that of the one before
	Code    DeviceCode `json:"code"`
	Other   bool       `json:"other,omitempty"` // another person than before may sign in
	State   string     `json:"state"`
	Trouble *Problem   `json:"trouble,omitempty"` // if it failed
}

// browserFlow is a sign-in that waits for the browser to come back from Microsoft.
type browserFlow struct {
	Account  string `json:"account"`
	Redirect string `json:"redirect"`
	Verifier string `json:"verifier"`
	Other    bool   `json:"other,omitempty"` // another person than before may sign in
	Session  int64  `json:"session"`
	Origin   string `json:"origin"` // of the page where the browser has its session
}

// beginDevice starts to wait for a code, in place of any earlier sign-in of the account.
func (h *Handler) beginDevice(ctx context.Context, account string, code DeviceCode, other bool) error {
	f := deviceFlow{ID: rand.Text(), Code: code, Other: other, State: flowWaiting}
	if err := h.keepDevice(ctx, account, f); err != nil {
		return err
	}
	return h.attend(ctx, account, f)
}

func (h *Handler) keepDevice(ctx context.Context, account string, f deviceFlow) error {
	value, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return h.Store.KeepBrief(ctx, deviceKind, account, value, h.now(), f.Code.Expires.Add(deviceShown))
}

// device is the current state of the account's sign-in with a code; false if there is none.
func (h *Handler) device(ctx context.Context, account string) (f deviceFlow, ok bool, err error) {
	value, err := h.Store.Brief(ctx, deviceKind, account, h.now())
	if errors.Is(err, bridge.ErrNotFound) {
		return f, false, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &f)
	}
	if err == nil && f.State == flowWaiting {
		err = h.attend(ctx, account, f)
	}
	return f, err == nil, err
}

// endDevice cancels the account's sign-in with a code, or forgets it if it has ended.
func (h *Handler) endDevice(ctx context.Context, account string) error {
	h.flows.mu.Lock()
	if one := h.flows.waiting[account]; one != nil {
		one.cancel()
	}
	h.flows.mu.Unlock()
	return h.Store.DropBrief(ctx, deviceKind, account)
}

// attend has this process wait for a sign-in, unless one does already.
func (h *Handler) attend(ctx context.Context, account string, f deviceFlow) error {
	lease := deviceKind + "/" + f.ID
	owner, err := h.Store.LeaseOwner(ctx, lease)
	if err != nil || owner != "" {
		return err
	}
	me := rand.Text()
	taken, err := h.Store.TakeLease(ctx, lease, me, waitLife)
	if err != nil || !taken {
		return err
	}
	wait, cancel := context.WithDeadline(context.Background(), f.Code.Expires.Add(time.Minute))
	one := &deviceWait{f.ID, cancel}
	h.flows.mu.Lock()
	if h.flows.waiting == nil {
		h.flows.waiting = map[string]*deviceWait{}
	}
	if old := h.flows.waiting[account]; old != nil {
		old.cancel()
	}
	h.flows.waiting[account] = one
	h.flows.mu.Unlock()
	go func() {
		defer cancel()
		go h.holdDevice(wait, cancel, account, f.ID, lease, me)
		err := h.Accounts.WaitForDevice(wait, account, f.Code, f.Other)
		h.flows.mu.Lock()
		if h.flows.waiting[account] == one {
			delete(h.flows.waiting, account)
		}
		h.flows.mu.Unlock()
		if wait.Err() != nil && err != nil && f.Code.Expires.After(time.Now()) {
			return // given up, or another machine goes on
		}
		h.endWait(account, f, err)
	}()
	return nil
}

// holdDevice keeps the lease of a sign-in, and ends the wait where that is lost or the sign-in was given up.
func (h *Handler) holdDevice(ctx context.Context, cancel context.CancelFunc, account, id, lease, me string) {
	defer cancel()
	held := time.Now()
	for {
		select {
		case <-ctx.Done():
			end, stop := context.WithTimeout(context.WithoutCancel(ctx), waitRenew)
			defer stop()
			_ = h.Store.DropLease(end, lease, me) // else it ends by itself
			return
		case <-time.After(waitRenew):
		}
		asked := time.Now()
		look, stop := context.WithTimeout(ctx, waitRenew)
		still, ok, err := h.device(look, account)
		taken := false
		if err == nil && ok && still.ID == id {
			taken, err = h.Store.TakeLease(look, lease, me, waitLife)
		}
		stop()
		switch {
		case err == nil && !taken:
			return
		case err == nil:
			held = asked
		case time.Since(held) > waitLife-waitRenew:
			return
		}
	}
}

// endWait records what came of a sign-in, unless another has taken its place.
func (h *Handler) endWait(account string, f deviceFlow, err error) {
	switch p, ok := problemOf(err); {
	case err == nil:
		f.State = flowDone
	case ok:
		f.State, f.Trouble = flowFailed, p
	default:
		f.State, f.Trouble = flowFailed, &Problem{"The sign-in failed.", "Try again. The log has the details."}
		h.log().Error("sign-in", "account", account, "err", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitLife)
	defer cancel()
	value, err := h.Store.Brief(ctx, deviceKind, account, h.now())
	var now deviceFlow
	if err == nil {
		err = json.Unmarshal(value, &now)
	}
	if err == nil && now.ID == f.ID {
		err = h.keepDevice(ctx, account, f)
	}
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		h.log().Error("what came of a sign-in cannot be kept", "account", account, "err", err)
	}
}

func (h *Handler) beginBrowser(ctx context.Context, one browserFlow) (state string, err error) {
	value, err := json.Marshal(one)
	if err != nil {
		return "", err
	}
	state, now := rand.Text(), h.now()
	return state, h.Store.KeepBrief(ctx, browserKind, state, value, now, now.Add(browserLife))
}

// browser finds a sign-in in the browser by its state, with Brief, or with TakeBrief, which removes it.
func (h *Handler) browser(ctx context.Context, state string, find func(ctx context.Context, kind, key string, now time.Time) ([]byte, error)) (one browserFlow, ok bool, err error) {
	value, err := find(ctx, browserKind, state, h.now())
	if errors.Is(err, bridge.ErrNotFound) {
		return one, false, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &one)
	}
	return one, err == nil, err
}

package web

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// browserLife is how long a sign-in in the browser may take.
const browserLife = 15 * time.Minute

// States of a sign-in to Microsoft.
const (
	flowWaiting = "waiting"
	flowDone    = "done"
	flowFailed  = "failed"
)

// flows are the sign-ins to Microsoft in progress. They are only in memory: after a restart people start again.
type flows struct {
	mu       sync.Mutex
	devices  map[string]*deviceFlow  // by account
	browsers map[string]*browserFlow // by state
}

// deviceFlow is a sign-in that waits for its code to be entered at Microsoft.
type deviceFlow struct {
	DeviceCode
	cancel  context.CancelFunc
	state   string
	trouble *Problem // if it failed
}

// browserFlow is a sign-in that waits for the browser to come back from Microsoft.
type browserFlow struct {
	account, redirect, verifier string
	other                       bool // another person than before may sign in

	session int64
	origin  string // of the page where the browser has its session
	expires time.Time
}

// beginDevice starts to wait for a code, in place of any earlier sign-in of the account.
func (h *Handler) beginDevice(account string, code DeviceCode) {
	ctx, cancel := context.WithDeadline(context.Background(), code.Expires.Add(time.Minute))
	f := &deviceFlow{DeviceCode: code, cancel: cancel, state: flowWaiting}
	h.flows.mu.Lock()
	if h.flows.devices == nil {
		h.flows.devices = map[string]*deviceFlow{}
	}
	if old := h.flows.devices[account]; old != nil {
		old.cancel()
	}
	h.flows.devices[account] = f
	h.flows.mu.Unlock()
	go func() {
		defer cancel()
		err := code.Wait(ctx)
		h.flows.mu.Lock()
		defer h.flows.mu.Unlock()
		switch p, ok := problemOf(err); {
		case err == nil:
			f.state = flowDone
		case ok:
			f.state, f.trouble = flowFailed, p
		default:
			f.state, f.trouble = flowFailed, &Problem{"The sign-in failed.", "Try again. The log has the details."}
			if !errors.Is(err, context.Canceled) {
				h.log().Error("sign-in", "account", account, "err", err)
			}
		}
	}()
}

// device is the current state of the account's sign-in with a code; false if there is none.
func (f *flows) device(account string) (deviceFlow, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.devices[account]
	if one == nil {
		return deviceFlow{}, false
	}
	return *one, true
}

// endDevice cancels the account's sign-in with a code, or forgets it if it has ended.
func (f *flows) endDevice(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.devices[account]; one != nil {
		one.cancel()
		delete(f.devices, account)
	}
}

func (f *flows) beginBrowser(one browserFlow, now time.Time) (state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.browsers == nil {
		f.browsers = map[string]*browserFlow{}
	}
	for old, b := range f.browsers {
		if now.After(b.expires) {
			delete(f.browsers, old)
		}
	}
	state = rand.Text()
	f.browsers[state] = &one
	return state
}

// browser finds a sign-in in the browser by its state; take removes it.
func (f *flows) browser(state string, now time.Time, take bool) (browserFlow, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.browsers[state]
	if one == nil || now.After(one.expires) {
		return browserFlow{}, false
	}
	if take {
		delete(f.browsers, state)
	}
	return *one, true
}

package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// sayAfter is how long somebody waits before being told what for.
const sayAfter = 5 * time.Second

// sayLater says what is waited for, unless the function that it returns is called before sayAfter.
func sayLater(w io.Writer, line string) (over func()) {
	timer := time.AfterFunc(sayAfter, func() { fmt.Fprintln(w, line) })
	return func() { timer.Stop() }
}

// waitTeller is an HTTP transport that tells the person at the terminal what a command waits for: a service that cannot be
// reached, fails, or asks to slow down. What is sent again is decided elsewhere. The same is told once.
type waitTeller struct {
	base http.RoundTripper // nil: http.DefaultTransport
	w    io.Writer

	mu   sync.Mutex
	told string
}

func (t *waitTeller) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(req)
	switch {
	case req.Context().Err() != nil:
	case err != nil:
		t.tell(fmt.Sprintf("%s cannot be reached (%v)", req.URL.Host, err))
	case resp.StatusCode == http.StatusTooManyRequests:
		after := ""
		if s := resp.Header.Get("Retry-After"); s != "" {
			after = " for " + s + " s"
		}
		t.tell(fmt.Sprintf("%s asks to wait%s", req.URL.Host, after))
	case resp.StatusCode >= 500:
		t.tell(fmt.Sprintf("%s answers %s", req.URL.Host, resp.Status))
	default:
		t.tell("")
	}
	return resp, err
}

// tell says what is waited for, "" being nothing any more.
func (t *waitTeller) tell(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch was := t.told; {
	case what == was:
		return
	case what == "":
		fmt.Fprintln(t.w, "It answers again.")
	default:
		fmt.Fprintln(t.w, "Waiting: "+strings.Join(strings.Fields(what), " ")+". It is tried again; press Ctrl-C to give up.")
	}
	t.told = what
}

package graphsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// hooks are the subscriptions and the deliveries that are under way.
type hooks struct {
	subs   []*subscription
	ctx    context.Context // of the deliveries; nil: none began yet
	stop   context.CancelFunc
	closed bool
	busy   sync.WaitGroup
}

// A postbox is a notification URL with what still has to get there.
type postbox struct {
	url    string
	queue  []map[string]any
	busy   bool // somebody delivers
	closed bool
}

const (
	validationTime = 10 * time.Second
	deliveryTime   = 3 * time.Second
	deliveryMost   = 50            // notifications in one request
	deliveryEnd    = 4 * time.Hour // after which a notification is given up
)

// Close ends all deliveries and forgets what was not delivered. Only a Server with subscriptions needs it.
func (s *Server) Close() {
	s.mu.Lock()
	s.hooks.closed = true
	if s.hooks.stop != nil {
		s.hooks.stop()
	}
	s.mu.Unlock()
	s.hooks.busy.Wait()
}

// Lifecycle sends a lifecycle notification for every subscription to a mailbox: reauthorizationRequired, which holds
// back all others until the subscription is reauthorized or renewed; subscriptionRemoved, which ends it; or missed,
// which loses what was not delivered yet. Subscriptions without a lifecycleNotificationUrl are not told.
func (s *Server) Lifecycle(m *Mailbox, event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range slices.Clone(s.live()) {
		if sub.mailbox != m {
			continue
		}
		switch event {
		case "reauthorizationRequired":
			sub.paused = true
		case "missed":
			sub.events.queue = nil
		case "subscriptionRemoved":
			sub.events.closed, sub.events.queue = true, nil
			s.hooks.subs = slices.DeleteFunc(s.hooks.subs, func(other *subscription) bool { return other == sub })
		}
		if sub.lifecycle != nil {
			n := sub.notification()
			n["lifecycleEvent"] = event
			s.post(sub.lifecycle, n)
		}
	}
}

func (sub *subscription) close() {
	for _, box := range []*postbox{sub.events, sub.lifecycle} {
		if box != nil {
			box.closed, box.queue = true, nil
		}
	}
}

// notification is what notifications of both kinds have.
func (sub *subscription) notification() map[string]any {
	return map[string]any{"subscriptionId": sub.id, "subscriptionExpirationDateTime": sub.expires.Format(time.RFC3339), "clientState": sub.state, "tenantId": tenantID}
}

// notify tells the subscribers of an event or series that it was created, updated or deleted. What happens to an
// occurrence is an update of its series.
func (s *Server) notify(x *item, change string) {
	if len(s.hooks.subs) == 0 {
		return
	}
	for _, sub := range s.live() {
		if sub.mailbox != x.cal.mailbox || sub.cal != nil && sub.cal != x.cal || sub.paused || !slices.Contains(strings.Split(sub.changes, ","), change) {
			continue
		}
		id := string(x.id(sub.immutable))
		path := "Users/" + sub.mailbox.userID() + "/Events/" + id
		data := map[string]any{"@odata.type": "#Microsoft.Graph.Event", "@odata.id": path, "id": id}
		if change != "deleted" {
			data["@odata.etag"] = `W/"` + changeKey(sub.mailbox, x.key()) + `"`
		}
		n := sub.notification()
		n["changeType"], n["resource"], n["resourceData"] = change, path, data
		s.post(sub.events, n)
	}
}

// post queues a notification, and sees that somebody delivers it.
func (s *Server) post(box *postbox, n map[string]any) {
	if box.closed || s.hooks.closed {
		return
	}
	box.queue = append(box.queue, n)
	if box.busy {
		return
	}
	if s.hooks.ctx == nil {
		s.hooks.ctx, s.hooks.stop = context.WithCancel(context.Background())
	}
	box.busy = true
	ctx := s.hooks.ctx
	s.hooks.busy.Go(func() { s.deliver(ctx, box) })
}

// deliver empties a postbox.
func (s *Server) deliver(ctx context.Context, box *postbox) {
	for {
		sleep(ctx, s.NotificationDelay)
		s.mu.Lock()
		if len(box.queue) == 0 || ctx.Err() != nil {
			box.busy = false
			s.mu.Unlock()
			return
		}
		n := min(len(box.queue), deliveryMost)
		body, err := json.Marshal(map[string]any{"value": box.queue[:n]})
		box.queue = slices.Clone(box.queue[n:])
		s.mu.Unlock()
		if err != nil {
			panic(err) // it is made of strings
		}
		began, wait := time.Now(), time.Second
		for !s.gone(box) && ctx.Err() == nil && time.Since(began) < deliveryEnd {
			status, _, _, err := s.send(ctx, deliveryTime, box.url, "application/json; charset=utf-8", body)
			if err == nil && status/100 == 2 {
				break
			}
			if s.Log != nil {
				s.Log.Debug("notification not delivered", "url", box.url, "status", status, "err", err)
			}
			sleep(ctx, wait)
			wait = min(2*wait, 5*time.Minute)
		}
	}
}

func (s *Server) gone(box *postbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return box.closed
}

// validate sends a validation request: 200, text/plain and the token, as it is after decoding, have to come back.
func (s *Server) validate(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	token := "Validation: Testing client application reachability for subscription Request-Id: " + guid("validation "+address) + " <&+%20>"
	q := u.Query()
	q.Set("validationToken", token)
	u.RawQuery = q.Encode()
	status, header, body, err := s.send(ctx, validationTime, u.String(), "text/plain; charset=utf-8", nil)
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("HTTP status code is '%d'", status)
	case kind != "text/plain":
		return fmt.Errorf("the content type is %q, not text/plain", kind)
	case string(body) != token:
		return errors.New("the answer is not the validation token")
	}
	return nil
}

// send sends one request to a notification URL, as WebhookFault lets it.
func (s *Server) send(ctx context.Context, most time.Duration, address, contentType string, body []byte) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	r.Header.Set("Content-Type", contentType)
	fault := Fault{}
	if s.WebhookFault != nil {
		if f := s.WebhookFault(r); f != nil {
			fault = *f
		}
	}
	sleep(ctx, fault.Delay)
	switch {
	case ctx.Err() != nil:
		return 0, nil, nil, ctx.Err()
	case fault.Drop:
		return 0, nil, nil, io.ErrUnexpectedEOF
	case fault.Status != 0:
		return fault.Status, nil, fault.Body, nil
	}
	client := http.Client{}
	if s.Webhooks != nil {
		client = *s.Webhooks
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer a.Body.Close()
	got, err := io.ReadAll(io.LimitReader(a.Body, 1<<16))
	if fault.DropAnswer {
		return 0, nil, nil, io.ErrUnexpectedEOF
	}
	return a.StatusCode, a.Header, got, err
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

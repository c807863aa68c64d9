package bridge

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/SherClockHolmes/webpush-go"

	"outbridge/caldav"
)

// ErrTooMany: the user has as many as anybody may have.
var ErrTooMany = errors.New("too many")

// PushSubscription is a client that is told by Web Push when a calendar has changed.
type PushSubscription struct {
	ID       string // [a-z0-9]+, unguessable
	User     string
	Calendar CalendarID
	PushTarget
	Expires   time.Time
	Rev       int64     // of the calendar, that the client was last told of
	Failures  int       // since a message was last delivered
	NotBefore time.Time // of the next message; zero: now

	Now caldav.Token // the calendar's; read only
}

// PushTarget is where messages go and what they are encrypted with. All of it is secret.
type PushTarget struct {
	Endpoint  string `json:"endpoint"`
	PublicKey []byte `json:"public_key"`
	Auth      []byte `json:"auth"`
}

const (
	minPushTime     = 3 * 24 * time.Hour // the least that the draft allows
	defaultPushTime = 7 * 24 * time.Hour
	maxPushTime     = 30 * 24 * time.Hour
	maxUserPushes   = 300 // subscriptions: 30 calendars on ten devices

	pushSettle   = time.Second      // from a publication to its message, since several often come together
	pushScan     = time.Minute      // between two looks for what another process has published
	pushTimeout  = 15 * time.Second // of one message
	pushTTL      = 24 * time.Hour   // how long a push service keeps a message for a device that is off
	pushRetry    = 30 * time.Second // after a first failure; doubled after each other one
	maxPushRetry = 6 * time.Hour
	maxPushWait  = 24 * time.Hour // that a push service may ask for

	maxPushes     = 32 // messages on their way at once
	maxHostPushes = 4  // of these to one host, so that a slow one leaves room for the others
	pushPage      = 500
)

// Pusher tells subscribed clients that a calendar has changed (WebDAV-Push; Web Push of RFC 8030 with the encryption of
// RFC 8291 and VAPID of RFC 8292). What has to be sent is worked out from what is stored, so a crash loses no message,
// and however many changes there are, a subscription has one message on its way. Set the fields, then call Prepare.
type Pusher struct {
	Store PushStore
	// Subject says to push services who is sending (RFC 8292 §2.1): an https URL or a mail address. Required.
	Subject string
	// Private also allows push services in private networks, and http.
	Private bool
	// Gap is the least time between two messages to one subscription. 0: 10 seconds.
	Gap time.Duration
	// Transport sends the messages. Nil: one of its own that connects directly and, without Private, to public addresses
	// only.
	Transport http.RoundTripper
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default
	Metrics   *Metrics         // nil: nothing is counted

	public, private []byte
	wake            chan struct{}
}

// Prepare reads the key, or makes one on first use.
func (p *Pusher) Prepare(ctx context.Context) error {
	fresh, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	kept, err := p.Store.PushKey(ctx, fresh.Bytes())
	if err != nil {
		return err
	}
	key, err := ecdh.P256().NewPrivateKey(kept)
	if err != nil {
		return fmt.Errorf("push key: %w", err)
	}
	p.private, p.public = kept, key.PublicKey().Bytes()
	p.wake = make(chan struct{}, 1)
	if p.Transport == nil {
		p.Transport = pushTransport(p.Private)
	}
	return nil
}

// Published says that a calendar has changed. It never blocks.
func (p *Pusher) Published(CalendarID) {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run sends messages until ctx ends.
func (p *Pusher) Run(ctx context.Context) error {
	done := make(chan *PushSubscription)
	flying := map[string]bool{} // by subscription
	hosts := map[string]int{}
	for {
		next, err := p.launch(ctx, flying, hosts, done)
		if err != nil && ctx.Err() == nil {
			p.log().Error("push", "err", err)
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			for range flying {
				<-done
			}
			return nil
		case s := <-done:
			delete(flying, s.ID)
			hosts[s.host()]--
		case <-p.wake:
			sleep(ctx, pushSettle)
		case <-timer.C:
		}
		timer.Stop()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// launch starts to send what is due, and returns how long there is nothing else to start.
func (p *Pusher) launch(ctx context.Context, flying map[string]bool, hosts map[string]int, done chan<- *PushSubscription) (time.Duration, error) {
	now := p.now()
	if err := p.Store.DropExpiredPushSubscriptions(ctx, now); err != nil {
		return pushScan, err
	}
	list, err := p.Store.BehindPushSubscriptions(ctx, pushPage)
	if err != nil {
		return pushScan, err
	}
	for i := range list {
		s := &list[i]
		if wait := s.NotBefore.Sub(now); wait > 0 {
			return min(wait, pushScan), nil
		}
		if flying[s.ID] || hosts[s.host()] >= maxHostPushes || len(flying) >= maxPushes {
			continue
		}
		flying[s.ID] = true
		hosts[s.host()]++
		go func() {
			if err := p.deliver(ctx, s); err != nil {
				p.log().Error("push", "user", s.User, "err", err)
				sleep(ctx, pushRetry) // what is not recorded would be sent again at once
			}
			done <- s
		}()
	}
	return pushScan, nil
}

func (t PushTarget) host() string {
	u, err := url.Parse(t.Endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}

// deliver sends one message and records what became of it.
func (p *Pusher) deliver(ctx context.Context, s *PushSubscription) error {
	log := p.log().With("user", s.User, "push_service", s.host())
	status, wait, err := p.send(ctx, s)
	if err != nil && ctx.Err() != nil {
		return nil // it is sent after the next start
	}
	ctx = context.WithoutCancel(ctx) // what has been sent is recorded even when the program ends now
	switch {
	case err == nil && status/100 == 2:
		p.Metrics.Pushed("sent")
		return p.Store.SetDelivery(ctx, s.ID, s.Now.Rev, 0, p.after(cmp.Or(p.Gap, 10*time.Second)))
	case status == http.StatusNotFound || status == http.StatusGone:
		p.Metrics.Pushed("dropped")
		log.Info("push subscription dropped: the push service knows it no more")
		return p.Store.DropPushSubscription(ctx, s.ID)
	case err == nil:
		err = fmt.Errorf("status %d", status)
	}
	p.Metrics.Pushed("failed")
	s.Failures++
	if wait == 0 {
		wait = min(pushRetry<<min(s.Failures-1, 20), maxPushRetry)
	}
	log.Debug("push message not delivered", "failures", s.Failures, "again_in", wait, "err", err)
	return p.Store.SetDelivery(ctx, s.ID, s.Rev, s.Failures, p.after(wait))
}

// after is a whole second, which is what the store keeps.
func (p *Pusher) after(wait time.Duration) time.Time {
	return p.now().Add(wait + time.Second - 1).Truncate(time.Second)
}

// send posts one message. Wait is what the push service asks for, or 0.
func (p *Pusher) send(ctx context.Context, s *PushSubscription) (status int, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	base64url := base64.RawURLEncoding.EncodeToString
	collapse := sha256.Sum256([]byte(s.ID))
	res, err := webpush.SendNotificationWithContext(ctx, caldav.PushMessage(pushTopic(s.Now.Epoch), s.Now),
		&webpush.Subscription{Endpoint: s.Endpoint, Keys: webpush.Keys{Auth: base64url(s.Auth), P256dh: base64url(s.PublicKey)}},
		&webpush.Options{
			HTTPClient: pushClient{p.Transport}, Subscriber: p.Subject, TTL: int(pushTTL.Seconds()), Urgency: webpush.UrgencyNormal,
			// Of messages that wait at the push service the last is enough (RFC 8030 §5.4). One endpoint may serve several
			// calendars, and their names are none of its business.
			Topic:          base64url(collapse[:])[:32],
			VAPIDPublicKey: base64url(p.public), VAPIDPrivateKey: base64url(p.private),
		})
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	return res.StatusCode, p.retryAfter(res.Header.Get("Retry-After")), nil
}

// pushClient names what is inside of the encryption, as the draft wants it, and follows no redirect: a push service
// answers at the address that it gave out.
type pushClient struct{ http.RoundTripper }

func (c pushClient) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Content-Type", `application/xml; charset="utf-8"`)
	return c.RoundTrip(r)
}

// retryAfter reads a number of seconds or a date (RFC 9110 §10.2.3); 0 where there is none.
func (p *Pusher) retryAfter(s string) time.Duration {
	if s == "" {
		return 0
	}
	wait := maxPushWait
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		wait = at.Sub(p.now())
	} else {
		return 0
	}
	return min(max(wait, time.Second), maxPushWait)
}

func (p *Pusher) now() time.Time {
	if p.Now != nil {
		return p.Now().UTC()
	}
	return time.Now().UTC()
}

func (p *Pusher) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.Default()
}

func (b Backend) PushKey(context.Context) ([]byte, error) {
	if b.Push == nil {
		return nil, nil
	}
	return b.Push.public, nil
}

func (b Backend) PushTopic(c caldav.Calendar) string { return pushTopic(c.Token.Epoch) }

// pushTopic is made of the epoch, which is random and lives as long as the calendar does.
func pushTopic(epoch string) string {
	sum := sha256.Sum256([]byte("push topic\x00" + epoch))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (b Backend) PushRegister(ctx context.Context, u caldav.Principal, c caldav.Calendar, s caldav.PushSubscription) (caldav.PushRegistration, bool, error) {
	if b.Push == nil {
		return caldav.PushRegistration{}, false, caldav.ErrPushUnavailable
	}
	target := PushTarget{Endpoint: s.Endpoint, PublicKey: s.PublicKey, Auth: s.Auth}
	if err := b.Push.allowed(s.Endpoint); err != nil {
		b.Push.log().Warn("push subscription refused", "user", u.Name, "push_service", target.host(), "err", err)
		return caldav.PushRegistration{}, false, fmt.Errorf("%w: %w", caldav.ErrPushSubscription, err)
	}
	now := b.Push.now().Truncate(time.Second)
	expires := now.Add(defaultPushTime)
	if !s.Expires.IsZero() {
		// DAVx5 asks for three days and renews two days before the end.
		expires = now.Add(min(max(s.Expires.Sub(now), minPushTime), maxPushTime))
	}
	kept, created, err := b.Store.AddPushSubscription(ctx, PushSubscription{
		User: u.Name, Calendar: c.Key.(CalendarID), PushTarget: target, Expires: expires,
	}, maxUserPushes)
	if errors.Is(err, ErrTooMany) {
		err = fmt.Errorf("%w: %w", caldav.ErrPushUnavailable, err)
	}
	return caldav.PushRegistration{ID: kept.ID, Expires: kept.Expires}, created, davError(err)
}

func (b Backend) PushUnregister(ctx context.Context, u caldav.Principal, id string) error {
	return davError(b.Store.RemovePushSubscription(ctx, u.Name, id))
}

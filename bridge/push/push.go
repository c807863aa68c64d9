// Package push tells subscribed clients that a calendar has changed: who is told, how, and through which connections
// (WebDAV-Push, draft-bitfire-webdav-push). It knows nothing of what changed.
package push

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

	"outbridge/bridge"
	"outbridge/caldav"
)

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
	Store bridge.PushStore
	// Subject says to push services who is sending (RFC 8292 §2.1): an https URL or a mail address. Required.
	Subject string
	// Private also allows push services in private networks, and http.
	Private bool
	// Gap is the least time between two messages to one subscription. 0: 10 seconds.
	Gap time.Duration
	// Transport sends the messages. Nil: one of its own that connects directly and, without Private, to public addresses
	// only.
	Transport http.RoundTripper
	// Shared: several processes send, and each message is claimed by one.
	Shared bool

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: slog.Default
	// Pushed is called with what became of a message: "sent", "failed", or "dropped" where the subscription is gone. Nil: not
	// called.
	Pushed func(result string)

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
func (p *Pusher) Published(bridge.CalendarID) {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run sends messages until ctx ends.
func (p *Pusher) Run(ctx context.Context) error {
	done := make(chan *bridge.PushSubscription)
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
			hosts[s.Host()]--
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
func (p *Pusher) launch(ctx context.Context, flying map[string]bool, hosts map[string]int, done chan<- *bridge.PushSubscription) (time.Duration, error) {
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
		if flying[s.ID] || hosts[s.Host()] >= maxHostPushes || len(flying) >= maxPushes {
			continue
		}
		flying[s.ID] = true
		hosts[s.Host()]++
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

// deliver sends one message and records what became of it.
func (p *Pusher) deliver(ctx context.Context, s *bridge.PushSubscription) error {
	if p.Shared {
		now := p.now()
		claimed, err := p.Store.ClaimDelivery(ctx, s.ID, now, now.Add(2*pushTimeout))
		if err != nil || !claimed {
			return err
		}
	}
	log := p.log().With("user", s.User, "push_service", s.Host())
	status, wait, err := p.send(ctx, s)
	if err != nil && ctx.Err() != nil {
		return nil // it is sent after the next start
	}
	ctx = context.WithoutCancel(ctx) // what has been sent is recorded even when the program ends now
	switch {
	case err == nil && status/100 == 2:
		p.pushed("sent")
		return p.Store.SetDelivery(ctx, s.ID, s.CalendarRev, 0, p.after(cmp.Or(p.Gap, 10*time.Second)))
	case status == http.StatusNotFound || status == http.StatusGone:
		p.pushed("dropped")
		log.Info("push subscription dropped: the push service knows it no more")
		return p.Store.DropPushSubscription(ctx, s.ID)
	case err == nil:
		err = fmt.Errorf("status %d", status)
	}
	p.pushed("failed")
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
func (p *Pusher) send(ctx context.Context, s *bridge.PushSubscription) (status int, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	base64url := base64.RawURLEncoding.EncodeToString
	collapse := sha256.Sum256([]byte(s.ID))
	res, err := webpush.SendNotificationWithContext(ctx, caldav.PushMessage(topic(s.Epoch), caldav.Token{Epoch: s.Epoch, Rev: s.CalendarRev}),
		&webpush.Subscription{Endpoint: s.Endpoint, Keys: webpush.Keys{Auth: base64url(s.Auth), P256dh: base64url(s.PublicKey)}},
		&webpush.Options{
			HTTPClient: pushClient{p.Transport}, Subscriber: p.Subject, TTL: int(pushTTL.Seconds()), Urgency: webpush.UrgencyNormal,
			// Of messages that wait at the push service the last is enough (RFC 8030 §5.4). One endpoint may serve several
			// calendars, and their names are none of its business.
			Topic:          base64url(collapse[:])[:32],
			VAPIDPublicKey: base64url(p.public), VAPIDPrivateKey: base64url(p.private),
		})
	var asked *url.Error // names the endpoint, which is a secret
	if errors.As(err, &asked) {
		err = asked.Err
	}
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

func (p *Pusher) pushed(result string) {
	if p.Pushed != nil {
		p.Pushed(result)
	}
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

// Key is the public key that messages are signed with, uncompressed (RFC 8292 §3.2).
func (p *Pusher) Key() []byte { return p.public }

// Topic names a calendar to push services and devices without saying which it is.
func (p *Pusher) Topic(c caldav.Calendar) string { return topic(c.Token.Epoch) }

// topic is made of the epoch, which is random and lives as long as the calendar does.
func topic(epoch string) string {
	sum := sha256.Sum256([]byte("push topic\x00" + epoch))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Register keeps a subscription of a user to a calendar, in place of one of the same endpoint. The error wraps
// caldav.ErrPushSubscription where the endpoint may not be used, and caldav.ErrPushUnavailable where the user has too many.
func (p *Pusher) Register(ctx context.Context, user string, calendar bridge.CalendarID, s caldav.PushSubscription) (r caldav.PushRegistration, created bool, err error) {
	target := bridge.PushTarget{Endpoint: s.Endpoint, PublicKey: s.PublicKey, Auth: s.Auth}
	if err := p.allowed(s.Endpoint); err != nil {
		p.log().Warn("push subscription refused", "user", user, "push_service", target.Host(), "err", err)
		return r, false, fmt.Errorf("%w: %w", caldav.ErrPushSubscription, err)
	}
	now := p.now().Truncate(time.Second)
	expires := now.Add(defaultPushTime)
	if !s.Expires.IsZero() {
		// DAVx5 asks for three days and renews two days before the end.
		expires = now.Add(min(max(s.Expires.Sub(now), minPushTime), maxPushTime))
	}
	kept, created, err := p.Store.AddPushSubscription(ctx, bridge.PushSubscription{
		User: user, Calendar: calendar, PushTarget: target, Expires: expires,
	}, maxUserPushes)
	if errors.Is(err, bridge.ErrTooMany) {
		err = fmt.Errorf("%w: %w", caldav.ErrPushUnavailable, err)
	}
	return caldav.PushRegistration{ID: kept.ID, Expires: kept.Expires}, created, err
}

// Unregister ends a subscription of a user. ErrNotFound: there is none.
func (p *Pusher) Unregister(ctx context.Context, user, id string) error {
	return p.Store.RemovePushSubscription(ctx, user, id)
}

package work

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

const (
	// subscriptionLife is what is asked for: Graph allows events somewhat less than 7 days, and what it grants counts.
	subscriptionLife = 6 * 24 * time.Hour
	// subscribeRetry is how long a refused subscription is not asked for again.
	subscribeRetry = 15 * time.Minute
)

// listener keeps an account's subscription to changes alive, and knows whether notifications arrive. Without one the bridge
// polls, so nothing here is an error of a round.
type listener struct {
	mailbox Mailbox
	store   Store
	url     string // that Graph is to notify; "": none
	now     func() time.Time
	log     *slog.Logger

	// Of the account's worker alone:
	loaded bool
	tried  time.Time // when a subscription was last asked for without success

	mu          sync.Mutex // guards the rest, which hear writes too
	sub         bridge.Subscription
	removed     bool // Graph says that it has removed the subscription
	reauthorize bool // Graph asks for it
	current     bool // the last round was good, so whatever has changed since is to be told of
	missed      bool // a round found changes that nobody had told of
}

// hear takes a notification, and reports whether it is of the account's subscription. state is the hash of its clientState.
func (l *listener) hear(n bridge.Notification, state []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sub.GraphID == "" || l.sub.GraphID != n.SubscriptionID || subtle.ConstantTimeCompare(state, l.sub.State) != 1 {
		return false
	}
	l.missed = false
	switch n.LifecycleEvent {
	case "subscriptionRemoved":
		l.removed = true
	case "reauthorizationRequired":
		l.reauthorize = true
	}
	return true
}

// healthy reports whether notifications may be relied on.
func (l *listener) healthy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.url != "" && l.sub.GraphID != "" && !l.missed && !l.removed && l.now().Before(l.sub.Expires)
}

// roundDone takes note of a round: where nobody nudged it and it found changes since a good one, notifications do not
// arrive. What it found after a start, a fault or a new subscription may have been there before.
func (l *listener) roundDone(relied, nudged, changed bool, err error) {
	l.mu.Lock()
	missed := relied && l.current && !nudged && changed
	l.current = relied && err == nil
	l.missed = l.missed || missed
	l.mu.Unlock()
	if missed {
		l.log.Warn("a change was not notified; polling at the usual interval until notifications arrive")
	}
}

// keep keeps the subscription alive: made when it is missing, renewed when half its life is over, and ended where
// notifications are switched off.
func (l *listener) keep(ctx context.Context, id bridge.AccountID) {
	if err := l.load(ctx, id); err != nil {
		l.log.Error("subscription", "err", err)
		return
	}
	l.mu.Lock()
	sub, removed, reauthorize := l.sub, l.removed, l.reauthorize
	l.removed, l.reauthorize = false, false
	l.mu.Unlock()
	if l.url == "" {
		if sub.GraphID != "" || sub.Fault != (bridge.Fault{}) {
			l.end(ctx, sub)
		}
		return
	}
	now := l.now()
	gone := sub.GraphID == "" || removed || !now.Before(sub.Expires) || sub.URL != l.url
	var err error
	switch {
	case gone && bridge.Elapsed(now, l.tried) < subscribeRetry && !removed:
		return
	case gone:
		sub, err = l.subscribe(ctx, sub)
	case reauthorize || !now.Before(sub.Renew):
		sub, err = l.renew(ctx, sub)
	default:
		return
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.log.Warn("Microsoft Graph takes no subscription to changes; they are polled for", "err", err)
		l.tried, sub.Fault = now, bridge.FaultOf(err)
		l.mu.Lock()
		l.reauthorize = l.reauthorize || reauthorize && sub.GraphID != ""
		l.mu.Unlock()
	} else {
		l.log.Info("subscribed to changes", "until", sub.Expires)
		l.tried, sub.Fault = time.Time{}, bridge.Fault{}
	}
	l.save(ctx, sub)
}

// load reads the stored subscription once.
func (l *listener) load(ctx context.Context, id bridge.AccountID) error {
	if l.loaded {
		return nil
	}
	sub, err := l.store.Subscription(ctx, id)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return err
	}
	sub.Account = id
	l.mu.Lock()
	l.sub = sub
	l.mu.Unlock()
	l.loaded = true
	return nil
}

func (l *listener) save(ctx context.Context, sub bridge.Subscription) {
	l.mu.Lock()
	l.current = l.current && l.sub.GraphID == sub.GraphID
	l.sub = sub
	l.mu.Unlock()
	if err := l.store.SetSubscription(ctx, sub); err != nil {
		l.log.Error("subscription", "err", err)
	}
}

func (l *listener) renew(ctx context.Context, sub bridge.Subscription) (bridge.Subscription, error) {
	now := l.now()
	granted, err := l.mailbox.Subscriptions.RenewSubscription(ctx, sub.GraphID, now.Add(subscriptionLife))
	if graph.IsNotFound(err) {
		return l.subscribe(ctx, sub)
	}
	if err != nil {
		return sub, err
	}
	return sub.Until(granted.Expires, now), nil
}

// subscribe makes a subscription in place of what is left of an old one.
func (l *listener) subscribe(ctx context.Context, old bridge.Subscription) (bridge.Subscription, error) {
	secret := rand.Text()
	sum := sha256.Sum256([]byte(secret))
	now := l.now()
	want := graph.Subscription{
		ChangeType: "created,updated,deleted", NotificationURL: l.url, LifecycleNotificationURL: l.url,
		ClientState: secret, Expires: now.Add(subscriptionLife),
	}
	sub := bridge.Subscription{Account: old.Account, State: sum[:], URL: l.url}
	if old.GraphID != "" {
		_ = l.mailbox.Subscriptions.DeleteSubscription(ctx, old.GraphID) // it may be gone; what matters is the new one
	}
	granted, err := l.mailbox.Subscriptions.Subscribe(ctx, want)
	if graph.IsConflict(err) || errors.Is(err, graph.ErrMayHaveHappened) {
		// One was made and not noted down: a crash between the two, or the answer was lost.
		if err := l.dropAll(ctx); err != nil {
			return sub, err
		}
		granted, err = l.mailbox.Subscriptions.Subscribe(ctx, want)
	}
	if err != nil {
		return sub, err
	}
	sub.GraphID = granted.ID
	return sub.Until(granted.Expires, now), nil
}

// dropAll deletes all subscriptions of the mailbox that notify this bridge.
func (l *listener) dropAll(ctx context.Context) error {
	list, err := l.mailbox.Subscriptions.Subscriptions(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.NotificationURL != l.url {
			continue
		}
		if err := l.mailbox.Subscriptions.DeleteSubscription(ctx, s.ID); err != nil && !graph.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// end ends the subscription.
func (l *listener) end(ctx context.Context, sub bridge.Subscription) {
	if sub.GraphID != "" && l.now().Before(sub.Expires) {
		if err := l.mailbox.Subscriptions.DeleteSubscription(ctx, sub.GraphID); err != nil && !graph.IsNotFound(err) {
			l.log.Warn("the subscription to changes cannot be ended; it expires by itself", "err", err)
		}
	}
	l.save(ctx, bridge.Subscription{Account: sub.Account})
}

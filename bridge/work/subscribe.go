package work

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
)

const (
	// subscriptionLife is what is asked for: Graph allows events somewhat less than 7 days, and what it grants counts.
	subscriptionLife = 6 * 24 * time.Hour
	// subscribeRetry is how long a refused subscription is not asked for again.
	subscribeRetry = 15 * time.Minute
	// nudgeGap keeps a burst of notifications from becoming a burst of rounds.
	nudgeGap = time.Second
)

// Notify takes notifications: the accounts whose subscriptions they prove to come from begin a round at once. Others
// are ignored. It never blocks.
func (b *Scheduler) Notify(list []bridge.Notification) {
	nudged := map[string]bool{}
	b.mu.Lock()
	for _, n := range list {
		sum := sha256.Sum256([]byte(n.ClientState))
		for account, e := range b.ears {
			if e.sub.GraphID == "" || e.sub.GraphID != n.SubscriptionID || subtle.ConstantTimeCompare(sum[:], e.sub.State) != 1 {
				continue
			}
			nudged[account], e.deaf = true, false
			switch n.LifecycleEvent {
			case "subscriptionRemoved":
				e.removed = true
			case "reauthorizationRequired":
				e.reauthorize = true
			}
		}
	}
	b.mu.Unlock()
	for account := range nudged {
		b.Nudge(account)
	}
}

// ear is how an account hears of changes.
type ear struct {
	sub         bridge.Subscription
	loaded      bool
	tried       time.Time // when a subscription was last asked for in vain
	removed     bool      // Graph says that it has removed it
	reauthorize bool      // Graph asks for it
	listening   bool      // the last round was good, and whatever has changed since is to be told of
	deaf        bool      // a round found changes that nobody had told of
}

func (b *Scheduler) ear(account string) *ear {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ears == nil {
		b.ears = map[string]*ear{}
	}
	if b.ears[account] == nil {
		b.ears[account] = new(ear)
	}
	return b.ears[account]
}

// healthy reports whether the account may rely on notifications.
func (b *Scheduler) healthy(account string) bool {
	e := b.ear(account)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.NotifyURL != "" && e.sub.GraphID != "" && !e.deaf && !e.removed && b.now().Before(e.sub.Expires)
}

// overheard takes note of a round: where nobody nudged it and it found changes since a good one, notifications do not
// arrive. What it found after a start, a fault or a new subscription may have been there before, and of calendars of
// other people nobody tells.
func (b *Scheduler) overheard(m round.Mailbox, nudged bool, r bridge.Report, err error) {
	healthy := b.healthy(m.Name) && len(m.Shared) == 0
	e := b.ear(m.Name)
	b.mu.Lock()
	missed := healthy && e.listening && !nudged && r.Changed() > 0
	e.listening = healthy && err == nil
	e.deaf = e.deaf || missed
	b.mu.Unlock()
	if !missed {
		return
	}
	b.log().Warn("a change was not notified; polling at the usual interval until notifications arrive", "account", m.Name)
}

// listen keeps the account's subscription alive: made when it is missing, renewed when half its life is over, and ended
// where notifications are switched off. Without one the bridge polls, so nothing here is an error of a round.
func (b *Scheduler) listen(ctx context.Context, m round.Mailbox) {
	log := b.log().With("account", m.Name)
	e := b.ear(m.Name)
	if !e.loaded {
		a, err := b.Store.EnsureAccount(ctx, m.Name)
		if err == nil {
			var sub bridge.Subscription
			if sub, err = b.Store.Subscription(ctx, a.ID); errors.Is(err, bridge.ErrNotFound) {
				err = nil
			}
			sub.Account = a.ID
			b.mu.Lock()
			e.sub = sub
			b.mu.Unlock()
		}
		if err != nil {
			log.Error("subscription", "err", err)
			return
		}
		e.loaded = true
	}
	b.mu.Lock()
	sub, removed, reauthorize := e.sub, e.removed, e.reauthorize
	e.removed, e.reauthorize = false, false
	b.mu.Unlock()
	now := b.now()
	if b.NotifyURL == "" {
		if sub.GraphID != "" || sub.Fault != "" {
			b.unsubscribe(ctx, m, sub, log)
		}
		return
	}
	gone := sub.GraphID == "" || removed || !now.Before(sub.Expires) || sub.URL != b.NotifyURL
	var err error
	switch {
	case gone && bridge.Elapsed(now, e.tried) < subscribeRetry && !removed:
		return
	case gone:
		sub, err = b.subscribe(ctx, m, sub)
	case reauthorize || !now.Before(sub.Renew):
		var granted graph.Subscription
		granted, err = m.Graph.RenewSubscription(ctx, sub.GraphID, now.Add(subscriptionLife))
		if graph.IsNotFound(err) {
			sub, err = b.subscribe(ctx, m, sub)
		} else if err == nil {
			sub = sub.Until(granted.Expires, now)
		}
	default:
		return
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		log.Warn("Microsoft Graph takes no subscription to changes; they are polled for", "err", err)
		e.tried = now
		sub.Fault = bridge.Sentence(err)
		b.mu.Lock()
		e.reauthorize = e.reauthorize || reauthorize && sub.GraphID != ""
		b.mu.Unlock()
	} else {
		log.Info("subscribed to changes", "until", sub.Expires)
		e.tried = time.Time{}
		sub.Fault = ""
	}
	b.keepSubscription(ctx, e, sub, log)
}

func (b *Scheduler) keepSubscription(ctx context.Context, e *ear, sub bridge.Subscription, log *slog.Logger) {
	b.mu.Lock()
	e.listening = e.listening && e.sub.GraphID == sub.GraphID
	e.sub = sub
	b.mu.Unlock()
	if err := b.Store.SetSubscription(ctx, sub); err != nil {
		log.Error("subscription", "err", err)
	}
}

// subscribe makes a subscription in place of what is left of an old one.
func (b *Scheduler) subscribe(ctx context.Context, m round.Mailbox, old bridge.Subscription) (bridge.Subscription, error) {
	secret := rand.Text()
	sum := sha256.Sum256([]byte(secret))
	now := b.now()
	want := graph.Subscription{
		ChangeType: "created,updated,deleted", NotificationURL: b.NotifyURL, LifecycleNotificationURL: b.NotifyURL,
		ClientState: secret, Expires: now.Add(subscriptionLife),
	}
	sub := bridge.Subscription{Account: old.Account, State: sum[:], URL: b.NotifyURL}
	if old.GraphID != "" {
		_ = m.Graph.DeleteSubscription(ctx, old.GraphID) // it may be gone; what matters is the new one
	}
	granted, err := m.Graph.Subscribe(ctx, want)
	if graph.IsConflict(err) {
		// One that was made and not noted down: a crash between the two.
		if err := b.dropSubscriptions(ctx, m); err != nil {
			return sub, err
		}
		granted, err = m.Graph.Subscribe(ctx, want)
	}
	if err != nil {
		return sub, err
	}
	sub.GraphID = granted.ID
	return sub.Until(granted.Expires, now), nil
}

// dropSubscriptions deletes all subscriptions of the mailbox that notify this bridge.
func (b *Scheduler) dropSubscriptions(ctx context.Context, m round.Mailbox) error {
	list, err := m.Graph.Subscriptions(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.NotificationURL != b.NotifyURL {
			continue
		}
		if err := m.Graph.DeleteSubscription(ctx, s.ID); err != nil && !graph.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (b *Scheduler) unsubscribe(ctx context.Context, m round.Mailbox, sub bridge.Subscription, log *slog.Logger) {
	if sub.GraphID != "" && b.now().Before(sub.Expires) {
		if err := m.Graph.DeleteSubscription(ctx, sub.GraphID); err != nil && !graph.IsNotFound(err) {
			log.Warn("the subscription to changes cannot be ended; it expires by itself", "err", err)
		}
	}
	b.keepSubscription(ctx, b.ear(m.Name), bridge.Subscription{Account: sub.Account}, log)
}

package notice

import (
	"context"
	"slices"
	"sync"
	"time"

	"outbridge/bridge"
)

// deliverAll sends what waits until ctx ends.
func (w *Watcher) deliverAll(ctx context.Context) {
	for {
		wait := w.Deliver(ctx)
		select {
		case <-ctx.Done():
			return
		case <-w.mail:
		case <-time.After(wait):
		}
	}
}

// Deliver sends the oldest message of each target that is due, until none is, and returns how long nothing will be.
func (w *Watcher) Deliver(ctx context.Context) time.Duration {
	for {
		due, targets, wait := w.due(ctx)
		if len(due) == 0 || ctx.Err() != nil {
			return wait
		}
		var all sync.WaitGroup
		for _, m := range due {
			all.Go(func() { w.deliver(ctx, m, targets[m.Target]) })
		}
		all.Wait()
	}
}

// due are the messages to send now, one for a target. Those of targets that are not there any more are dropped.
func (w *Watcher) due(ctx context.Context) (due []bridge.NoticeMessage, targets map[string]bridge.NoticeTarget, wait time.Duration) {
	list, err := w.Targets(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.log().Warn("the targets of notifications cannot be read", "err", err)
		}
		return nil, nil, lookEvery
	}
	targets = map[string]bridge.NoticeTarget{}
	for _, t := range list {
		targets[t.ID] = t
	}
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	wait = maxRetry
	taken := map[string]bool{}
	w.messages = slices.DeleteFunc(w.messages, func(m bridge.NoticeMessage) bool {
		if _, there := targets[m.Target]; !there {
			return true
		}
		switch {
		case taken[m.Target]: // its turn comes after the one before
		case w.flying[m.Target]:
			wait = min(wait, lookEvery)
		case m.NotBefore.After(now):
			wait = min(wait, m.NotBefore.Sub(now))
		default:
			due = append(due, m)
		}
		taken[m.Target] = true
		return false
	})
	return due, targets, wait
}

// deliver sends one message and notes what became of it.
func (w *Watcher) deliver(ctx context.Context, m bridge.NoticeMessage, t bridge.NoticeTarget) {
	title, text := w.Words(m, t.Language)
	failure := w.send(ctx, t, title, text)
	if failure != (bridge.NoticeFailure{}) && ctx.Err() != nil {
		return // it is sent after the next start
	}
	ctx = context.WithoutCancel(ctx)
	w.note(ctx, t, failure)
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.messages, func(one bridge.NoticeMessage) bool { return one.ID == m.ID })
	if i < 0 {
		return
	}
	now := w.now()
	if failure == (bridge.NoticeFailure{}) || now.Sub(m.Created) >= giveUp {
		w.messages = slices.Delete(w.messages, i, i+1)
	} else {
		w.messages[i].Failures++
		w.messages[i].NotBefore = now.Add(min(firstRetry<<min(m.Failures, 20), maxRetry))
	}
	if err := w.save(ctx); err != nil {
		w.log().Warn("the delivery of a notification cannot be noted", "err", err)
	}
}

// send delivers a message, and waits for that no longer than sendTime. A target with a delivery that has not ended gets no other
// one.
func (w *Watcher) send(ctx context.Context, t bridge.NoticeTarget, title, text string) bridge.NoticeFailure {
	w.mu.Lock()
	if w.flying[t.ID] {
		w.mu.Unlock()
		return bridge.NoticeFailure{Reason: "timeout"}
	}
	w.flying[t.ID] = true
	w.mu.Unlock()
	send := w.Send
	if send == nil {
		send = Send
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		err := send(ctx, t.URL, title, text)
		w.mu.Lock()
		delete(w.flying, t.ID)
		w.mu.Unlock()
		ended <- err
	}()
	select {
	case err := <-ended:
		return FailureOf(err)
	case <-ctx.Done():
		return bridge.NoticeFailure{Reason: "timeout"}
	}
}

// note records what became of a message, and logs what has changed by it.
func (w *Watcher) note(ctx context.Context, t bridge.NoticeTarget, failure bridge.NoticeFailure) {
	log := w.log().With("service", t.Service, "target", t.ID)
	switch {
	case failure == t.Last.Failure && failure != bridge.NoticeFailure{}:
		log.Debug("notification not delivered", "err", failedError{failure})
	case failure != bridge.NoticeFailure{}:
		log.Warn("notification not delivered; it is sent again later", "err", failedError{failure})
	default:
		log.Info("notification delivered")
	}
	if err := w.Store.SetNoticeDelivery(ctx, t.ID, bridge.NoticeDelivery{At: w.now(), Failure: failure}); err != nil {
		log.Warn("the delivery of a notification cannot be noted", "err", err)
	}
}

// Targets are those of the configuration, then those of the pages.
func (w *Watcher) Targets(ctx context.Context) ([]bridge.NoticeTarget, error) {
	kept, err := w.Store.NoticeTargets(ctx)
	if err != nil {
		return nil, err
	}
	last, err := w.Store.NoticeDeliveries(ctx)
	if err != nil {
		return nil, err
	}
	var list []bridge.NoticeTarget
	w.mu.Lock()
	configured, language := w.configured, w.language
	w.mu.Unlock()
	for _, u := range configured {
		list = append(list, bridge.NoticeTarget{ID: w.Store.NoticeTargetID(u), URL: u, Language: language, Configured: true})
	}
	list = append(list, kept...)
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(t bridge.NoticeTarget) bool {
		twice := seen[t.ID]
		seen[t.ID] = true
		return twice
	})
	for i, t := range list {
		list[i] = Described(t)
		list[i].Last = last[t.ID]
	}
	return list, nil
}

// maxTargets bounds those of the pages.
const maxTargets = 20

// Add keeps a target of the pages, with its language. The error is bridge.ErrNoticeURL where nothing can be sent there, and bridge.ErrTooMany.
func (w *Watcher) Add(ctx context.Context, text, language string) (id string, err error) {
	normal, err := Normal(text)
	if err != nil {
		return "", err
	}
	have, err := w.Store.NoticeTargets(ctx)
	if err != nil {
		return "", err
	}
	if len(have) >= maxTargets {
		return "", bridge.ErrTooMany
	}
	return w.Store.AddNoticeTarget(ctx, normal, language, w.now())
}

// Remove forgets a target of the pages, with what waits for it.
func (w *Watcher) Remove(ctx context.Context, id string) error {
	return w.Store.RemoveNoticeTarget(ctx, id)
}

// Test sends a message to a target now, or returns bridge.ErrNotFound.
func (w *Watcher) Test(ctx context.Context, id string) (bridge.NoticeFailure, error) {
	list, err := w.Targets(ctx)
	if err != nil {
		return bridge.NoticeFailure{}, err
	}
	i := slices.IndexFunc(list, func(t bridge.NoticeTarget) bool { return t.ID == id })
	if i < 0 {
		return bridge.NoticeFailure{}, bridge.ErrNotFound
	}
	now := w.now()
	title, text := w.Words(bridge.NoticeMessage{Created: now, News: []bridge.News{{Notice: bridge.Notice{Kind: bridge.NoticeTest, Since: now}}}}, list[i].Language)
	failure := w.send(ctx, list[i], title, text)
	w.note(context.WithoutCancel(ctx), list[i], failure)
	return failure, nil
}

package sqlstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

var _ graph.TokenLocker = tokens{}

// Keys of meta. selectAccount reads the first.
func identityKey(id bridge.AccountID) string { return fmt.Sprintf("account/%d/identity", id) }
func renewalKey(id bridge.AccountID) string  { return fmt.Sprintf("account/%d/renewal", id) }

func (s *Store) SaveSignIn(ctx context.Context, id bridge.AccountID, who bridge.Identity, token *oauth2.Token) error {
	plain, err := json.Marshal(token)
	if err != nil {
		return err
	}
	identity, err := json.Marshal(who)
	if err != nil {
		return err
	}
	t := tokens{s, id}
	err = s.write.transact(ctx, func(w tx) error {
		if err := t.put(ctx, w, plain, token); err != nil {
			return err
		}
		_, err := w.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, identityKey(id), identity)
		return err
	})
	if err != nil {
		return fmt.Errorf("save sign-in: %w", err)
	}
	return nil
}

// leaseTime has a fixed width, so that times compare as texts do.
const leaseTime = "2006-01-02T15:04:05.000000000Z"

// LockToken is a row with the time of its end, so that it dies with its holder on every database and every system. A
// lease that ends later than one can, from before the clock was set back, counts as over.
func (t tokens) LockToken(ctx context.Context, life time.Duration) (unlock func(), taken bool, err error) {
	now := time.Now().UTC()
	lease := []byte(now.Add(life).Format(leaseTime) + " " + rand.Text())
	r, err := t.s.write.exec(ctx, `
		INSERT INTO meta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE meta.value < ? OR meta.value > ?`,
		renewalKey(t.id), lease, []byte(now.Format(leaseTime)), []byte(now.Add(2*life).Format(leaseTime)))
	if err != nil {
		return nil, false, fmt.Errorf("lock token: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return nil, false, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyTimeout)
		defer cancel()
		// Where this fails, the lease ends by itself.
		_, _ = t.s.write.exec(ctx, `DELETE FROM meta WHERE key = ? AND value = ?`, renewalKey(t.id), lease)
	}, true, nil
}

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

func renewalLease(id bridge.AccountID) string { return fmt.Sprintf("token/%d", id) }

// LockToken is a lease, so that it dies with its holder on every database and every system.
func (t tokens) LockToken(ctx context.Context, life time.Duration) (unlock func(), taken bool, err error) {
	owner := rand.Text()
	if taken, err = t.s.TakeLease(ctx, renewalLease(t.id), owner, life); err != nil || !taken {
		return nil, false, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyTimeout)
		defer cancel()
		_ = t.s.DropLease(ctx, renewalLease(t.id), owner) // where this fails, the lease ends by itself
	}, true, nil
}

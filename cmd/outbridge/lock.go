package main

import (
	"fmt"

	"github.com/gofrs/flock"

	"outbridge/bridge/sqlstore"
)

// lockDatabase makes this process the only one that serves the database, until it exits or calls unlock: the operating
// system releases the lock of a dead process. One-shot commands need no lock, since each of their writes stands alone.
func (c *config) lockDatabase() (unlock func(), err error) {
	if c.onServer() { // any number of servers use it
		return func() {}, nil
	}
	lock := flock.New(c.Database+".lock", flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("another outbridge is serving %s: stop it first, or give this one its own database", c.Database)
	}
	if err := sqlstore.OwnLikeFolder(lock.Path()); err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

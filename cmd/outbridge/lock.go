package main

import (
	"fmt"
	"strings"

	"github.com/gofrs/flock"

	"outbridge/bridge/sqlstore"
)

// lockDatabase makes this process the only one that serves the database, until it ends or unlock is called: the lock
// is the system's own and dies with its holder. One-shot commands do without, since each of their writes stands alone.
func (c *config) lockDatabase() (unlock func(), err error) {
	if strings.Contains(c.Database, "://") {
		return func() {}, nil
	}
	lock := flock.New(c.Database+".lock", flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("another outbridge is serving %s: end that one first, or give this one a database of its own", c.Database)
	}
	if err := sqlstore.OwnLikeFolder(lock.Path()); err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

//go:build interop

package sqlstore

import (
	"testing"

	"outbridge/bridge/sqlstore/pgtest"
)

// TestPooler: the processes that race work behind a pooler that gives each transaction another of three connections.
func TestPooler(t *testing.T) {
	t.Parallel()
	testProcesses(t, pgtest.Pooler(t))
}

package work

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"outbridge/bridge"
	"outbridge/bridge/round"
)

const (
	aloneTry  = 500 * time.Millisecond
	aloneLook = 100 * time.Millisecond
)

// Alone does a round of a mailbox beside the Jobs of other processes, for a command: it waits for one that is under way, and none begins
// before it has ended.
func Alone(ctx context.Context, pool *pgxpool.Pool, store bridge.LeaseStore, process string, rounds *round.Runner, m Mailbox) (bridge.Report, error) {
	name := bridge.RoundLease(m.Name)
	asked := time.Now()
	for {
		taken, err := store.TakeLease(ctx, name, process, usual.leaseLife)
		if err != nil {
			return bridge.Report{Account: m.Name}, err
		}
		if taken {
			break
		}
		if !pause(ctx, aloneTry) {
			return bridge.Report{Account: m.Name}, ctx.Err()
		}
		asked = time.Now()
	}
	t := begin(ctx, asked.Add(usual.leaseLife-usual.leaseSpare))
	defer t.end()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
		defer cancel()
		_ = store.DropLease(end, name, process) // else it ends by itself
	}()
	go func() {
		for pause(t.ctx, usual.leaseRenew) {
			asked := time.Now()
			if taken, err := store.TakeLease(t.ctx, name, process, usual.leaseLife); err == nil && !taken {
				t.end()
			} else if err == nil {
				t.prolong(asked.Add(usual.leaseLife - usual.leaseSpare))
			}
		}
	}()
	// A short round has no lease, but a job that runs. One that begins now finds the lease.
	for {
		runs, err := runs(t.ctx, pool, m.Name)
		if err != nil {
			return bridge.Report{Account: m.Name}, err
		}
		if !runs {
			break
		}
		if !pause(t.ctx, aloneLook) {
			return bridge.Report{Account: m.Name}, t.ctx.Err()
		}
	}
	if m.Gate != nil {
		if err := m.Gate.BeginRound(t.ctx); err != nil {
			return bridge.Report{Account: m.Name}, err
		}
		defer func() { _ = m.Gate.EndRound(t.ctx) }()
	}
	return rounds.Round(t.ctx, m.Mailbox)
}

// runs reports whether a machine is at the job of an account.
func runs(ctx context.Context, pool *pgxpool.Pool, account string) (yes bool, err error) {
	var there bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('river_job') IS NOT NULL`).Scan(&there); err != nil || !there {
		return false, err // nobody has served it yet
	}
	err = pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM river_job WHERE kind = $1 AND state = 'running' AND args->>'account' = $2)`,
		roundArgs{}.Kind(), account).Scan(&yes)
	if err != nil {
		return false, fmt.Errorf("job of %s: %w", account, err)
	}
	return yes, nil
}

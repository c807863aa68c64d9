package work

import (
	"context"
	"time"
)

// tenure is how long a round may run that another machine would take up again. Its context ends in time by this machine's
// own count, whatever its clock says, and at once when a process that was stopped goes on.
type tenure struct {
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
}

// begin begins one that ends at a time, which has to have a monotonic reading: one of time.Now.
func begin(ctx context.Context, end time.Time) *tenure {
	t := new(tenure)
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.timer = time.AfterFunc(time.Until(end), t.cancel)
	return t
}

// prolong moves its end. It has no effect once it has ended.
func (t *tenure) prolong(end time.Time) {
	if t.timer.Stop() {
		t.timer.Reset(time.Until(end))
	}
}

func (t *tenure) end() {
	t.timer.Stop()
	t.cancel()
}

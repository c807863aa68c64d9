package round

import (
	"context"
	"sync"

	"outbridge/bridge/graph"
)

// download reads the pages of a delta, one request at a time, while those before them are written: one page is read, one is made
// objects of, and one is being written.
type download struct {
	next  string // the link of the page that comes next; "": there is none
	pages <-chan fetched
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// fetched is a page as it was read, and what was made of its single events.
type fetched struct {
	page   graph.DeltaPage
	drafts map[graph.EventID]draft
	err    error
}

func startDownload(ctx context.Context, g Graph, link string, a *ahead) *download {
	ctx, stop := context.WithCancel(ctx)
	read, made := make(chan fetched), make(chan fetched)
	d := &download{next: link, pages: made, stop: stop}
	d.done.Go(func() {
		defer close(read)
		for more := true; more; more = link != "" {
			var one fetched
			one.page, one.err = g.Delta(ctx, link)
			link = one.page.Next
			if !pass(ctx, read, one) {
				return
			}
		}
	})
	d.done.Go(func() {
		defer close(made)
		for one := range read {
			one.drafts = a.drafts(one.page.Events)
			if !pass(ctx, made, one) {
				return
			}
		}
	})
	return d
}

// pass hands a page on, unless nobody waits for it any more.
func pass(ctx context.Context, to chan<- fetched, one fetched) bool {
	select {
	case to <- one:
		return true
	case <-ctx.Done():
		return false
	}
}

// take is the next page.
func (d *download) take(ctx context.Context) fetched {
	one, ok := <-d.pages
	if !ok {
		one.err = ctx.Err()
	}
	d.next = one.page.Next
	return one
}

// end returns when nothing is read any more.
func (d *download) end() {
	if d != nil {
		d.stop()
		d.done.Wait()
	}
}

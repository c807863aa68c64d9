package bridge

import (
	"context"
	"iter"
	"sync"
)

const (
	listPage = 128 // objects read at a time without their data: a slice of more is no small object to Go, whose heap then has larger gaps
	dataPage = 50  // objects read at a time with it
)

// PageOctets ends a page of objects with their data: an ObjectStore returns none beyond the one that reaches it.
const PageOctets = 4 << 20

// ObjectLister is the part of an ObjectStore that lists objects.
type ObjectLister interface {
	Objects(ctx context.Context, id CalendarID, q ObjectQuery) ([]Object, error)
}

// pages are room for pages: it would be a seventh of what a client's first sync allocates.
var pages = sync.Pool{New: func() any { return new([listPage]Object) }}

// Objects yields all objects that q selects by name, whatever its Limit, reading a page at a time. It stops after an
// error.
func Objects(ctx context.Context, store ObjectLister, id CalendarID, q ObjectQuery) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		q.Limit = listPage
		switch {
		case q.Names != nil:
			q.Limit = min(len(q.Names)+1, listPage) // one more, so that all of them are known to be all
		case q.WithData:
			q.Limit = dataPage
		}
		room := pages.Get().(*[listPage]Object)
		defer func() {
			clear(room[:])
			pages.Put(room)
		}()
		q.Room = room[:0]
		for page := q; ; {
			list, err := store.Objects(ctx, id, page)
			if err != nil {
				yield(Object{}, err)
				return
			}
			octets := 0
			for _, o := range list {
				if octets += len(o.Data); !yield(o, nil) {
					return
				}
			}
			if len(list) < page.Limit && octets < PageOctets {
				return
			}
			page.After = list[len(list)-1].Name
		}
	}
}

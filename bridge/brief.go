package bridge

import (
	"context"
	"time"
)

// BriefStore keeps what is there for minutes and is asked for by a secret: sign-ins under way, pages that show something once.
// It is in the database, since the next request may reach another machine. A kind keeps its keys apart from those of others. Keys
// are kept as keyed hashes, values sealed; what has expired is removed by later calls of KeepBrief.
type BriefStore interface {
	// KeepBrief keeps value until expires, in place of what the key had. ErrTooMany where MaxBriefs of the kind are kept.
	KeepBrief(ctx context.Context, kind, key string, value []byte, now, expires time.Time) error
	// Brief is the value of a key, or ErrNotFound where there is none or it has expired at now.
	Brief(ctx context.Context, kind, key string, now time.Time) ([]byte, error)
	// TakeBrief is Brief, and removes it: of several that take the same at once, one gets it.
	TakeBrief(ctx context.Context, kind, key string, now time.Time) ([]byte, error)
	// DropBrief removes it if it is there.
	DropBrief(ctx context.Context, kind, key string) error
}

// MaxBriefs bounds what a BriefStore keeps of a kind: strangers can begin a sign-in.
const MaxBriefs = 4096

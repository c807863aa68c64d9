package write

import (
	"context"
	"errors"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// Object finds an object by its name or by another one that a client has guessed for it, or bridge.ErrNotFound.
func (w *Writer) Object(ctx context.Context, c bridge.CalendarID, name string) (bridge.Object, error) {
	o, err := w.Store.Object(ctx, c, name)
	if errors.Is(err, bridge.ErrNotFound) {
		return w.aliased(ctx, c, name)
	}
	return o, err
}

// Refuse keeps that a PUT was refused for what was sent, before it became a request that New could be read from.
func (w *Writer) Refuse(ctx context.Context, r Request, refusal convert.Refusal) {
	a, err := w.Store.Account(ctx, r.Account)
	if err != nil {
		w.log().Warn("a refused change is not recorded", "account", r.Account, "err", err)
		return
	}
	e := &edit{w: w, r: r, account: a, operation: bridge.IntentPut, bodyHash: bodyHash(r)}
	e.keepRefusal(context.WithoutCancel(ctx), refusal)
}

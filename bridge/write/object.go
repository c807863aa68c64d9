package write

import (
	"context"
	"errors"

	"outbridge/bridge"
)

// Object finds an object by its name or by another one that a client has guessed for it, or bridge.ErrNotFound.
func (w *Writer) Object(ctx context.Context, c bridge.CalendarID, name string) (bridge.Object, error) {
	o, err := w.Store.Object(ctx, c, name)
	if errors.Is(err, bridge.ErrNotFound) {
		return w.aliased(ctx, c, name)
	}
	return o, err
}

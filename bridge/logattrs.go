package bridge

import (
	"context"
	"log/slog"
)

type logKey struct{}

// LogAttrs are the attributes that log lines written under ctx carry beside their own: the calendar and the round that
// they belong to. A slog.Handler adds them, so that packages that know of neither, such as graph, log them too.
func LogAttrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(logKey{}).([]slog.Attr)
	return attrs
}

// WithLogAttrs adds attributes to those that log lines written under ctx carry.
func WithLogAttrs(ctx context.Context, attrs ...slog.Attr) context.Context {
	have := LogAttrs(ctx)
	return context.WithValue(ctx, logKey{}, append(have[:len(have):len(have)], attrs...))
}

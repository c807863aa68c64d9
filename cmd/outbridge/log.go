package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"

	"outbridge/bridge"
)

func (c *config) logger(w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: forLog}
	if c.LogFormat == "json" {
		return slog.New(contextHandler{slog.NewJSONHandler(w, o)})
	}
	return slog.New(contextHandler{slog.NewTextHandler(w, o)})
}

// forLog is a slog.HandlerOptions.ReplaceAttr.
func forLog(groups []string, a slog.Attr) slog.Attr { return logWithoutSecrets(logWithFix(groups, a)) }

// ourSecrets are those that the bridge gives out: app passwords, and what is in the addresses of feeds and of one-time
// links. They are random, 26 letters and digits each (sqlstore).
var ourSecrets = regexp.MustCompile(`(^|[^0-9A-Za-z])[a-z2-7]{26}($|[^0-9A-Za-z])`)

// logWithoutSecrets blots out secrets of ours, whatever they got into: a path that failed, an error of a library, or the
// name of a user, where somebody has entered a password.
func logWithoutSecrets(a slog.Attr) slog.Attr {
	var text string
	switch a.Value.Kind() {
	case slog.KindString:
		text = a.Value.String()
	case slog.KindAny:
		text = fmt.Sprint(a.Value.Any())
	}
	if ourSecrets.MatchString(text) {
		a.Value = slog.StringValue(ourSecrets.ReplaceAllString(text, "${1}…${2}"))
	}
	return a
}

// contextHandler adds the round and the calendar of the context to each line.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if attrs := bridge.LogAttrs(ctx); len(attrs) > 0 {
		r = r.Clone()
		r.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, r)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}

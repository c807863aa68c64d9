package main

import (
	"context"
	"log"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

// serverLog takes what net/http says of its own troubles, which it has no other way to tell: connections that could not be
// accepted, handshakes that failed. Each cause is a line at most once in quietTime, with how often it came meanwhile:
// whoever can connect can make these.
func serverLog(to *slog.Logger, now func() time.Time) *log.Logger {
	return log.New(&troubles{log: to, now: now, last: map[string]*trouble{}}, "", 0)
}

const (
	quietTime   = time.Minute
	maxTroubles = 100 // causes that are remembered
)

type troubles struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	last map[string]*trouble // by cause
}

type trouble struct {
	at   time.Time // of the line
	more int       // since then
}

// peers are the addresses of clients, which make no other cause.
var peers = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.%a-z]+\]):\d+`)

// Write gets a whole message.
func (t *troubles) Write(b []byte) (int, error) {
	message := strings.TrimSpace(string(b))
	level := levelOf(message)
	message, rest, _ := strings.Cut(message, "\n")
	ctx := context.Background()
	if level < slog.LevelWarn {
		t.log.Log(ctx, level, message)
		return len(b), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	cause, _, _ := strings.Cut(peers.ReplaceAllString(message, ""), "; retrying in")
	last := t.last[cause]
	if last != nil && t.now().Sub(last.at) < quietTime {
		last.more++
		return len(b), nil
	}
	var attrs []slog.Attr
	if last != nil && last.more > 0 {
		attrs = append(attrs, slog.Int("more", last.more))
	}
	if rest != "" {
		attrs = append(attrs, slog.String("stack", rest))
	}
	if len(t.last) >= maxTroubles {
		clear(t.last)
	}
	t.last[cause] = &trouble{at: t.now()}
	t.log.LogAttrs(ctx, level, message, attrs...)
	return len(b), nil
}

// levelOf is Debug for what clients do all day: they go away, or ask whether the port is open.
func levelOf(message string) slog.Level {
	switch {
	case strings.HasPrefix(message, "http: Accept error"), strings.HasPrefix(message, "http: panic"), strings.HasPrefix(message, "http2: panic"):
		return slog.LevelError
	case strings.HasPrefix(message, "http: TLS handshake error"):
		for _, gone := range []string{": EOF", "connection reset by peer", "broken pipe", "i/o timeout", "use of closed network connection"} {
			if strings.HasSuffix(message, gone) {
				return slog.LevelDebug
			}
		}
		return slog.LevelWarn
	case strings.HasPrefix(message, "http2:"), strings.HasPrefix(message, "http: URL query contains semicolon"), strings.HasPrefix(message, "Unsolicited response"):
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

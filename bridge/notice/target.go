package notice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"outbridge/bridge"
)

// sendTime is how long the delivery of a message may take.
const sendTime = 20 * time.Second

// maxURL bounds the URL of a target.
const maxURL = 2000

// Normal is the URL of a target as it is kept. A web address is that of a webhook, which takes JSON. The error is
// bridge.ErrNoticeURL and does not repeat the URL, which is a secret.
func Normal(text string) (string, error) {
	text = strings.TrimSpace(text)
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || len(text) > maxURL || strings.ContainsAny(text, "\r\n\t ") {
		return "", bridge.ErrNoticeURL
	}
	scheme := strings.ToLower(u.Scheme)
	switch scheme {
	case "http", "https":
		if u.Host == "" {
			return "", bridge.ErrNoticeURL
		}
		query := u.Query()
		if !query.Has("template") {
			query.Set("template", "json")
		}
		u.RawQuery = query.Encode()
		text = "generic+" + u.String()
	case "logger":
		return "", bridge.ErrNoticeURL // it would only tell the log
	}
	if _, err := router.New(nil, text); err != nil {
		return "", bridge.ErrNoticeURL
	}
	return text, nil
}

// hosted are services whose URL has a host that is none of its secrets.
var hosted = map[string]bool{"smtp": true, "ntfy": true, "generic": true, "gotify": true, "matrix": true, "mattermost": true, "rocketchat": true,
	"bark": true, "zulip": true, "signal": true, "opsgenie": true}

// Described fills in what may be shown of a target.
func Described(t bridge.NoticeTarget) bridge.NoticeTarget {
	u, err := url.Parse(t.URL)
	if err != nil {
		return t
	}
	t.Service, _, _ = strings.Cut(strings.ToLower(u.Scheme), "+")
	if t.Service == "smtp" {
		query := u.Query()
		for _, key := range []string{"to", "toaddresses"} {
			if to := query.Get(key); to != "" {
				t.Where = strings.ReplaceAll(to, ",", ", ")
			}
		}
	}
	if t.Where == "" && hosted[t.Service] {
		t.Where = u.Hostname()
	}
	return t
}

// Send delivers a message through the library. A delivery that outlives its time is left to itself.
func Send(ctx context.Context, target, title, text string) error {
	sender, err := router.New(nil, target)
	if err != nil {
		return bridge.ErrNoticeURL
	}
	sender.Timeout = sendTime
	if strings.HasPrefix(target, "smtp:") {
		title = mime.QEncoding.Encode("utf-8", title) // RFC 2047, which the library leaves to us
	}
	params := types.Params{types.TitleKey: title}
	failed := sender.SendAsync(text, &params)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-failed:
		return err
	}
}

var (
	statusText = regexp.MustCompile(`\b([45]\d\d)\b`)
	// Of these the library says nothing but its text, which may have the URL in it.
	textReasons = []struct{ part, reason string }{
		{"no such host", "no-host"}, {"connection refused", "unreachable"}, {"network is unreachable", "unreachable"}, {"no route to host", "unreachable"},
		{"certificate", "certificate"}, {"first record does not look like a TLS handshake", "certificate"},
		{"timed out", "timeout"}, {"timeout", "timeout"}, {"deadline exceeded", "timeout"},
	}
)

// FailureOf is why a delivery failed, with nothing of the URL and of what the other side has said.
func FailureOf(err error) (f bridge.NoticeFailure) {
	var (
		reply  *textproto.Error
		lookup *net.DNSError
		wait   net.Error
	)
	switch {
	case err == nil:
		return f
	case errors.As(err, &reply):
		f.Status, f.Reason = reply.Code, "refused"
	case errors.As(err, &lookup):
		f.Reason = "no-host"
	case errors.Is(err, router.ErrServiceTimeout), errors.Is(err, context.DeadlineExceeded), errors.As(err, &wait) && wait.Timeout():
		f.Reason = "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Reason = "unreachable"
	}
	text := err.Error()
	for _, one := range textReasons {
		if f.Reason == "" && strings.Contains(text, one.part) {
			f.Reason = one.reason
		}
	}
	if f.Reason == "" {
		f.Reason = "other"
		// The end is furthest from the URL: "unexpected response status code: 403 Forbidden".
		if all := statusText.FindAllString(text, -1); len(all) > 0 {
			f.Status, _ = strconv.Atoi(all[len(all)-1])
			f.Reason = "refused"
		}
	}
	switch f.Status {
	case 401, 403, 530, 534, 535:
		f.Reason = "sign-in"
	}
	return f
}

// failedError is a delivery that has failed, as it may be logged.
type failedError struct{ bridge.NoticeFailure }

func (e failedError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s, status %d", e.Reason, e.Status)
	}
	return e.Reason
}

// Reached is what a message to a target connects to: the scheme, "http", "https" or "smtp", and host and port. They are "" where only the library
// knows.
func Reached(target string) (scheme, address string) {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" {
		return "", ""
	}
	service, custom, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	option := map[string]string{}
	for key, values := range u.Query() {
		option[strings.ToLower(key)] = strings.ToLower(values[0])
	}
	switch {
	case !hosted[service] || service == "signal": // that has a port of its own
		return "", ""
	case service == "smtp":
		return "smtp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "25"))
	case custom == "http", option["scheme"] == "http", isYes(option["disabletls"]):
		return "http", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))
	}
	return "https", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
}

// isYes reads a switch as the library does.
func isYes(s string) bool {
	switch s {
	case "true", "1", "yes", "y":
		return true
	}
	return false
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// What ends a command is one line that says what happened and how to fix it, once.
func TestErrorsInWords(t *testing.T) {
	t.Parallel()
	alice, boss := bridge.Identity{ID: "1", Address: "alice@contoso.example"}, bridge.Identity{ID: "2", Address: "boss@contoso.example"}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"sign-in", fmt.Errorf("list calendars: %w", &graph.AuthError{Code: "invalid_grant", AADSTS: 700082, Reason: graph.ReasonExpired, Fixer: graph.Person}),
			"sign-in: The sign-in has expired, since it was not used for too long. Run `outbridge login alice`. (invalid_grant, AADSTS700082)"},
		{"never", &graph.AuthError{Code: "no_token", Reason: graph.ReasonNeverSignedIn, Fixer: graph.Person},
			"sign-in: Nobody has signed in to this account yet. Run `outbridge login alice`. (no_token)"},
		{"declined", &graph.AuthError{Code: "access_denied", Reason: graph.ReasonDeclined, Fixer: graph.Person},
			"sign-in: The sign-in was declined. Run `outbridge login alice` again and accept. (access_denied)"},
		{"frequency", &graph.AuthError{Code: "invalid_grant", Reason: graph.ReasonFrequency, Fixer: graph.Person, Lifetime: 7 * 24 * time.Hour},
			"sign-in: The organization requires a new sign-in every 7 days. Run `outbridge login alice`; it will be needed again after the same time. (invalid_grant)"},
		{"conditional access", &graph.AuthError{Code: "invalid_grant", AADSTS: 53003, Reason: graph.ReasonConditionalAccess, Fixer: graph.Administrator},
			"sign-in: A Conditional Access policy of the organization blocks this sign-in. Ask the administrator to allow the app or the device code flow, or run `outbridge login alice --flow browser`. (invalid_grant, AADSTS53003)"},
		{"secret", &graph.AuthError{Code: "invalid_client", Reason: graph.ReasonSecretWrong, Fixer: graph.Operator},
			"sign-in: The client secret is wrong. Use the secret's value, not its ID. (invalid_client)"},
		{"401", &graph.Error{Op: "read changes", Status: 401},
			"read changes: Microsoft Graph does not accept the sign-in (HTTP 401); run `outbridge login alice`"},
		{"unreachable", &graph.Error{Op: "read changes"}, "read changes: Microsoft's service cannot be reached; check the network and the address"},
		{"throttled", &graph.Error{Op: "read changes", Status: 429, RetryAfter: 90 * time.Second},
			"read changes: Microsoft Graph asks to slow down (HTTP 429); try again in 1m30s"},
		{"unavailable", &graph.Error{Op: "read changes", Status: 500}, "read changes: Microsoft Graph has trouble (HTTP 500); try again later"},
		{"denied", &graph.Error{Op: "read changes", Status: 403},
			"read changes: Microsoft Graph denies access (HTTP 403); check that the app has the permission Calendars.Read and that the calendar is shared with you"},
		{"shared", &bridge.SharedError{Address: "boss@contoso.example", Err: &graph.Error{Op: "read the primary calendar", Status: 403}},
			"; have it shared with you in Outlook (with the right to see all details), then run `outbridge login alice` so that Calendars.Read.Shared is granted; or take the address out of the Options page of the account, or of shared in the configuration"},
		{"another mailbox", &bridge.OtherMailboxError{Account: "alice", Before: alice, Now: boss},
			"account alice belongs to alice@contoso.example, and this sign-in is of boss@contoso.example: sign in as alice@contoso.example, or run `outbridge login alice --switch` to replace all of its calendars with those of boss@contoso.example"},
		{"no calendars", bridge.ErrNoCalendars, "no calendar of the account is included; tick at least one on the Options page of the account, or correct include and exclude in the configuration"},
		{"busy", fmt.Errorf("%w (waited 10s)", bridge.ErrBusy), "the database is held by another program; nothing was changed (waited 10s); end that program, or wait"},
		{"another key", bridge.ErrWrongKey, "the key file is not the one that this database was made with: put the right one back; if it is lost, run `outbridge init --key-only --lost`, and sign in again with `outbridge login alice`"},
		{"anything else", errors.New("disk on fire"), "disk on fire"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := worded(tt.err, "alice")
			if !strings.HasSuffix(got.Error(), tt.want) || !errors.Is(got, tt.err) {
				t.Errorf("%v\nwant %s", got, tt.want)
			}
			if again := worded(fmt.Errorf("account alice: %w", got), "").Error(); again != "account alice: "+got.Error() {
				t.Errorf("in words twice: %s", again)
			}
		})
	}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: logWithFix}))
	logger.Warn("round", "err", &graph.AuthError{Code: "invalid_client", Reason: graph.ReasonSecretExpired, Fixer: graph.Operator})
	logger.Warn("round", "err", &graph.Error{Op: "read changes", Status: 500})
	if s := log.String(); !strings.Contains(s, "secret-expired (invalid_client): The client secret has expired. Make a new client secret") || !strings.Contains(s, `trouble (HTTP 500)"`+"\n") {
		t.Errorf("log %s", s)
	}
	if worded(nil, "alice") != nil || faultLine(bridge.Fault{}, "alice") != "" {
		t.Error("words for nothing")
	}
	if got := worded(bridge.ErrWrongKey, "").Error(); !strings.HasSuffix(got, "`outbridge login`") {
		t.Errorf("without an account: %s", got)
	}
}

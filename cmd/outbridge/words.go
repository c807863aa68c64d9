package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// inWords is what a terminal says about a fault of an account: what is wrong, and how to fix it.
func inWords(f bridge.Fault, account string) (sentence, action string) {
	w := web.WordsFor(f)
	login := strings.TrimSpace("outbridge login " + account)
	switch f.Reason {
	case bridge.Reason(graph.ReasonConditionalAccess):
		return w.Sentence, "Ask the administrator to allow the app or the device code flow, or run `" + login + " --flow browser`."
	case bridge.Reason(graph.ReasonRedirect):
		return w.Sentence, "Add http://localhost as a redirect URI of the platform \"Mobile and desktop applications\" for `outbridge login --flow browser`, or the bridge's own callback address as one of the platform \"Web\"."
	}
	return w.Sentence, w.Action(f, "run `"+login+"`")
}

// words are inWords during a sign-in: nobody is sent to begin the sign-in that has just failed as if that were the fix, nor to the
// flow that is in use.
func (l *loginCmd) words(f bridge.Fault) (sentence, action string) {
	w := web.WordsFor(f)
	other := "browser"
	if l.Flow == "browser" {
		other = "device"
	}
	switch f.Reason {
	case bridge.Reason(graph.ReasonConditionalAccess):
		action = "Ask the administrator to allow the app or this kind of sign-in"
		if other == "browser" {
			action += ", or use `--flow browser`"
		}
		return w.Sentence, action + "."
	case bridge.Reason(graph.ReasonRedirect):
		return inWords(f, l.Account)
	case bridge.Reason(graph.ReasonMultiFactor):
		w.AfterSignIn = " with the second factor, or use `--flow " + other + "`"
	}
	w.AfterSignIn = strings.TrimPrefix(w.AfterSignIn, " again")
	return w.Sentence, w.Action(f, "try again")
}

// worded is worded during a sign-in.
func (l *loginCmd) worded(err error) error {
	var refused *graph.AuthError
	if !errors.As(err, &refused) {
		return worded(err, l.Account)
	}
	sentence, action := l.words(bridge.FaultOf(err))
	return &wordedError{refusal(refused, sentence, action), err}
}

// refusal is a refusal of the login service in one line.
func refusal(refused *graph.AuthError, sentence, action string) string {
	code := refused.Code
	if refused.AADSTS != 0 {
		code = fmt.Sprintf("%s, AADSTS%d", code, refused.AADSTS)
	}
	return fmt.Sprintf("sign-in: %s %s (%s)", sentence, action, strings.TrimPrefix(code, ", "))
}

// faultLine is a fault in one line. The error itself, if kept, says more than the sentence for its reason.
func faultLine(f bridge.Fault, account string) string {
	sentence, action := inWords(f, account)
	if f.Detail != "" && !web.Technical(f.Detail) {
		sentence = f.Detail
	}
	return strings.TrimSpace(sentence + " " + action)
}

// wordedError is an error in words for the person at the terminal.
type wordedError struct {
	text string
	err  error
}

func (e *wordedError) Error() string { return e.text }
func (e *wordedError) Unwrap() error { return e.err }

// worded is err with how to fix it. account is the one it is about; "": none in particular.
func worded(err error, account string) error {
	var refused *graph.AuthError
	var other *bridge.OtherMailboxError
	var server *sqlstore.ServerError
	login := strings.TrimSpace("outbridge login " + account)
	switch {
	case err == nil, errors.As(err, new(*wordedError)):
		return err
	case errors.As(err, &server):
		fix := serverFix(err)
		text := server.Error()
		if fix != seeMessage {
			text += ": " + strings.ToLower(fix[:1]) + strings.TrimSuffix(fix[1:], ".")
		}
		return &wordedError{text, err}
	case errors.As(err, &refused):
		sentence, action := inWords(bridge.FaultOf(err), account)
		return &wordedError{refusal(refused, sentence, action), err}
	case errors.As(err, &other):
		return &wordedError{fmt.Sprintf("%v: sign in as %s, or run `%s --switch` to replace all of its calendars with those of %s", err, other.Before.Address, login, other.Now.Address), err}
	case errors.Is(err, bridge.ErrWrongKey):
		return &wordedError{fmt.Sprintf("%v: put the right one back; if it is lost, run `outbridge init --key-only --lost`, and sign in again with `%s`", err, login), err}
	}
	if o := obstacleOf(err); o != nil {
		return &wordedError{strings.TrimSuffix(withObstacle(err, o), "."), err}
	}
	if f := bridge.FaultOf(err); fixOf(f, login) != "" {
		text := err.Error()
		if web.Technical(text) {
			text = strings.TrimSuffix(web.WordsFor(f).Sentence, ".")
			if errors.Is(err, bridge.ErrBusy) {
				text = bridge.ErrBusy.Error()
			} else if words := connectionWords(err); words != "" {
				text += ": " + words
			}
		}
		return &wordedError{text + "; " + fixOf(f, login), err}
	}
	return err
}

// logWithFix is a slog.HandlerOptions.ReplaceAttr that adds to an error how to fix it, if somebody has to.
func logWithFix(_ []string, a slog.Attr) slog.Attr {
	err, ok := a.Value.Any().(error)
	if !ok {
		return a
	}
	var file *sqlstore.FileError
	if errors.As(err, &file) {
		err = (&config{Database: file.Path}).explained(err)
	}
	if o := obstacleOf(err); o != nil {
		a.Value = slog.StringValue(withObstacle(err, o))
		return a
	}
	if errors.As(err, new(*sqlstore.ServerError)) {
		a.Value = slog.StringValue(err.Error() + ". " + serverFix(err))
		return a
	}
	switch f := bridge.FaultOf(err); f.Action {
	case bridge.ActionWait, bridge.ActionInspect, "":
	default:
		sentence, action := inWords(f, "")
		a.Value = slog.StringValue(err.Error() + ": " + sentence + " " + action)
	}
	return a
}

// withObstacle is an error with what is in the way, and how to get past it.
func withObstacle(err error, o *obstacle) string {
	text := err.Error()
	if !strings.Contains(text, o.Error()) {
		text += ": " + o.Error()
	}
	return text + ". " + o.fix()
}

// fixOf is how to fix what ended a command. Unlike in the server, nothing is retried.
func fixOf(f bridge.Fault, login string) string {
	switch f.Reason {
	case bridge.ReasonUnreachable:
		return "check the network and the address"
	case bridge.ReasonThrottled, bridge.ReasonUnavailable:
		if f.Duration > 0 {
			return "try again in " + f.Duration.Round(time.Second).String()
		}
		return "try again later"
	case bridge.ReasonOther, bridge.ReasonWords, "":
		return ""
	}
	fix := web.WordsFor(f).Action(f, "run `"+login+"`")
	return strings.TrimSuffix(strings.ToLower(fix[:1])+fix[1:], ".")
}

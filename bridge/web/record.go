package web

import (
	"context"
	"strconv"
	"strings"
	"time"

	"outbridge/bridge"
)

// recordOf is a record of what the visitor does.
func (v *visit) recordOf(what bridge.Act, whom, detail string) bridge.Record {
	agent := strings.ToValidUTF8(v.r.UserAgent(), "")
	r := bridge.Record{At: v.h.now(), What: what, Network: ClientOf(v.r).network(), Whom: whom, Detail: cut(detail, 300), Browser: cut(agent, 300)}
	if v.signedIn() {
		r.Who, r.Role = v.who(), v.session.Role
	}
	return r
}

// who is the visitor's name in the record.
func (v *visit) who() string {
	if v.session.Person == 0 {
		return administrator
	}
	return v.person.Name
}

// record keeps what the visitor has done. It is done, so that a failure is only logged.
func (v *visit) record(what bridge.Act, whom, detail string) {
	v.keepRecord(v.recordOf(what, whom, detail))
}

func (v *visit) keepRecord(r bridge.Record) {
	if err := v.h.Store.AddRecord(context.WithoutCancel(v.r.Context()), r); err != nil {
		v.h.log().Error("it was not recorded what somebody did", "what", r.What, "whom", r.Whom, "err", err)
	}
}

// refusedSignIn logs that somebody did not get in, and records it, as often as a person would be refused.
func (v *visit) refusedSignIn(user, reason string) {
	RefusedSignIn(v.h.log(), v.r, "page", user)
	if v.h.refusals.attempt(guesser{name: ClientOf(v.r).network()}, v.h.now()) > 0 {
		return
	}
	r := v.recordOf(bridge.ActSignInRefused, "", reason)
	r.Who, r.Role = cut(strings.ToValidUTF8(user, ""), 100), ""
	v.keepRecord(r)
}

// maxRecords is how many records a page lists.
const maxRecords = 200

func recordPage(v *visit) error {
	before, _ := strconv.ParseInt(v.r.URL.Query().Get("before"), 10, 64)
	list, err := v.h.Store.Records(v.r.Context(), max(before, 0), maxRecords)
	if err != nil {
		return err
	}
	type row struct {
		bridge.Record
		By, Did, Browser Text
	}
	var rows []row
	for _, r := range list {
		rows = append(rows, row{r, recordedBy(r.Who), ActWords(r.What), browser(r.Browser)})
	}
	next := int64(0)
	if len(list) == maxRecords {
		next = list[len(list)-1].ID
	}
	return v.render("record", page{Title: "Record", Data: map[string]any{"Rows": rows, "Next": next, "First": before == 0, "Days": int(bridge.RecordLife / (24 * time.Hour))}})
}

// recordedBy is who did something, as the record shows it.
func recordedBy(who string) Text {
	switch who {
	case "":
		return "somebody"
	case administrator:
		return "administrator"
	case AtTerminal:
		return "command line"
	}
	return Plain(who)
}

// AtTerminal is who does what a command does, in the record.
const AtTerminal = "command line"

// ActWords say what somebody did.
func ActWords(what bridge.Act) Text {
	if words, ok := actWords[what]; ok {
		return words
	}
	return Plain(string(what))
}

var actWords = map[bridge.Act]Text{
	bridge.ActSignedIn: "signed in", bridge.ActSignInRefused: "was refused", bridge.ActSignedOut: "signed out",
	bridge.ActSignedOutOfThese: "signed out everywhere", bridge.ActSessionEnded: "signed out another browser",
	bridge.ActPasswordMade: "made an app password", bridge.ActPasswordRevoked: "revoked an app password", bridge.ActProfileMade: "made a link to a profile",
	bridge.ActFeedMade: "made a feed", bridge.ActFeedChanged: "changed a feed", bridge.ActFeedRotated: "gave a feed a new address",
	bridge.ActFeedShown: "looked at the address of a feed", bridge.ActFeedRemoved: "removed a feed",
	bridge.ActInvited: "invited somebody", bridge.ActInvitationEnded: "ended an invitation", bridge.ActInvitationUsed: "accepted an invitation",
	bridge.ActPersonRemoved: "removed a person", bridge.ActConnected: "connected a mailbox", bridge.ActMailboxSignedIn: "signed a mailbox in",
	bridge.ActAccountAdded: "added an account", bridge.ActAccountRemoved: "removed an account", bridge.ActEventsSeen: "looked at events",
	bridge.ActSettingsChanged: "changed settings", bridge.ActPasswordChanged: "set a password", bridge.ActPolicyChanged: "set what calendar apps may change",
	bridge.ActWritesResumed: "let changes go on",
}

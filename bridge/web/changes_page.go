package web

import (
	"errors"

	"outbridge/bridge"
)

// maxWrites is how many of the latest changes the page shows.
const maxWrites = 200

// changes is the page about what calendar programs may change, and what they have changed.
func changes(v *visit, a Account) error { return v.changesPage(a, nil) }

func (v *visit) changesPage(a Account, trouble *Problem) error {
	var list []bridge.Intent
	var hold bridge.WriteHold
	names := map[bridge.CalendarID]string{}
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if err == nil {
		list, err = v.h.Store.Intents(v.r.Context(), row.ID, maxWrites)
	}
	if err == nil {
		hold, err = v.h.Store.WriteHold(v.r.Context(), row.ID)
	}
	if err == nil {
		var cals []bridge.Calendar
		cals, err = v.h.Store.Calendars(v.r.Context(), row.ID)
		for _, c := range cals {
			names[c.ID] = c.DisplayName
		}
	}
	if err != nil && !errors.Is(err, bridge.ErrNotFound) { // it has not met its first round
		return err
	}
	if !a.Readable {
		for i := range list {
			list[i].Summary, list[i].UID = "", v.lang.Text("hidden [an event's title]")
			if list[i].Refusal != nil {
				why := *list[i].Refusal
				why.Sentence = v.lang.Text("Whom the account belongs to sees why.")
				list[i].Refusal = &why
			}
		}
	}
	if err := v.look(a); err != nil {
		return err
	}
	return v.render("changes", page{Title: Plain(a.Name), Account: &a, Tab: "changes", Trouble: trouble, Data: map[string]any{
		"Account": a, "Choice": policyChoice(a.Policy), "Writes": list, "Calendars": names, "Hold": hold}})
}

// resumeWrites lets changes go on that were paused.
func resumeWrites(v *visit, a Account) error {
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if err == nil {
		err = v.h.Store.SetWriteHold(v.r.Context(), row.ID, bridge.WriteHold{Confirmed: v.h.now()})
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActWritesResumed, a.Name, "")
	return v.redirect(accountPath(a.Name) + "/changes?done=resumed")
}

// policyChoice is a policy as the form has it: what may be mailed, or "read".
func policyChoice(p bridge.Policy) string {
	if !p.Write {
		return "read"
	}
	return string(p.Invitations)
}

func setPolicy(v *visit, a Account) error {
	var p bridge.Policy
	switch choice := bridge.Invitations(v.r.PostFormValue("access")); choice {
	case "read":
	case bridge.InvitationsNever, bridge.InvitationsReplies, bridge.InvitationsOutlook:
		p = bridge.Policy{Write: true, Invitations: choice, OnlineMeetings: choice == bridge.InvitationsOutlook && v.r.PostFormValue("online") == "on"}
	default:
		v.status = 400
		return v.changesPage(a, &Problem{"Nothing was chosen.", "Choose what calendar programs may change."})
	}
	if err := v.h.Accounts.SetPolicy(v.r.Context(), a.Name, p); err != nil {
		if problem, ok := problemOf(err); ok {
			v.status = 400
			return v.changesPage(a, problem)
		}
		return err
	}
	v.record(bridge.ActPolicyChanged, a.Name, policyChoice(p))
	return v.redirect(accountPath(a.Name) + "/changes?done=policy")
}

// operations are those of an intent as people call them.
var operations = map[string]Text{bridge.IntentPut: "saved", bridge.IntentDelete: "deleted", bridge.IntentMove: "moved"}

// badge is a word that is shown in a colour.
type badge struct {
	Level string
	Word  Text
}

// writeState is the state of a write in a word, and how it is shown.
func writeState(i bridge.Intent) badge {
	level, word := "wait", Text("under way")
	switch i.State {
	case bridge.IntentDone:
		level, word = "good", "done"
	case bridge.IntentRefused:
		level, word = "bad", "refused"
	case bridge.IntentFailed:
		level, word = "bad", "failed"
	case bridge.IntentUnknown:
		level, word = "bad", "perhaps done"
	}
	return badge{level, word}
}

package web

import (
	"context"
	"slices"
	"strings"

	"outbridge/bridge"
)

// Options is what the pages set in place of the configuration file. What the file sets cannot be changed here.
type Options interface {
	// Outlook lists the names of all calendars that Outlook has for the account, those that are left out too. They are asked for now.
	Outlook(ctx context.Context, account string) ([]string, error)
	SetAccountOptions(ctx context.Context, account string, o bridge.AccountOptions) error

	// Sync is how the bridge syncs; SetSync changes that. restart: some of it takes effect only after a restart.
	Sync(ctx context.Context) (Sync, error)
	SetSync(ctx context.Context, o bridge.Options) (restart bool, err error)
}

// Sync is how the bridge syncs now, or from the next start on.
type Sync struct {
	bridge.Options
	// Configured are those that are set in the configuration: "interval", "history", "horizon", "notifications".
	Configured map[string]bool
	// NotReachable: Microsoft could not send notifications to public_url.
	NotReachable bool
}

// calendarChoice is a calendar in the form of an account's options.
type calendarChoice struct {
	Name   string
	Chosen bool
}

// accountOptions is the page about which calendars an account has.
func accountOptions(v *visit, a Account) error { return v.accountOptionsPage(a, a.Options, nil) }

func (v *visit) accountOptionsPage(a Account, o bridge.AccountOptions, trouble *Problem) error {
	names, err := v.h.Accounts.Outlook(v.r.Context(), a.Name)
	var unasked Text
	if err != nil {
		unasked = "Outlook cannot be asked now, so these are the calendars that the bridge knows."
		if p, ok := problemOf(err); ok {
			unasked = With("{problem} So these are the calendars that the bridge knows.", p.Sentence)
		} else {
			v.trouble(err)
		}
		cals, err := v.calendars(a)
		if err != nil {
			return err
		}
		names = nil
		for _, c := range cals {
			if c.Mailbox == "" {
				names = append(names, c.DisplayName)
			}
		}
		names = append(append(names, o.Include...), o.Exclude...)
	}
	var list []calendarChoice
	for _, name := range names {
		if slices.ContainsFunc(list, func(c calendarChoice) bool { return strings.EqualFold(c.Name, name) }) {
			continue
		}
		list = append(list, calendarChoice{name, bridge.Selects(o.Include, o.Exclude, name)})
	}
	shown, _ := v.shown()
	if trouble == nil {
		trouble = shown.Trouble
	}
	return v.render("options", page{Title: "Calendars to sync", Account: &a, Tab: "options", Trouble: trouble, Data: map[string]any{
		"Account": a, "List": list, "Only": len(o.Include) > 0, "Shared": strings.Join(o.Shared, "\n"), "Unasked": unasked,
		"Include": o.Include, "Exclude": o.Exclude}})
}

// setAccountOptions reads the form. Of all calendars those are left out that were listed and not ticked, so that new ones come by
// themselves; of the chosen ones the ticked are taken.
func setAccountOptions(v *visit, a Account) error {
	form := v.r.PostForm
	var o bridge.AccountOptions
	if form.Get("which") == "some" {
		o.Include = form["calendar"]
	} else {
		for _, name := range form["listed"] {
			if !slices.Contains(form["calendar"], name) {
				o.Exclude = append(o.Exclude, name)
			}
		}
	}
	o.Shared = strings.FieldsFunc(form.Get("shared"), func(c rune) bool { return c == '\n' || c == '\r' || c == ',' || c == ';' || c == ' ' })
	var err error
	if form.Get("which") == "some" && len(o.Include) == 0 || len(form["listed"]) > 0 && len(form["calendar"]) == 0 {
		err = &Problem{"No calendar is ticked.", "Tick at least one."}
	}
	if v.h.Organization && a.Mailbox != "" && len(o.Shared) > 0 {
		// The app may read every mailbox: who sees this account would see that one, whoever it belongs to.
		err = &Problem{"An account that the app reads in its own name has no calendars of other people's mailboxes.", "Their own accounts have them."}
	}
	if err == nil {
		err = v.h.Accounts.SetAccountOptions(v.r.Context(), a.Name, o)
	}
	if p, ok := problemOf(err); ok {
		v.status = 400
		return v.accountOptionsPage(a, o, p)
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActSettingsChanged, a.Name, "calendars")
	done := "?done=options"
	if a.Mailbox == "" && len(o.Shared) > 0 && !slices.Equal(o.Shared, a.Options.Shared) {
		done = "?done=shared"
	}
	return v.redirect(accountPath(a.Name) + "/options" + done)
}

// syncOptions is the page about how the bridge syncs.
func syncOptions(v *visit) error {
	s, err := v.h.Accounts.Sync(v.r.Context())
	if err != nil {
		return err
	}
	return v.syncPage(s, nil)
}

func (v *visit) syncPage(s Sync, trouble *Problem) error {
	return v.render("sync", page{Title: "How to sync", Trouble: trouble, Data: s})
}

func setSync(v *visit) error {
	get := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	o := bridge.Options{Interval: get("interval"), History: get("history"), Horizon: get("horizon"), Notifications: get("notifications") != ""}
	restart, err := v.h.Accounts.SetSync(v.r.Context(), o)
	if p, ok := problemOf(err); ok {
		s, err := v.h.Accounts.Sync(v.r.Context())
		if err != nil {
			return err
		}
		s.Options = o
		v.status = 400
		return v.syncPage(s, p)
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActSettingsChanged, "", "how to sync")
	if restart {
		return v.redirect("/settings/sync?done=restart")
	}
	return v.redirect("/settings/sync?done=options")
}

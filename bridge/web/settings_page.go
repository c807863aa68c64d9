package web

import (
	"strconv"
	"strings"

	"outbridge/bridge"
)

func (v *visit) settingsPage(trouble *Problem) error {
	list, err := v.h.Store.Sessions(v.r.Context(), v.h.now())
	if err != nil {
		return err
	}
	type row struct {
		bridge.Session
		Browser string
		This    bool
	}
	var rows []row
	for _, s := range list {
		rows = append(rows, row{s, browser(s.Agent), s.ID == v.session.ID})
	}
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	data := map[string]any{"Sessions": rows, "App": app, "Notices": v.h.Notices != nil, "Stale": ""}
	if after := v.h.staleAfter(); after > 0 {
		data["Stale"] = rough(after)
	}
	if v.h.Notices != nil {
		if data["Targets"], err = v.h.Notices.Targets(v.r.Context()); err != nil {
			return err
		}
	}
	return v.render("settings", page{Title: "Settings", Trouble: trouble, Data: data})
}

func settings(v *visit) error { return v.settingsPage(nil) }

func changePassword(v *visit) error {
	by, ok, err := v.attempt(administrator, v.settingsPage)
	if !ok {
		return err
	}
	hash, err := v.h.Store.Administrator(v.r.Context())
	if err != nil {
		return err
	}
	fail := func(p *Problem) error {
		v.status = 400
		return v.settingsPage(p)
	}
	if !passwordIs(v.r.PostFormValue("current"), hash, by) {
		RefusedSignIn(v.h.log(), v.r, "page", administrator)
		return fail(&Problem{"The current password is wrong.", "If you lost it, `outbridge password admin` sets a new one."})
	}
	v.h.guesses.forgive(by)
	if v.r.PostFormValue("password") != v.r.PostFormValue("repeat") {
		return fail(&Problem{"The two new passwords do not match.", "Type the same one twice."})
	}
	hash, err = HashPassword(v.r.PostFormValue("password"))
	if p, ok := problemOf(err); ok {
		return fail(p)
	}
	if err == nil {
		err = v.h.Store.SetAdministrator(v.r.Context(), hash, false) // which ends every session, this one too
	}
	if err == nil {
		err = v.beginSession()
	}
	if err != nil {
		return err
	}
	return v.redirect("/settings?done=password")
}

func endSession(v *visit) error {
	id, err := strconv.ParseInt(v.r.PathValue("id"), 10, 64)
	if err != nil {
		return bridge.ErrNotFound
	}
	if id == v.session.ID {
		return signOut(v)
	}
	if err := v.h.Store.EndSessions(v.r.Context(), v.h.now(), id); err != nil {
		return err
	}
	return v.redirect("/settings?done=session")
}

// browser names the program and system of a User-Agent, as far as they are known.
func browser(agent string) string {
	find := func(names ...string) string {
		for _, n := range names {
			key, word, _ := strings.Cut(n, "=")
			if strings.Contains(agent, key) {
				return word
			}
		}
		return ""
	}
	program := find("Edg=Edge", "OPR/=Opera", "Firefox/=Firefox", "FxiOS/=Firefox", "Chrome/=Chrome", "CriOS/=Chrome", "Safari/=Safari", "curl/=curl")
	system := find("Android=Android", "iPhone=iPhone", "iPad=iPad", "Windows=Windows", "Macintosh=macOS", "CrOS=ChromeOS", "Linux=Linux")
	switch {
	case program == "":
		return "Unknown browser"
	case system == "":
		return program
	}
	return program + " on " + system
}

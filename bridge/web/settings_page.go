package web

import (
	"strconv"
	"strings"

	"outbridge/bridge"
)

func (v *visit) settingsPage(trouble *Problem) error {
	list, err := v.h.Store.Sessions(v.r.Context(), v.session.Person, v.h.now())
	if err != nil {
		return err
	}
	type row struct {
		bridge.Session
		Browser Text
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
	admin := v.session.Role == bridge.RoleAdministrator
	data := map[string]any{"Sessions": rows, "App": app, "Notices": admin && v.h.Notices != nil, "Stale": Text(""), "Admin": admin,
		"Password": v.session.Person == 0 || v.person.Password, "User": v.who()}
	if after := v.h.staleAfter(); after > 0 {
		data["Stale"] = lengthText(rough(after))
	}
	if admin && v.h.Notices != nil {
		var languages []option
		for _, l := range Languages() {
			languages = append(languages, option{l.Tag, l.Name, l == v.lang})
		}
		data["Languages"], data["Form"] = languages, noticeFormOf(v.r.PostForm).shown()
		if data["Targets"], err = v.h.Notices.Targets(v.r.Context()); err != nil {
			return err
		}
	}
	return v.render("settings", page{Title: "Settings", Trouble: trouble, Data: data})
}

func settings(v *visit) error { return v.settingsPage(nil) }

// changePassword changes that of the administrator, or the visitor's own.
func changePassword(v *visit) error {
	by, ok, err := v.attempt(v.who(), v.settingsPage)
	if !ok {
		return err
	}
	var hash string
	lost := Text("If you lost it, the administrator of this bridge can remove you and invite you again.")
	if v.session.Person == 0 {
		hash, err = v.h.Store.Administrator(v.r.Context())
		lost = "If you lost it, `outbridge password admin` sets a new one."
	} else {
		_, hash, err = v.h.Store.PersonByName(v.r.Context(), v.person.Name)
	}
	if err != nil {
		return err
	}
	fail := func(p *Problem) error {
		v.status = 400
		return v.settingsPage(p)
	}
	if hash == "" {
		return fail(&Problem{"You have no password here.", "You sign in with Microsoft."})
	}
	if !passwordIs(v.r.PostFormValue("current"), hash, by) {
		v.refusedSignIn(v.who(), "current password")
		return fail(&Problem{"The current password is wrong.", lost})
	}
	if err := v.h.forgive(v.r.Context(), by); err != nil {
		return err
	}
	if v.r.PostFormValue("password") != v.r.PostFormValue("repeat") {
		return fail(&Problem{"The two new passwords do not match.", "Type the same one twice."})
	}
	hash, err = HashPassword(v.r.PostFormValue("password"))
	if p, ok := problemOf(err); ok {
		return fail(p)
	}
	if err == nil && v.session.Person == 0 {
		err = v.h.Store.SetAdministrator(v.r.Context(), hash, false) // which ends every session, this one too
	} else if err == nil {
		err = v.h.Store.SetPersonPassword(v.r.Context(), v.session.Person, hash)
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActPasswordChanged, v.who(), "")
	if err := v.beginSession(v.person, v.session.Role, "new password"); err != nil {
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
	if err := v.h.Store.EndSessions(v.r.Context(), v.session.Person, v.h.now(), id); err != nil {
		return err
	}
	v.record(bridge.ActSessionEnded, "", "")
	return v.redirect("/settings?done=session")
}

// browser names the program and system of a User-Agent, as far as they are known.
func browser(agent string) Text {
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
		return unknownBrowser
	case system == "":
		return Plain(program)
	}
	return With("{program} on {system}", program, system)
}

const unknownBrowser Text = "Unknown browser"

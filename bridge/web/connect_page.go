package web

import (
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"outbridge/bridge"
)

// profileLife is how long a link to a configuration profile is valid.
const profileLife = 15 * time.Minute

// connect has the steps for each calendar app, with the values to enter, and the link to a profile that was just created.
func connect(v *visit, a Account) error {
	status, err := v.h.accountStatus(v.r.Context(), a)
	if err != nil {
		return err
	}
	first := ""
	if len(status.Calendars) > 0 {
		first = status.Calendars[0].Name
	}
	shown, over := v.shown()
	p := page{Title: "Connect a calendar app", Account: &a, Tab: "connect", Script: true, Trouble: shown.Trouble, Data: map[string]any{
		"User": a.Name, "HTTPS": strings.HasPrefix(v.h.PublicURL, "https://"), "DAVx5": davx5Link(v.h.address(), a.Name),
		"Calendars": status.Calendars, "First": first, "Profile": shown.Profile, "Life": int(profileLife / time.Minute), "Here": v.h.onlyHere()}}
	if over {
		p.Notice = "The link was shown for a minute. If it was not opened, create another."
	}
	return v.render("connect", p)
}

// makeProfile creates a link to a configuration profile. The app password in it is created when the link is opened.
func makeProfile(v *visit, a Account) error {
	if v.h.onlyHere() {
		return v.again(accountPath(a.Name)+"/connect", &Problem{With("A profile would lead the device to {address}, which only this machine can reach.", v.h.address()), "Set public_url in the configuration to an address that the device reaches, by https."})
	}
	secret, err := v.h.Store.AddTicket(v.r.Context(), bridge.Ticket{User: a.Name, Label: "Apple profile", Expires: v.h.now().Add(profileLife)})
	if err != nil {
		return err
	}
	v.record(bridge.ActProfileMade, a.Name, "")
	return v.showOnce(accountPath(a.Name)+"/connect", once{Profile: v.h.address() + "/profile/" + secret + ".mobileconfig"})
}

// takeProfile serves a configuration profile, once. It needs no session, since the link is opened on a phone.
func takeProfile(v *visit) error {
	secret, ok := strings.CutSuffix(v.r.PathValue("name"), ".mobileconfig")
	if !ok {
		return bridge.ErrNotFound
	}
	if v.r.Method == http.MethodHead { // such as a link preview
		v.w.Header().Set("Content-Type", mobileconfigType)
		return nil
	}
	t, err := v.h.Store.TakeTicket(v.r.Context(), secret, v.h.now())
	if errors.Is(err, bridge.ErrNotFound) {
		v.refusedSignIn("", "link to a profile")
		v.fail(http.StatusGone, &Problem{"This link was already used or has expired.", "Create a new one on the Connect page of the account."})
		return nil
	}
	if err != nil {
		return err
	}
	_, password, err := v.h.Store.AddPassword(v.r.Context(), t.User, t.Label, v.h.now())
	if err != nil {
		return err
	}
	v.record(bridge.ActPasswordMade, t.User, t.Label)
	data, err := mobileconfig(v.lang, v.h.address(), t.User, password)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", mobileconfigType)
	v.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "outbridge-" + t.User + ".mobileconfig"}))
	_, _ = v.w.Write(data)
	return nil
}

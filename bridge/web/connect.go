package web

import (
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"outbridge/bridge"
)

// profileLife is how long a link to a configuration profile is good.
const profileLife = 15 * time.Minute

// connectPage has the steps for each calendar program, with the values to enter. link is to a profile that was made just
// now, "" else.
func (v *visit) connectPage(a Account, link string) error {
	view, err := v.h.accountView(v.r.Context(), a)
	if err != nil {
		return err
	}
	first := ""
	if len(view.Calendars) > 0 {
		first = view.Calendars[0].Name
	}
	return v.render("connect", page{Title: "Connect a calendar program", Account: &a, Tab: "connect", Script: true, Data: map[string]any{
		"User": a.Name, "HTTPS": strings.HasPrefix(v.h.PublicURL, "https://"), "DAVx5": davx5Link(v.h.origin(), a.Name),
		"Calendars": view.Calendars, "First": first, "Profile": link, "Life": int(profileLife / time.Minute)}})
}

func connect(v *visit, a Account) error {
	return v.connectPage(a, "")
}

// makeProfile makes a link to a configuration profile. The app password in it is made when the link is followed.
func makeProfile(v *visit, a Account) error {
	secret, err := v.h.Store.AddTicket(v.r.Context(), bridge.Ticket{User: a.Name, Label: "Apple profile", Expires: v.h.now().Add(profileLife)})
	if err != nil {
		return err
	}
	return v.connectPage(a, v.h.origin()+"/profile/"+secret+".mobileconfig")
}

// takeProfile serves a configuration profile once. It needs no sign-in: the link is opened on the phone.
func takeProfile(v *visit) error {
	secret, ok := strings.CutSuffix(v.r.PathValue("name"), ".mobileconfig")
	if !ok {
		return bridge.ErrNotFound
	}
	if v.r.Method == http.MethodHead { // somebody only looks
		v.w.Header().Set("Content-Type", mobileconfigType)
		return nil
	}
	t, err := v.h.Store.TakeTicket(v.r.Context(), secret, v.h.now())
	if errors.Is(err, bridge.ErrNotFound) {
		v.fail(http.StatusGone, &Problem{"This link has been used or has expired.", "Make a new one on the page that showed it."})
		return nil
	}
	if err != nil {
		return err
	}
	_, password, err := v.h.Store.AddPassword(v.r.Context(), t.User, t.Label, v.h.now())
	if err != nil {
		return err
	}
	data, err := mobileconfig(v.h.origin(), t.User, password)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", mobileconfigType)
	v.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "outbridge-" + t.User + ".mobileconfig"}))
	_, _ = v.w.Write(data)
	return nil
}

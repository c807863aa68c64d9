package web

import (
	"cmp"
	"errors"
	"strings"

	"outbridge/bridge"
)

func (v *visit) appPage(trouble *Problem, r bridge.Registration) error {
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	if trouble == nil {
		r = app.Registration
	}
	r.Tenant = cmp.Or(r.Tenant, "common")
	_, register := v.callback()
	return v.render("app", page{Title: "App registration", Trouble: trouble, Data: map[string]any{"App": app, "Form": r, "Register": register}})
}

func appForm(v *visit) error { return v.appPage(nil, bridge.Registration{}) }

func setApp(v *visit) error {
	r := bridge.Registration{ClientID: strings.TrimSpace(v.r.PostFormValue("client_id")), Tenant: strings.TrimSpace(v.r.PostFormValue("tenant"))}
	err := v.h.Accounts.SetApp(v.r.Context(), r)
	if p, ok := problemOf(err); ok {
		if !errors.As(err, new(*Problem)) {
			p.Action = "Check the client ID, the tenant, and which account types the app registration supports."
		}
		v.status = 400
		return v.appPage(p, r)
	}
	if err != nil {
		return err
	}
	list, err := v.h.Accounts.List(v.r.Context())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return v.redirect("/new-account")
	}
	return v.redirect("/?done=app")
}

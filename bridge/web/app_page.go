package web

import (
	"bytes"
	"cmp"
	"errors"
	"io"
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
	return v.render("app", page{Title: "App registration", Script: true, Trouble: trouble, Data: map[string]any{"App": app, "Form": r, "Register": register}})
}

func appForm(v *visit) error { return v.appPage(nil, bridge.Registration{}) }

// credentialForm is what the form says of the app's credential: nil where it stays as it is.
func (v *visit) credentialForm() (*bridge.Credential, error) {
	get := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	switch get("credential") {
	case "none":
		return &bridge.Credential{}, nil
	case "secret":
		if get("client_secret") == "" {
			return nil, &Problem{"The client secret is empty.", "Copy its value, not its ID, from the app registration."}
		}
		return &bridge.Credential{Secret: get("client_secret"), Expires: get("expires")}, nil
	case "certificate":
		var text []byte
		if v.r.MultipartForm != nil {
			for _, file := range v.r.MultipartForm.File["certificate"] {
				f, err := file.Open()
				if err != nil {
					return nil, err
				}
				b, err := io.ReadAll(f)
				f.Close()
				if err != nil {
					return nil, err
				}
				text = append(append(text, b...), '\n')
			}
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, &Problem{"No certificate was chosen.", "Choose a PEM file that holds the certificate and its private key."}
		}
		return &bridge.Credential{Certificate: string(text)}, nil
	}
	return nil, nil
}

func setApp(v *visit) error {
	r := bridge.Registration{ClientID: strings.TrimSpace(v.r.PostFormValue("client_id")), Tenant: strings.TrimSpace(v.r.PostFormValue("tenant")),
		Cloud: v.r.PostFormValue("cloud")}
	restart := false
	credential, err := v.credentialForm()
	if err == nil {
		restart, err = v.h.Accounts.SetApp(v.r.Context(), r, credential)
	}
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
	v.record(bridge.ActSettingsChanged, "", "app registration")
	if restart {
		return v.redirect("/app?done=restart")
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

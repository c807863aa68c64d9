package web

import (
	"fmt"
	"slices"

	"outbridge/bridge"
)

// passwords shows the app passwords of an account, and one that was just created.
func passwords(v *visit, a Account) error {
	list, err := v.h.Store.Passwords(v.r.Context(), a.Name)
	if err != nil {
		return err
	}
	shown, over := v.shown()
	p := page{Title: "App passwords", Account: &a, Tab: "passwords", Script: true, Trouble: shown.Trouble,
		Data: map[string]any{"List": list, "Made": shown.Password, "User": a.Name}}
	if over {
		p.Notice = "The new app password was shown for a minute. If it was not copied, revoke it and create another."
	}
	return v.render("passwords", p)
}

func addPassword(v *visit, a Account) error {
	label, err := bridge.PasswordLabel(v.r.FormValue("label"))
	if err != nil {
		return v.again(accountPath(a.Name)+"/passwords", &Problem{"The label is too long.", "Use at most 100 characters. No app password was made."})
	}
	_, secret, err := v.h.Store.AddPassword(v.r.Context(), a.Name, label, v.h.now())
	if err != nil {
		return err
	}
	v.record(bridge.ActPasswordMade, a.Name, label)
	return v.showOnce(accountPath(a.Name)+"/passwords", once{Password: secret})
}

// passwordOf is the app password named in the URL.
func (v *visit) passwordOf(a Account) (bridge.Password, error) {
	id, err := v.id()
	if err != nil {
		return bridge.Password{}, err
	}
	list, err := v.h.Store.Passwords(v.r.Context(), a.Name)
	if err != nil {
		return bridge.Password{}, err
	}
	i := slices.IndexFunc(list, func(p bridge.Password) bool { return p.ID == id })
	if i < 0 {
		return bridge.Password{}, bridge.ErrNotFound
	}
	return list[i], nil
}

// labelText is the label of an app password.
func labelText(p bridge.Password) Text {
	if p.Label == "" {
		return "(no label)"
	}
	return Plain(p.Label)
}

func revokePasswordForm(v *visit, a Account) error {
	p, err := v.passwordOf(a)
	if err != nil {
		return err
	}
	return v.confirm(a, question{
		Title: With("Revoke the app password for {label}?", labelText(p)), Button: "Revoke",
		Text: []Text{"The devices that use it lose access at once, until another app password is entered there.", usedText(v.h.now(), p.Used, p.Client)},
		Path: fmt.Sprintf("%s/passwords/%d/revoke", accountPath(a.Name), p.ID), Back: accountPath(a.Name) + "/passwords"})
}

func revokePassword(v *visit, a Account) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	p, err := v.passwordOf(a)
	if err != nil {
		return err
	}
	if err := v.h.Store.RevokePassword(v.r.Context(), a.Name, id); err != nil {
		return err
	}
	v.record(bridge.ActPasswordRevoked, a.Name, p.Label)
	return v.redirect(accountPath(a.Name) + "/passwords?done=revoked")
}

package web

import (
	"strings"
)

// passwordsPage shows the app passwords of an account. made is one that was just created; "" if none was.
func (v *visit) passwordsPage(a Account, made string) error {
	list, err := v.h.Store.Passwords(v.r.Context(), a.Name)
	if err != nil {
		return err
	}
	return v.render("passwords", page{Title: "App passwords", Account: &a, Tab: "passwords", Script: made != "",
		Data: map[string]any{"List": list, "Made": made, "User": a.Name, "Label": passwordLabel(v)}})
}

// passwordLabel is the label in the form, on one line and not too long.
func passwordLabel(v *visit) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(v.r.FormValue("label"), "")), " ")
	if r := []rune(text); len(r) > 100 {
		text = string(r[:100])
	}
	return text
}

func passwords(v *visit, a Account) error {
	return v.passwordsPage(a, "")
}

func addPassword(v *visit, a Account) error {
	_, secret, err := v.h.Store.AddPassword(v.r.Context(), a.Name, passwordLabel(v), v.h.now())
	if err != nil {
		return err
	}
	return v.passwordsPage(a, secret)
}

func revokePassword(v *visit, a Account) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	if err := v.h.Store.RevokePassword(v.r.Context(), a.Name, id); err != nil {
		return err
	}
	return v.redirect(accountPath(a.Name) + "/passwords?done=revoked")
}

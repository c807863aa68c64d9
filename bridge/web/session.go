package web

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"outbridge/bridge"
)

const (
	sessionIdle  = 14 * 24 * time.Hour // a session ends after so long without use
	sessionLife  = 90 * 24 * time.Hour // and at last after so long
	sessionTouch = time.Hour           // its last use is recorded no more often
)

// NewSetupCode makes a code for Handler.SetupCode: 50 random bits, in a form to read out and to type.
func NewSetupCode() string {
	text := rand.Text()
	return text[:5] + "-" + text[5:10]
}

// sameCode compares setup codes as people type them.
func sameCode(a, b string) bool {
	plain := func(s string) []byte {
		return []byte(strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(s)))
	}
	return subtle.ConstantTimeCompare(plain(a), plain(b)) == 1
}

// HashPassword is the administrator's password as bridge.PageStore keeps it. A password that is too short or too long is a
// *Problem.
func HashPassword(password string) (string, error) {
	switch n := utf8.RuneCountInString(password); {
	case n < 10:
		return "", &Problem{"The password is too short.", "Choose one of at least 10 characters; a few random words do well."}
	case len(password) > 72: // bcrypt takes no more
		return "", &Problem{"The password is too long.", "Choose one of at most 72 characters."}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 12)
	return string(hash), err
}

// hashing lets few compare passwords at once: it takes a quarter of a second of a processor.
var hashing = make(chan struct{}, 2)

func passwordIs(password, hash string) bool {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// cookieName has the prefix that keeps others on the same domain from setting it (RFC 6265bis section 4.1.3), which takes
// https.
func (v *visit) cookieName() string {
	if ClientOf(v.r).HTTPS {
		return "__Host-outbridge"
	}
	return "outbridge"
}

// setCookie hands the browser the secret of its session, or takes it away.
func (v *visit) setCookie(secret string, life time.Duration) {
	c := &http.Cookie{Name: v.cookieName(), Value: secret, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: ClientOf(v.r).HTTPS}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

// readSession finds who is signed in; the zero Session is nobody.
func (v *visit) readSession() error {
	c, err := v.r.Cookie(v.cookieName())
	if err != nil || c.Value == "" {
		return nil
	}
	now := v.h.now()
	s, err := v.h.Store.SessionBySecret(v.r.Context(), c.Value, now)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if v.session = s; now.Sub(s.Seen) < sessionTouch {
		return nil
	}
	expires := now.Add(sessionIdle)
	if end := s.Created.Add(sessionLife); end.Before(expires) {
		expires = end
	}
	v.setCookie(c.Value, expires.Sub(now))
	return v.h.Store.ProlongSession(v.r.Context(), s.ID, now, expires)
}

// beginSession signs the browser in.
func (v *visit) beginSession() error {
	now := v.h.now()
	agent := strings.ToValidUTF8(v.r.UserAgent(), "")
	s := bridge.Session{Agent: agent[:min(len(agent), 300)], Created: now, Seen: now, Expires: now.Add(sessionIdle)}
	_, secret, err := v.h.Store.AddSession(v.r.Context(), s)
	if err != nil {
		return err
	}
	v.setCookie(secret, sessionIdle)
	return nil
}

// attempt counts a guess. It answers false, with a page that says so, where there were too many.
func (v *visit) attempt(again func(trouble *Problem) error) (bool, error) {
	wait := v.h.guesses.attempt(ClientOf(v.r).network(), v.h.now())
	if wait == 0 {
		return true, nil
	}
	v.w.Header().Set("Retry-After", fmt.Sprint(int(wait/time.Second)))
	v.status = http.StatusTooManyRequests
	return false, again(&Problem{"There were too many attempts.", fmt.Sprintf("Wait %s, then try again.", seconds(wait))})
}

func seconds(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d seconds", int(d/time.Second))
	}
	return fmt.Sprintf("%d minutes", int((d+time.Minute-1)/time.Minute))
}

// unset reports whether there is no administrator yet.
func (v *visit) unset() (bool, error) {
	_, err := v.h.Store.Administrator(v.r.Context())
	if errors.Is(err, bridge.ErrNotFound) {
		return true, nil
	}
	return false, err
}

func (v *visit) setupPage(code string, trouble *Problem) error {
	return v.render("setup", page{Title: "Set up outbridge", Trouble: trouble, Data: map[string]any{"Code": code, "Ready": v.h.SetupCode != ""}})
}

func setupForm(v *visit) error {
	if unset, err := v.unset(); err != nil || !unset {
		return errors.Join(err, v.redirect("/sign-in"))
	}
	return v.setupPage(v.r.URL.Query().Get("code"), nil)
}

func setup(v *visit) error {
	if unset, err := v.unset(); err != nil || !unset {
		return errors.Join(err, v.redirect("/sign-in"))
	}
	code, password := v.r.PostFormValue("code"), v.r.PostFormValue("password")
	fail := func(p *Problem) error { return v.setupPage(code, p) }
	if ok, err := v.attempt(fail); !ok {
		return err
	}
	if v.h.SetupCode == "" || !sameCode(code, v.h.SetupCode) {
		v.status = http.StatusForbidden
		v.h.log().Warn("wrong setup code", "address", ClientOf(v.r).network())
		return fail(&Problem{"That is not the setup code.", "It is what `outbridge serve` printed at its last start."})
	}
	v.h.guesses.forgive(ClientOf(v.r).network())
	if password != v.r.PostFormValue("repeat") {
		v.status = http.StatusBadRequest
		return fail(&Problem{"The two passwords are not the same.", "Type the same one twice."})
	}
	hash, err := HashPassword(password)
	if p, ok := problemOf(err); ok {
		v.status = http.StatusBadRequest
		return fail(p)
	}
	if err == nil {
		err = v.h.Store.SetAdministrator(v.r.Context(), hash, true)
	}
	if errors.Is(err, bridge.ErrExists) {
		return v.redirect("/sign-in")
	}
	if err == nil {
		err = v.beginSession()
	}
	if err != nil {
		return err
	}
	v.h.log().Info("the administrator's password is set", "address", ClientOf(v.r).network())
	return v.redirect("/")
}

func (v *visit) signInPage(trouble *Problem) error {
	return v.render("sign-in", page{Title: "Sign in", Trouble: trouble, Data: map[string]string{"Next": next(v.r)}})
}

// next is the page to go to after the sign-in: one of ours.
func next(r *http.Request) string {
	u, err := url.Parse(r.FormValue("next"))
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(u.Path, "\\\r\n") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

func signInForm(v *visit) error {
	unset, err := v.unset()
	switch {
	case err != nil:
		return err
	case unset:
		return v.redirect("/setup")
	case v.signedIn():
		return v.redirect(next(v.r))
	}
	return v.signInPage(nil)
}

func signIn(v *visit) error {
	if ok, err := v.attempt(v.signInPage); !ok {
		return err
	}
	hash, err := v.h.Store.Administrator(v.r.Context())
	if errors.Is(err, bridge.ErrNotFound) {
		return v.redirect("/setup")
	}
	if err != nil {
		return err
	}
	if !passwordIs(v.r.PostFormValue("password"), hash) {
		v.status = http.StatusForbidden
		v.h.log().Warn("wrong password of the administrator", "address", ClientOf(v.r).network())
		return v.signInPage(&Problem{"That is not the password.", "If it is lost, `outbridge password admin` sets a new one."})
	}
	v.h.guesses.forgive(ClientOf(v.r).network())
	if v.signedIn() {
		if err := v.h.Store.EndSessions(v.r.Context(), v.h.now(), v.session.ID); err != nil {
			return err
		}
	}
	if err := v.beginSession(); err != nil {
		return err
	}
	return v.redirect(next(v.r))
}

func signOut(v *visit) error {
	if err := v.h.Store.EndSessions(v.r.Context(), v.h.now(), v.session.ID); err != nil {
		return err
	}
	v.setCookie("", 0)
	return v.redirect("/")
}

func signOutEverywhere(v *visit) error {
	if err := v.h.Store.EndSessions(v.r.Context(), v.h.now()); err != nil {
		return err
	}
	v.setCookie("", 0)
	return v.redirect("/sign-in")
}

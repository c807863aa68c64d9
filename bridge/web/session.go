package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"outbridge/bridge"
)

const (
	sessionIdle = 14 * 24 * time.Hour // a session ends after this long without use
	sessionLife = 90 * 24 * time.Hour // and this long after sign-in in any case
	// microsoftLife is how long after sign-in the session of somebody ends whom Microsoft signs in: who has left there, or lost a role,
	// is out the next day.
	microsoftLife = 24 * time.Hour
	sessionTouch  = time.Hour // the last use is recorded at most this often

	markLife = 400 * 24 * time.Hour // browsers keep no cookie for longer (RFC 6265bis §5.5)
)

// NewSetupCode makes a code for Handler.SetupCode: 50 random bits, easy to read and type.
func NewSetupCode() string {
	text := rand.Text()
	return text[:5] + "-" + text[5:10]
}

// sameCode compares setup codes, however people type them.
func sameCode(a, b string) bool {
	plain := func(s string) []byte {
		return []byte(strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(s)))
	}
	return subtle.ConstantTimeCompare(plain(a), plain(b)) == 1
}

// HashPassword hashes the administrator's password for bridge.AdministratorStore. A password that is too short or too long is
// a *Problem.
func HashPassword(password string) (string, error) {
	switch n := utf8.RuneCountInString(password); {
	case n < 10:
		return "", &Problem{"The password is too short.", "Use at least 10 characters; a few random words work well."}
	case len(password) > 72: // bcrypt takes no more
		return "", &Problem{"The password is too long.", "Use at most 72 characters."}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 12)
	return string(hash), err
}

// nobodysHash is of a password that nobody has, to compare with where there is no other, so that it takes as long.
var nobodysHash = sync.OnceValue(func() string {
	hash, err := HashPassword(rand.Text())
	if err != nil {
		panic(err) // it is long enough, and not too long
	}
	return hash
})

// hashSlots limit how many passwords are compared at the same time: each takes a quarter of a second of processor time.
// Those who have been right before need not queue behind strangers.
var hashSlots = map[bool]chan struct{}{false: make(chan struct{}, 2), true: make(chan struct{}, 1)}

func passwordIs(password, hash string, by guesser) bool {
	slots := hashSlots[by.known]
	slots <- struct{}{}
	defer func() { <-slots }()
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// Cookies: the secret of the session, and the mark of a browser that has signed in (bridge.AdministratorStore).
const (
	sessionCookie = "outbridge"
	browserCookie = "outbridge-browser"
)

// cookieName has something of the bridge, since cookies know no ports and several bridges may be on one host; and over https the
// prefix that keeps other hosts of the same domain from setting it (RFC 6265bis §4.1.3).
func (v *visit) cookieName(name string) string {
	sum := sha256.Sum256([]byte(v.h.address()))
	name += "-" + hex.EncodeToString(sum[:4])
	switch {
	case !ClientOf(v.r).HTTPS:
		return name
	case v.h.base() != "":
		return "__Secure-" + name // the other is for the path / alone
	}
	return "__Host-" + name
}

// setCookie gives the browser a cookie; the value "" removes it.
func (v *visit) setCookie(name, value string, life time.Duration) {
	c := &http.Cookie{Name: v.cookieName(name), Value: value, Path: cmp.Or(v.h.base(), "/"), MaxAge: int(life / time.Second), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: ClientOf(v.r).HTTPS}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

// readSession finds the session of the request, and prolongs it; the zero Session if nobody is signed in.
func (v *visit) readSession() error {
	now := v.h.now()
	s, p, end, err := v.findSession(now)
	if err != nil || s.ID == 0 {
		return err
	}
	v.session, v.person = s, p
	if now.Sub(s.Seen) < sessionTouch {
		return nil
	}
	expires := now.Add(sessionIdle)
	if end.Before(expires) {
		expires = end
	}
	if c, err := v.r.Cookie(v.cookieName(sessionCookie)); err == nil {
		v.setCookie(sessionCookie, c.Value, expires.Sub(now))
	}
	return v.h.Store.ProlongSession(v.r.Context(), s.ID, now, expires)
}

// findSession is the session of the request as the store has it now, who has it, and when it ends at the latest.
func (v *visit) findSession(now time.Time) (s bridge.Session, p bridge.Person, end time.Time, err error) {
	c, err := v.r.Cookie(v.cookieName(sessionCookie))
	if err != nil || c.Value == "" {
		return s, p, end, nil
	}
	found, err := v.h.Store.SessionBySecret(v.r.Context(), c.Value, now)
	if err == nil && found.Person != 0 {
		p, err = v.h.Store.Person(v.r.Context(), found.Person)
	}
	if errors.Is(err, bridge.ErrNotFound) {
		return s, bridge.Person{}, end, nil
	}
	if err != nil {
		return s, bridge.Person{}, end, err
	}
	life := sessionLife
	if p.ObjectID != "" {
		life = microsoftLife
	}
	if end = found.Created.Add(life); !now.Before(end) {
		return s, bridge.Person{}, end, nil
	}
	return found, p, end, nil
}

// beginSession signs the browser in, as the administrator by password where p is nobody. The session that it had ends, and its secret
// with it.
func (v *visit) beginSession(p bridge.Person, role bridge.Role, way string) error {
	now := v.h.now()
	if v.signedIn() {
		if err := v.h.Store.EndSessions(v.r.Context(), v.session.Person, now, v.session.ID); err != nil {
			return err
		}
	}
	idle := sessionIdle
	if p.ObjectID != "" {
		idle = microsoftLife
	}
	agent := strings.ToValidUTF8(v.r.UserAgent(), "")
	s := bridge.Session{Person: p.ID, Role: role, Agent: agent[:min(len(agent), 300)], Created: now, Seen: now, Expires: now.Add(idle)}
	s, secret, err := v.h.Store.AddSession(v.r.Context(), s)
	if err != nil {
		return err
	}
	v.session, v.person = s, p
	v.record(bridge.ActSignedIn, "", way)
	v.setCookie(sessionCookie, secret, idle)
	if _, known := v.browser(); !known {
		v.setCookie(browserCookie, v.h.Store.NewBrowser(), markLife)
	}
	return v.h.Store.KnowNetwork(v.r.Context(), ClientOf(v.r).network(), now)
}

// browser is the id of a browser that has signed in before, perhaps long ago.
func (v *visit) browser() (id string, known bool) {
	c, err := v.r.Cookie(v.cookieName(browserCookie))
	if err != nil {
		return "", false
	}
	return v.h.Store.Browser(c.Value)
}

// guesser is who sends the request. Strangers can use up the turns of an address that they share with the administrator,
// but not those of the browser.
func (v *visit) guesser() (guesser, error) {
	if v.signedIn() {
		return guesser{fmt.Sprint("session ", v.session.ID), true}, nil
	}
	if id, known := v.browser(); known {
		return guesser{"browser " + id, true}, nil
	}
	network := ClientOf(v.r).network()
	known, err := v.h.Store.NetworkKnown(v.r.Context(), network)
	return guesser{network, known}, err
}

// attempt counts a guess. After too many it returns false and shows the page again, with an error.
func (v *visit) attempt(user string, again func(trouble *Problem) error) (by guesser, ok bool, err error) {
	if by, err = v.guesser(); err != nil {
		return by, false, err
	}
	wait, err := v.h.count(v.r.Context(), by)
	if err != nil {
		return by, false, err
	}
	if wait == 0 {
		return by, true, nil
	}
	RefusedSignIn(v.h.log(), v.r, "page", user)
	v.w.Header().Set("Retry-After", fmt.Sprint(int(wait/time.Second)))
	v.status = http.StatusTooManyRequests
	return by, false, again(&Problem{"Too many attempts.", With("Wait {time}, then try again.", waitText(wait))})
}

func waitText(d time.Duration) Text {
	if d < 2*time.Minute {
		return lengthText(int(d/time.Second), time.Second)
	}
	return lengthText(int((d+time.Minute-1)/time.Minute), time.Minute)
}

// unset reports whether the administrator's password has not been set yet.
func (h *Handler) unset(ctx context.Context) (bool, error) {
	_, err := h.Store.Administrator(ctx)
	if errors.Is(err, bridge.ErrNotFound) {
		return true, nil
	}
	return false, err
}

package web

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
)

// onceLife is how long the page that a form leads to can be reloaded and still shows what the form has made.
const onceLife = time.Minute

// onceKind is the kind of bridge.BriefStore of what a form has made, for the page that the browser is sent to next: a reload shows that page
// again and sends no form. What is kept is also sealed with a key that only the address of that page has: it may lie in the database,
// and in a copy of it, for longer than its minute.
const onceKind = "shown-once"

// once is what a page shows for a minute.
type once struct {
	Password   string     `json:"password,omitempty"` // an app password
	Profile    string     `json:"profile,omitempty"`  // the link to a configuration profile
	Feed       *FeedLinks `json:"feed,omitempty"`
	Invitation string     `json:"invitation,omitempty"` // its link
	Trouble    *Problem   `json:"trouble,omitempty"`
}

func onceSeal(ticket string) cipher.AEAD {
	key := sha256.Sum256([]byte("seal " + ticket))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return seal
}

// onceKey finds what a session's page shows: no other session's does.
func onceKey(session int64, ticket string) string { return fmt.Sprint(session, " ", ticket) }

// putOnce keeps what the session's next page is to show, and returns the ticket for it.
func (v *visit) putOnce(what once) (ticket string, err error) {
	plain, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	ticket = strings.ToLower(rand.Text())
	now := v.h.now()
	return ticket, v.h.Store.KeepBrief(v.r.Context(), onceKind, onceKey(v.session.ID, ticket), onceSeal(ticket).Seal(nil, nil, plain, nil), now, now.Add(onceLife))
}

// getOnce is what the session's page shows; false where its time is over, or the ticket is another session's.
func (v *visit) getOnce(ticket string) (what once, ok bool) {
	box, err := v.h.Store.Brief(v.r.Context(), onceKind, onceKey(v.session.ID, ticket), v.h.now())
	if err != nil {
		if !errors.Is(err, bridge.ErrNotFound) {
			v.h.log().Error("what a page shows once cannot be read", "err", err)
		}
		return what, false
	}
	plain, err := onceSeal(ticket).Open(nil, nil, box, nil)
	return what, err == nil && json.Unmarshal(plain, &what) == nil
}

// showOnce sends the browser to a page that shows what a form has made, for a minute.
func (v *visit) showOnce(path string, what once) error {
	ticket, err := v.putOnce(what)
	if err != nil {
		return err
	}
	if what.Trouble != nil {
		return v.redirect(path + "?again=" + ticket)
	}
	return v.redirect(path + "?shown=" + ticket)
}

// shown is what the page shows once; over says that it has shown it and the minute has passed.
func (v *visit) shown() (what once, over bool) {
	made := v.r.URL.Query().Get("shown")
	ticket := cmp.Or(made, v.r.URL.Query().Get("again"))
	if ticket == "" {
		return what, false
	}
	what, ok := v.getOnce(ticket)
	return what, !ok && made != ""
}

// again sends the browser back to a form, which says what was wrong. Other errors stay what they are.
func (v *visit) again(path string, err error) error {
	p, ok := problemOf(err)
	if !ok {
		return err
	}
	return v.showOnce(path, once{Trouble: p})
}

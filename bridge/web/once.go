package web

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	// onceLife is how long the page that a form leads to can be reloaded and still shows what the form has made.
	onceLife = time.Minute
	maxOnce  = 256
)

// oncePages hold what a form has made, for the page that the browser is sent to next: a reload shows that page again and sends no
// form. What is held is sealed with a key that only the address of that page has; after a restart it is gone.
type oncePages struct {
	mu    sync.Mutex
	boxes map[[sha256.Size]byte]onceBox // by a hash of the ticket
}

type onceBox struct {
	sealed  []byte
	session int64
	expires time.Time
}

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

func onceID(ticket string) [sha256.Size]byte { return sha256.Sum256([]byte("find " + ticket)) }

func (o *oncePages) sweep(now time.Time) {
	for id, b := range o.boxes {
		if !now.Before(b.expires) {
			delete(o.boxes, id)
		}
	}
}

// put keeps what the session's next page is to show, and returns the ticket for it.
func (o *oncePages) put(session int64, what once, now time.Time) (ticket string, err error) {
	plain, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	ticket = strings.ToLower(rand.Text())
	box := onceBox{onceSeal(ticket).Seal(nil, nil, plain, nil), session, now.Add(onceLife)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sweep(now)
	if len(o.boxes) >= maxOnce {
		return "", errors.New("too many pages wait to be shown")
	}
	if o.boxes == nil {
		o.boxes = map[[sha256.Size]byte]onceBox{}
	}
	o.boxes[onceID(ticket)] = box
	return ticket, nil
}

// get is what the session's page shows; false where its time is over, or the ticket is another session's.
func (o *oncePages) get(session int64, ticket string, now time.Time) (what once, ok bool) {
	o.mu.Lock()
	o.sweep(now)
	box, ok := o.boxes[onceID(ticket)]
	o.mu.Unlock()
	if !ok || box.session != session {
		return what, false
	}
	plain, err := onceSeal(ticket).Open(nil, nil, box.sealed, nil)
	return what, err == nil && json.Unmarshal(plain, &what) == nil
}

// showOnce sends the browser to a page that shows what a form has made, for a minute.
func (v *visit) showOnce(path string, what once) error {
	ticket, err := v.h.once.put(v.session.ID, what, v.h.now())
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
	what, ok := v.h.once.get(v.session.ID, ticket, v.h.now())
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

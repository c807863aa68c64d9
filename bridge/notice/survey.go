package notice

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"outbridge/bridge"
)

const (
	passingAge  = 24 * time.Hour      // of changes of clients that are told of
	waitingAge  = 10 * time.Minute    // from which on one that is open is told of
	expiresSoon = 30 * 24 * time.Hour // for what somebody has to renew
	renewedSoon = 7 * 24 * time.Hour  // for what should have been renewed by itself by then
	maxIntents  = 10_000              // of the latest that are in trouble are looked at
	atOnce      = 100                 // accounts are read
	leastLife   = 12 * time.Hour      // of a sign-in, for its end to be told of before
)

// Surveyor finds out what is wrong.
type Surveyor struct {
	Store SurveyStore
	// Accounts are those that are served.
	Accounts func() []string
	// Pulse is what is known of the rounds of an account beside the store.
	Pulse func(account string) bridge.Pulse
	// StaleAfter is the age from which on a calendar is told of; 0: never.
	StaleAfter func() time.Duration
	// Expiring are what expires, of kinds NoticeCredential, NoticeCertificate and NoticeRenewal, with Detail and At. The last are told of
	// whenever they expire. An error is about one that cannot be read.
	Expiring func() ([]bridge.Notice, error)
	// Organization reports whether the members of an organization are served. Nil: they are not.
	Organization func() bool
	// Disk is the room for the database, in octets; known is false where nobody can tell.
	Disk func() (free uint64, low, full, known bool)
}

// SurveyStore is what a Surveyor reads.
type SurveyStore interface {
	bridge.NoticeStore
	DirectoryStatus(ctx context.Context) (bridge.DirectoryStatus, error)
}

// survey is one look.
type survey struct {
	*Surveyor
	Findings
	now     time.Time
	members map[bridge.Reason]*bridge.Notice // of those that are not synced
	intents map[bridge.AccountID][]bridge.Intent
}

// Survey finds out what is wrong now.
func (s *Surveyor) Survey(ctx context.Context, now time.Time) (Findings, error) {
	v := survey{Surveyor: s, Findings: Findings{Unsure: map[string]bool{}}, now: now, members: map[bridge.Reason]*bridge.Notice{}, intents: map[bridge.AccountID][]bridge.Intent{}}
	if err := v.accounts(ctx); err != nil {
		return v.Findings, err
	}
	if err := v.organization(ctx); err != nil {
		return v.Findings, err
	}
	v.expiring()
	v.disk()
	return v.Findings, nil
}

// accounts looks at many accounts with one read: there may be ten thousand.
func (v *survey) accounts(ctx context.Context) error {
	served := map[string]bool{}
	for _, name := range v.Accounts() {
		served[name] = true
	}
	if len(served) == 0 {
		return nil
	}
	list, err := v.Store.TroubledIntents(ctx, v.now.Add(-passingAge), maxIntents)
	if err != nil {
		return err
	}
	for _, i := range list {
		v.intents[i.Account] = append(v.intents[i.Account], i)
	}
	for after := bridge.AccountID(0); ; {
		list, err := v.Store.Surveyed(ctx, after, atOnce)
		if err != nil {
			return err
		}
		for _, a := range list {
			after = a.ID
			if !served[a.Name] {
				continue
			}
			if err := v.account(ctx, a); err != nil {
				return err
			}
		}
		if len(list) < atOnce {
			return nil
		}
	}
}

// organization tells of the directory, and of members once for all that have the same trouble: where the app's secret has expired,
// nobody is to get a message for each of ten thousand.
func (v *survey) organization(ctx context.Context) error {
	if v.Organization == nil || !v.Organization() {
		return nil
	}
	d, err := v.Store.DirectoryStatus(ctx)
	if err != nil {
		return err
	}
	for _, n := range v.members {
		v.add(*n)
	}
	switch {
	case d.Fault.Action == bridge.ActionWait:
		v.Unsure["directory"] = true
	case d.Fault != (bridge.Fault{}):
		v.add(bridge.Notice{Key: "directory", Kind: bridge.NoticeDirectory, Fault: d.Fault})
	}
	if d.Doubt != nil && !d.Doubt.Confirmed {
		v.add(bridge.Notice{Key: "doubt", Kind: bridge.NoticeDoubt, Count: d.Doubt.Gone, At: d.Doubt.Since})
	}
	return nil
}

// member counts one that is not synced. Who has no mailbox is told of by status, and is nobody's trouble.
func (v *survey) member(f bridge.Fault) {
	switch n := v.members[f.Reason]; {
	case f.Reason == bridge.ReasonMailboxMissing:
	case n != nil:
		n.Count++
	default:
		v.members[f.Reason] = &bridge.Notice{Key: "members/" + string(f.Reason), Kind: bridge.NoticeMembers, Fault: f, Count: 1}
	}
}

func (v *survey) account(ctx context.Context, a bridge.Surveyed) error {
	waits, err := v.signIn(ctx, a)
	if err != nil {
		return err
	}
	pulse := v.Pulse(a.Name)
	for _, c := range a.Calendars {
		v.calendar(a.Account, c, pulse, waits)
	}
	if !a.Held.IsZero() {
		v.add(bridge.Notice{Key: "held/" + a.Name, Kind: bridge.NoticeHeld, Account: a.Name, At: a.Held})
	}
	v.writes(a, v.intents[a.ID])
	return nil
}

// signIn reports whether the account waits for a person, who is told so.
func (v *survey) signIn(ctx context.Context, a bridge.Surveyed) (waits bool, err error) {
	signedIn, life, state := a.SignedIn, a.SignInLife, a.State
	if lasts := state.Duration; state.Reason == "sign-in-frequency" && lasts > 0 && lasts != life {
		if err := v.Store.SetSignInLife(ctx, a.ID, lasts); err != nil {
			return false, err
		}
	}
	key := "sign-in/" + a.Name
	switch state.Code {
	case bridge.StateSignIn, bridge.StateDenied, bridge.StateConfiguration:
		waits = state.Reason != "never-signed-in" // who adds an account knows that
	case bridge.StateOK, bridge.StateNew, "":
	default:
		v.Unsure[key] = true
	}
	if waits && a.Directory {
		v.member(state.Fault)
		return true, nil
	}
	if waits {
		v.add(bridge.Notice{Key: key, Kind: bridge.NoticeSignIn, Account: a.Name, Fault: state.Fault})
		return true, nil
	}
	if ends := signedIn.Add(life); !signedIn.IsZero() && life >= leastLife && ends.After(v.now) && ends.Sub(v.now) <= notable(life) {
		v.add(bridge.Notice{Key: fmt.Sprintf("sign-in-ends/%s/%d", a.Name, ends.Unix()), Kind: bridge.NoticeSignInEnds, Account: a.Name, At: ends})
	}
	return false, nil
}

// notable is how long before its end a sign-in that lasts for so long is told of.
func notable(life time.Duration) time.Duration {
	return min(max(life/7, 2*time.Hour), 3*24*time.Hour)
}

func (v *survey) calendar(a bridge.Account, c bridge.Calendar, pulse bridge.Pulse, waits bool) {
	key := fmt.Sprintf("stale/%s/%d", a.Name, c.ID)
	if waits {
		v.Unsure[key] = true // its account's trouble is told of
		return
	}
	good := pulse.GoodOf(c.ID, c.Good)
	since := good
	if since.IsZero() {
		since = c.Modified
	}
	if after := v.StaleAfter(); after > 0 && v.now.Sub(since) >= after {
		v.add(bridge.Notice{Key: key, Kind: bridge.NoticeStale, Account: a.Name, Calendar: c.DisplayName, Fault: c.Fault, At: good})
	}
}

// writes looks at changes of clients that are in trouble, the latest first.
func (v *survey) writes(a bridge.Surveyed, list []bridge.Intent) {
	names := map[bridge.CalendarID]string{}
	for _, c := range a.Calendars {
		names[c.ID] = c.DisplayName
	}
	waiting := bridge.Notice{Key: "waiting/" + a.Name, Kind: bridge.NoticeWaiting, Account: a.Name}
	kinds := map[string]bridge.NoticeKind{bridge.IntentRefused: bridge.NoticeRefused, bridge.IntentFailed: bridge.NoticeFailed, bridge.IntentUnknown: bridge.NoticeUnknown}
	for _, i := range list {
		object := fmt.Sprint(i.In, "/", i.Name)
		if i.State == bridge.IntentOpen && v.now.Sub(i.Created) >= waitingAge {
			waiting.Count++
			waiting.At = i.Created
		}
		kind, told := kinds[i.State]
		if !told || v.now.Sub(i.Changed) >= passingAge {
			continue
		}
		v.add(bridge.Notice{Key: fmt.Sprintf("write/%s/%s/%s", a.Name, i.State, object), Kind: kind, Account: a.Name,
			Calendar: cmp.Or(names[i.Calendar], i.In), At: i.Changed})
	}
	if waiting.Count > 0 {
		v.add(waiting)
	}
}

func (v *survey) expiring() {
	if v.Expiring == nil {
		return
	}
	list, err := v.Expiring()
	for _, n := range list {
		soon := expiresSoon
		if n.Kind == bridge.NoticeCertificate {
			soon = renewedSoon
		}
		n.Key = fmt.Sprintf("%s/%s/%d", n.Kind, n.Detail, n.At.Unix())
		switch {
		case n.Kind == bridge.NoticeRenewal, n.At.Sub(v.now) <= soon:
			v.add(n)
		case err != nil:
			v.Unsure[n.Key] = true
		}
	}
}

func (v *survey) disk() {
	if v.Disk == nil {
		return
	}
	free, low, full, known := v.Disk()
	n := bridge.Notice{Count: int(free >> 20)}
	switch {
	case !known:
		v.Unsure[string(bridge.NoticeDiskFull)], v.Unsure[string(bridge.NoticeDiskLow)] = true, true
		return
	case full:
		n.Kind = bridge.NoticeDiskFull
		v.Unsure[string(bridge.NoticeDiskLow)] = true // it is not over, it has become worse
	case low:
		n.Kind = bridge.NoticeDiskLow
	default:
		return
	}
	n.Key = string(n.Kind)
	v.add(n)
}

func (v *survey) add(n bridge.Notice) { v.Present = append(v.Present, n) }

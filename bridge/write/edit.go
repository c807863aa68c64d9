package write

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-ical"
	"github.com/google/uuid"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// Put makes an object what the client sends.
func (w *Writer) Put(ctx context.Context, r Request) (Result, error) {
	return w.edit(ctx, r, bridge.IntentPut)
}

// Delete removes an object.
func (w *Writer) Delete(ctx context.Context, r Request) error {
	r.New, r.Octets = nil, nil
	_, err := w.edit(ctx, r, bridge.IntentDelete)
	return err
}

// edit is Put and Delete. It waits for what is in work of the same series, and no longer than the budget for its own.
func (w *Writer) edit(ctx context.Context, r Request, operation string) (Result, error) {
	w.setUp()
	m, err := w.Mailbox(ctx, r.Account)
	if err != nil {
		return Result{}, err
	}
	e := &edit{w: w, r: r, m: m, operation: operation, bodyHash: bodyHash(r)}
	if e.account, err = w.Store.Account(ctx, r.Account); err != nil {
		return Result{}, err
	}
	if err := e.takeFiles(); err != nil {
		return Result{}, e.refused(ctx, err)
	}
	wait, cancel := context.WithTimeout(ctx, w.budget())
	defer cancel()
	result, err := e.do(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = &Busy{After: retryAfter, Sentence: "An earlier change of this event is still being carried out; try again."}
	}
	if err != nil && !isAnswer(err) && ctx.Err() == nil && passes(err) {
		w.log().Warn("a change cannot be made now", "account", r.Account, "calendar", r.Calendar.Name, "err", err)
		err = &Busy{After: time.Minute, Sentence: "This cannot be done at the moment; nothing was changed."}
	}
	return result, e.refused(ctx, err)
}

// takeFiles takes the files out of what the client has sent, which is then small.
func (e *edit) takeFiles() error {
	if e.r.New == nil || e.r.files != nil || e.r.base != nil {
		return nil
	}
	var err error
	if e.r.files, err = convert.TakeFiles(e.r.New); err != nil || len(e.r.files) == 0 {
		return err
	}
	var b bytes.Buffer
	if err := ics.Encode(&b, e.r.New); err != nil {
		return err
	}
	e.r.Octets = b.Bytes()
	return nil
}

// own are the addresses of the mailbox that the request's calendar is of.
func (e *edit) own() []string { return e.m.addressesOf(e.r.Calendar) }

// refused keeps a refusal, unless an intent has it.
func (e *edit) refused(ctx context.Context, err error) error {
	r, ok := asRefused(err)
	if !ok {
		return err
	}
	if !e.kept {
		e.keepRefusal(context.WithoutCancel(ctx), r.Refusal)
	}
	return r
}

// bodyHash tells requests apart: of a Delete, there are no octets.
func bodyHash(r Request) string {
	h := sha256.New()
	h.Write(r.Octets)
	if r.New == nil {
		fmt.Fprint(h, "delete ", r.Silent)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// edit is one request on its way.
type edit struct {
	w         *Writer
	r         Request
	m         Mailbox
	account   bridge.Account
	operation string
	bodyHash  string
	kept      bool // there is an intent of it, which has what came of it
}

// do finds what the request is about, waits for its turn and carries it out.
func (e *edit) do(ctx context.Context) (Result, error) {
	w, uid := e.w, uidOf(e.r.New)
	if err := mayWrite(e.m, e.r.Calendar); err != nil {
		return Result{}, err
	}
	looked := false
	for {
		t, err := w.find(ctx, e.account.ID, e.r.Calendar, e.r.Name, uid)
		if err != nil {
			return Result{}, err
		}
		if !t.exists && e.r.New != nil && !looked {
			looked = true
			if who := organizer(e.r.New); who != "" && !isOwn(who, e.own()) {
				if err := w.invitation(ctx, e.m, e.r.Calendar, uid); err != nil {
					return Result{}, err
				}
				continue
			}
		}
		key := t.key(e.account.ID, uid)
		if uid == "" && !t.exists {
			key = seriesKey(e.account.ID, fmt.Sprint(e.r.Calendar.ID, "/", e.r.Name))
		}
		mine, err := w.lock(ctx, key)
		if err != nil {
			return Result{}, err
		}
		again, err := w.find(ctx, e.account.ID, e.r.Calendar, e.r.Name, uid)
		if err != nil || again.exists != t.exists || again.key(e.account.ID, uid) != t.key(e.account.ID, uid) {
			mine.end()
			if err != nil {
				return Result{}, err
			}
			continue
		}
		result, waitFor, err := e.locked(ctx, again, mine)
		if waitFor == nil {
			return result, err
		}
		// Another process, or an earlier run of this one, has left it open.
		if err := w.takeOver(ctx, *waitFor); err != nil && !isAnswer(err) {
			return Result{}, err
		}
	}
}

// locked carries the request out in its turn, which ends when that is over, perhaps later than it returns. waitFor is an open intent that stands in the way.
func (e *edit) locked(ctx context.Context, t target, mine turn) (result Result, waitFor *bridge.Intent, err error) {
	handedOver := false
	defer func() {
		if !handedOver {
			mine.end()
		}
	}()
	earlier, err := e.w.Store.SameIntent(ctx, e.r.Calendar.ID, e.r.Name, e.bodyHash, e.w.now().Add(-replayable))
	if ignoreNotFound(err) != nil {
		return Result{}, nil, err
	}
	if earlier.State == bridge.IntentUnknown && earlier.Refusal != nil {
		return Result{}, nil, &Refused{Refusal: *earlier.Refusal}
	}
	if e.r.New == nil && !t.exists {
		return Result{}, nil, ErrNotFound
	}
	base, err := e.w.base(ctx, e.r.Match, t, e.r.Octets, e.own())
	if e.isReplay(earlier, t, base, err) {
		last, lastErr := e.isLast(ctx, earlier)
		if lastErr != nil || last || slices.Contains(e.r.Match.IfNoneMatch, "*") {
			return Result{Object: t.object}, nil, lastErr
		}
	}
	if err != nil {
		return Result{}, nil, err
	}
	c, err := e.w.Store.Calendar(ctx, e.r.Calendar.ID)
	if err != nil {
		return Result{}, nil, err
	}
	job := &job{w: e.w, m: e.m, account: e.account, cal: c, want: e.r.New, silent: e.r.Silent, client: e.r.Client, files: e.r.files, named: e.r.base != nil,
		had: t.exists && !t.byUID}
	if e.r.base != nil {
		base = e.r.base
	}
	if base != nil {
		job.conditional = len(e.r.Match.IfMatch) > 0
		if job.base, err = ics.Decode(base); err != nil {
			return Result{}, nil, err
		}
	}
	if t.exists {
		if err := job.load(ctx, t.object.Series); err != nil {
			return Result{}, nil, err
		}
		if err := mayTouch(e.m, c, job.series); err != nil {
			return Result{}, nil, err
		}
	}
	if err := e.fits(ctx, t, job); err != nil {
		return Result{}, nil, err
	}
	plan, err := job.plan(ctx)
	if err != nil {
		return Result{}, nil, err
	}
	if len(plan.Steps) == 0 {
		result, err := e.keepHere(ctx, t, job, plan)
		return result, nil, err
	}
	if err := mayMail(e.m, c, plan); err != nil {
		return Result{}, nil, err
	}
	if err := e.w.mayGo(ctx, e.account, plan); err != nil {
		return Result{}, nil, err
	}
	if _, ok := e.m.graphOf(c); !ok {
		return Result{}, nil, refuse(convert.RefusedReadOnly, "This calendar cannot be changed from here.")
	}
	if t.byUID {
		// The client asks by the name that it has guessed until it lists the calendar again.
		if err := e.w.Store.SetName(ctx, bridge.Name{Calendar: c.ID, Series: t.object.Series, Object: e.r.Name, Alias: true}); err != nil {
			return Result{}, nil, err
		}
	}
	job.intent = e.intent(t, job, plan, base)
	job.intent.Files = filesOf(plan, e.r.files)
	job.created = !t.exists
	if job.intent, err = e.w.Store.AddIntent(ctx, job.intent); errors.Is(err, bridge.ErrExists) {
		open := job.intent
		return Result{}, &open, nil
	} else if err != nil {
		return Result{}, nil, err
	}
	job.intent.Files = nil
	handedOver, e.kept = true, true
	result, err = e.w.begin(ctx, job.run, mine)
	return result, nil, err
}

// isReplay reports whether the request has been carried out already, and its answer was lost or came too late (RFC 9110 §13.1.1):
// Thunderbird would ask again for ever. Held against what there is now, the same octets would take back what Outlook has made of them.
// Who has seen that, and sends them again, means it.
func (e *edit) isReplay(earlier bridge.Intent, t target, base []byte, err error) bool {
	if e.r.New == nil || !t.exists || earlier.State != bridge.IntentDone || earlier.Series != t.object.Series || err != nil && !errors.Is(err, ErrPrecondition) {
		return false
	}
	hasSeen := base != nil && bytes.Equal(base, t.object.Data) && t.object.Modified.After(earlier.Changed)
	return !hasSeen
}

// isLast reports whether no client has written to the series since.
func (e *edit) isLast(ctx context.Context, earlier bridge.Intent) (bool, error) {
	const latest = 100
	list, err := e.w.Store.Intents(ctx, e.account.ID, latest)
	for _, i := range list {
		if i.Calendar == earlier.Calendar && i.Series == earlier.Series && i.State != bridge.IntentRefused {
			return i.ID == earlier.ID, err
		}
	}
	return false, err
}

// fits refuses what must not have the name or the UID that it has, and fits the request to an event that came by mail.
func (e *edit) fits(ctx context.Context, t target, j *job) error {
	if e.r.New == nil {
		return nil
	}
	uid := uidOf(e.r.New)
	if len(events(e.r.New)) == 0 {
		return refuse(convert.RefusedComponent, "Outlook's calendars hold events only; keep tasks and journals elsewhere.")
	}
	if uid == "" {
		return refuse(convert.RefusedData, "The event has no UID.")
	}
	if !t.exists {
		return e.w.elsewhere(ctx, e.account.ID, t.cal, uid, isMeeting(e.r.New))
	}
	if t.named && !sameUID(uid, t.object.UID) && !e.knownAs(ctx, t, uid) {
		r := refuse(convert.RefusedUID, "Another event is stored under this name; an event keeps its UID.")
		r.Calendar, r.Object = t.cal.ID, t.object.Name
		return r
	}
	if !t.byUID {
		return nil
	}
	if isSeries(j.current) && !isSeries(e.r.New) {
		r := refuse(convert.RefusedUID, "This event is a series here, and the program sends one appointment in its place; change the series itself.")
		r.Calendar, r.Object = t.cal.ID, t.object.Name
		return r
	}
	if who := organizer(j.current); who != "" && !isOwn(who, e.own()) {
		j.want = answerOnly(j.current, e.r.New, e.own())
	}
	return nil
}

// knownAs reports whether Outlook has the event by that UID: a mail names it so, where a UID of a client is served.
func (e *edit) knownAs(ctx context.Context, t target, uid string) bool {
	rows, err := e.w.Store.SeriesRows(ctx, t.cal.ID, t.object.Series)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(rows, func(r bridge.Row) bool {
		var event graph.Event
		return event.UnmarshalJSON(r.Raw) == nil && sameUID(uid, convert.UID(event))
	})
}

// intent is the record of the request.
func (e *edit) intent(t target, j *job, plan convert.Plan, base []byte) bridge.Intent {
	now := e.w.now()
	i := bridge.Intent{
		Account: e.account.ID, Calendar: t.cal.ID, Name: e.r.Name, UID: uidOf(e.r.New), Operation: e.operation,
		User: e.r.Account, Password: e.r.Password, Client: e.r.Client,
		BodyHash: e.bodyHash, Octets: e.r.Octets, Base: base, Plan: plan,
		State: bridge.IntentOpen, Created: now, Changed: now,
	}
	if t.exists {
		i.Series, i.UID = t.object.Series, t.object.UID
		if base == nil {
			i.Base = t.object.Data
		}
	}
	if j.want != nil && j.want != e.r.New {
		var b bytes.Buffer
		if ics.Encode(&b, j.want) == nil {
			i.Octets = b.Bytes()
		}
	}
	i.Summary = summaryOf(e.r.New)
	if i.Summary == "" {
		i.Summary = summaryOf(j.current)
	}
	if slices.ContainsFunc(plan.Steps, func(s convert.Step) bool { return s.Op == convert.OpCreate }) {
		i.Transaction = uuid.NewString()
	}
	return i
}

// keepHere is an edit that Outlook has no part in.
func (e *edit) keepHere(ctx context.Context, t target, j *job, plan convert.Plan) (Result, error) {
	if t.byUID {
		if err := e.w.Store.SetName(ctx, bridge.Name{Calendar: t.cal.ID, Series: t.object.Series, Object: e.r.Name, Alias: true}); err != nil {
			return Result{}, err
		}
	}
	if plan.Overlay == nil || !t.exists {
		return Result{Object: t.object}, nil
	}
	if err := e.w.Store.SetOverlay(ctx, t.cal.ID, t.object.Series, *plan.Overlay); err != nil {
		return Result{}, err
	}
	if err := j.publish(ctx, t.object.Series); err != nil {
		return Result{}, err
	}
	i := e.intent(t, j, plan, nil)
	i.Octets, i.Base, i.State = nil, nil, bridge.IntentDone
	if _, err := e.w.Store.AddIntent(ctx, i); err != nil {
		return Result{}, err
	}
	o, err := e.w.Store.SeriesObject(ctx, t.cal.ID, t.object.Series)
	return Result{Object: o}, err
}

// keepRefusal records a refusal: one that a program runs into again and again is one record.
func (e *edit) keepRefusal(ctx context.Context, r convert.Refusal) {
	now := e.w.now()
	i := bridge.Intent{
		Account: e.account.ID, Calendar: e.r.Calendar.ID, Name: e.r.Name, UID: uidOf(e.r.New), Summary: summaryOf(e.r.New), Operation: e.operation,
		User: e.r.Account, Password: e.r.Password, Client: e.r.Client, BodyHash: e.bodyHash,
		State: bridge.IntentRefused, Refusal: &r, Created: now, Changed: now,
	}
	log := e.w.log().With("account", e.r.Account, "calendar", e.r.Calendar.Name, "operation", e.operation, "kind", r.Kind)
	const latest = 50
	list, err := e.w.Store.Intents(ctx, e.account.ID, latest)
	if err != nil {
		log.Warn("a refused change is not recorded", "err", err)
		return
	}
	for _, old := range list {
		if old.State == bridge.IntentRefused && old.Calendar == i.Calendar && old.Name == i.Name && old.Operation == i.Operation && old.Client == i.Client &&
			old.Refusal != nil && *old.Refusal == r && now.Sub(old.Changed) < replayable {
			i.ID, i.Created = old.ID, old.Created
			err = e.w.Store.SaveIntent(ctx, i)
			if err != nil {
				log.Warn("a refused change is not recorded", "err", err)
			}
			return
		}
	}
	log.Info("a change is refused")
	if _, err := e.w.Store.AddIntent(ctx, i); err != nil {
		log.Warn("a refused change is not recorded", "err", err)
	}
}

func decoded(b []byte) *ical.Calendar {
	if len(b) == 0 {
		return nil
	}
	cal, err := ics.Decode(b)
	if err != nil {
		return nil
	}
	return cal
}

package write

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/caldav/ics"
)

// job is an edit of one series: what is wanted, what there is, and the intent that keeps how far it has come.
type job struct {
	w       *Writer
	m       Mailbox
	account bridge.Account
	cal     bridge.Calendar

	base    *ical.Calendar // that the client had; nil: as current
	had     bool           // the client had some state of it
	want    *ical.Calendar // nil: that it goes
	earlier *ical.Calendar // while occurrences are put right: what was served before
	silent  bool
	files   map[string][]byte // that the client has sent, by their digests
	zones   [2]string         // of start and end, as Outlook has them where the event comes from another calendar
	named   bool              // what is wanted says by itself what is to be attached
	client  string

	exists  bool
	current *ical.Calendar // as it is served; nil: there is none
	octets  []byte         // of current
	series  convert.Series // as Graph has it

	intent  bridge.Intent
	created bool // the plan makes the event

	conditional bool           // the client said what it has
	recovering  bool           // the step that is next was begun by an earlier run
	etag        string         // of the series or single event; "": to be asked for
	stale       bool           // the series was changed after it was read: exceptions may have other ids and ETags
	known       round.Known    // of the series, from the answers to the steps
	fresh       bool           // what there is was read after the last step
	repairs     int            // how often what a reset has left was put right
	putOff      []convert.Step // of occurrences, until it is known what a reset has left
}

// load reads what there is of a series. What is mirrored and not published yet is published first, so that both agree.
func (j *job) load(ctx context.Context, id graph.EventID) error {
	c, err := j.w.Store.Calendar(ctx, j.cal.ID)
	if err != nil {
		return err
	}
	j.cal = c
	marks, err := j.w.Store.MarksOf(ctx, c.ID, []graph.EventID{id})
	if err != nil {
		return err
	}
	if mark, ok := marks[id]; ok && mark.Stage == bridge.StageDerive {
		if err := j.publish(ctx, id); err != nil {
			return err
		}
	}
	return j.read(ctx, id)
}

func (j *job) read(ctx context.Context, id graph.EventID) error {
	j.exists, j.current, j.octets = false, nil, nil
	s, err := j.w.Rounds.SeriesOf(ctx, j.m.Policy, j.cal.ID, id)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	j.series, j.exists, j.etag, j.stale = s, true, s.Event.ETag, false
	o, err := j.w.Store.SeriesObject(ctx, j.cal.ID, id)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.Data == nil {
		if o, err = j.w.Store.Object(ctx, j.cal.ID, o.Name); err != nil {
			return ignoreNotFound(err)
		}
	}
	if j.current, err = ics.Decode(o.Data); err != nil {
		return fmt.Errorf("the object that is served: %w", err)
	}
	j.octets = o.Data
	return nil
}

// publish shows what the mirror has of a series.
func (j *job) publish(ctx context.Context, id graph.EventID) error {
	return j.w.Rounds.Show(ctx, j.m.Mailbox, j.cal, id)
}

// plan is what is to be done for what is wanted to be so.
func (j *job) plan(ctx context.Context) (convert.Plan, error) {
	e := convert.Edit{Base: j.base, Had: j.had && j.earlier == nil, Current: j.current, New: j.want, Series: j.series, Addresses: j.m.addressesOf(j.cal), Client: j.client, Silent: j.silent, Files: j.named,
		Repair: j.earlier != nil, Earlier: j.earlier}
	if !j.exists {
		e.Series = convert.Series{Window: j.cal.Window, Owner: j.cal.Owner, MailboxZone: j.account.Settings.Zone,
			Scheduling: j.m.Policy.Invitations == bridge.InvitationsOutlook,
			Event:      graph.Event{OriginalStartTimeZone: j.zones[0], OriginalEndTimeZone: j.zones[1]}}
		if j.m.Policy.Attachments {
			e.Series.Attachments = map[graph.EventID]convert.Attached{}
		}
	}
	if j.m.Policy.OnlineMeetings {
		e.OnlineMeetings = j.cal.OnlineMeetings
	}
	plan, losses, err := convert.FromICS(e)
	if err != nil {
		return plan, err
	}
	if j.want == nil && onlyReplies(plan) && mayMail(j.m, j.cal, plan) != nil {
		// One's own copy of an invitation may go without a word.
		e.Silent = true
		if plan, losses, err = convert.FromICS(e); err != nil {
			return plan, err
		}
	}
	for _, l := range losses {
		j.w.log().Info("a change is not carried over whole", "account", j.account.Name, "series", l.Event, "field", l.Field, "reason", l.Reason)
	}
	return plan, j.findFiles(ctx, &plan)
}

func onlyReplies(p convert.Plan) bool {
	replies := false
	for _, s := range p.Steps {
		for _, m := range s.Mails {
			if m.Kind != convert.MailReply {
				return false
			}
			replies = true
		}
	}
	return replies
}

// object is the object as it is now, or the zero value.
func (j *job) object(ctx context.Context) (bridge.Object, error) {
	if j.intent.Series == "" {
		return bridge.Object{}, nil
	}
	o, err := j.w.Store.SeriesObject(ctx, j.cal.ID, j.intent.Series)
	if err != nil {
		return bridge.Object{}, ignoreNotFound(err)
	}
	if o.Deleted {
		return bridge.Object{}, nil
	}
	if o.Data == nil {
		o, err = j.w.Store.Object(ctx, j.cal.ID, o.Name)
	}
	return o, ignoreNotFound(err)
}

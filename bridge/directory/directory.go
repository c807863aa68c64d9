// Package directory keeps the accounts of an organization equal to its members: the people of some groups of Microsoft's directory, or all
// of them. It knows the store and what Graph says of people; not when it is to look, nor what serving is.
//
// Invariants:
//   - After a good look whose answer is believed, exactly the members that the rules admit have an account that has not left.
//   - An answer that fails, or that cannot be read to its end, changes nothing. One that would end most accounts, or all, is doubted:
//     everybody goes on being served, and who is new is let in. Whom Rules deny is ended in any case, whatever the directory says.
//   - A person is known by tenant and object id. Their account keeps its name for life, whatever their address becomes.
//   - Who comes back within the grace time finds everything as it was.
//   - An idle look is a request or two, and writes nothing.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

const (
	// listEvery is how old what is known of all members may become, should changes not be told of.
	listEvery = 24 * time.Hour
	// believeAfter is how long an answer that ends most accounts has to stand before it is believed.
	believeAfter = time.Hour
	// toldEvery is how often it is kept that all is well.
	toldEvery = time.Hour
	// atOnce bounds one transaction, so that nobody waits for it.
	atOnce = 500
	// removedAtOnce bounds how many accounts a look removes for good.
	removedAtOnce = 50
)

// Graph is what is asked of the directory; *graph.Client is the real one.
type Graph interface {
	People(ctx context.Context) ([]graph.DirectoryUser, error)
	GroupMembers(ctx context.Context, group string) (people []graph.DirectoryUser, groups []string, err error)
	WatchPeople(ctx context.Context) (link string, err error)
	WatchGroups(ctx context.Context, groups []string) (link string, err error)
	Changed(ctx context.Context, link string) (ids []string, next string, err error)
}

// Syncer brings the accounts to what the directory says. All fields are set before the first call; Graph, Store and Tenant are required.
// On many machines one of them calls it at a time; should two, the accounts come out right, and some requests are in vain.
type Syncer struct {
	Graph  Graph
	Store  bridge.DirectoryStore
	Tenant string   // id of the directory
	Groups []string // ids; none: all members of the directory
	Rules  Rules
	Grace  bridge.Period // how long what is of a leaver is kept

	// Others are the names of accounts of other origins, and the addresses and object ids of whom these are of, in lower case. Nil: there
	// are none.
	Others func() (names, people map[string]bool)
	// Changed is called when accounts may have been made, changed, ended or removed. Nil: not called.
	Changed func(ctx context.Context) error
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default

	mu       sync.Mutex      // held by Sync
	listed   time.Time       // when everything was last listed and believed; zero: never
	again    bool            // list at the next look, whatever is told
	relevant map[string]bool // whose changes count: everybody who was listed; nil: everybody's
	people   string          // link that tells of changes of people; "": none does
	groups   watched
	told     *bridge.DirectoryStatus // as it was kept last; nil: not known
	doubted  bool                    // by the last look
	denied   bool                    // whom Rules deny has been ended
}

// watched are groups, and the link that tells of changes in who is in them; "": none does.
type watched struct {
	ids  []string
	link string
}

// Sync takes one look.
func (s *Syncer) Sync(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.look(ctx)
	if ctx.Err() != nil {
		return cmp.Or(err, ctx.Err())
	}
	if err != nil {
		return errors.Join(err, s.tell(ctx, func(d *bridge.DirectoryStatus) { d.Fault, d.Object = FaultOf(err) }))
	}
	return nil
}

func (s *Syncer) look(ctx context.Context) error {
	if s.told == nil {
		d, err := s.Store.DirectoryStatus(ctx)
		if err != nil {
			return err
		}
		s.told = &d
	}
	if err := s.deny(ctx); err != nil {
		return err
	}
	due := s.again || s.listed.IsZero() || bridge.Elapsed(s.now(), s.listed) >= listEvery
	if !due {
		changed, err := s.changed(ctx)
		if err != nil {
			return err
		}
		if !changed {
			if err := s.tell(ctx, func(d *bridge.DirectoryStatus) { d.Fault, d.Object = bridge.Fault{}, "" }); err != nil {
				return err
			}
			return s.forget(ctx)
		}
	}
	s.again = true // until all that has changed by now is applied
	if err := s.list(ctx, !due); err != nil {
		return err
	}
	if s.doubted {
		return nil
	}
	return s.forget(ctx)
}

// deny ends whom the rules deny, as far as the store knows who that is. It asks the directory for nothing: somebody is to be shut out
// at once, also where the directory cannot be read or is not believed.
func (s *Syncer) deny(ctx context.Context) error {
	if s.denied || len(s.Rules.Deny) == 0 {
		return nil
	}
	members, err := s.Store.Members(ctx)
	if err != nil {
		return err
	}
	var c bridge.MemberChanges
	for _, m := range members {
		if m.Left.IsZero() && s.Rules.denies(m) {
			m.Left = s.now().Truncate(time.Second)
			c.Change = append(c.Change, m)
		}
	}
	for part := range parts(c) {
		if err := s.Store.ChangeMembers(ctx, part); err != nil {
			return err
		}
	}
	if len(c.Change) > 0 {
		s.log().InfoContext(ctx, "members of the organization were denied", "left", len(c.Change))
		if s.Changed != nil {
			if err := s.Changed(ctx); err != nil {
				return err
			}
		}
		if err := s.tell(ctx, func(d *bridge.DirectoryStatus) { d.Members = max(0, d.Members-len(c.Change)) }); err != nil {
			return err
		}
	}
	s.denied = true
	return nil
}

// changed reports whether anything has changed since the last look, as far as the directory tells. Where it does not, it has.
func (s *Syncer) changed(ctx context.Context) (bool, error) {
	news := false
	ask := func(link *string, counts func(id string) bool) error {
		if *link == "" {
			news = true
			return nil
		}
		ids, next, err := s.Graph.Changed(ctx, *link)
		switch {
		case graph.IsSyncStateLost(err):
			*link, news = "", true
			return nil
		case err != nil:
			return err
		}
		*link = next
		news = news || slices.ContainsFunc(ids, counts)
		return nil
	}
	if err := ask(&s.people, func(id string) bool { return s.relevant == nil || s.relevant[strings.ToLower(id)] }); err != nil {
		return false, err
	}
	if len(s.Groups) > 0 {
		// What was told of people is not told again: should this fail, it still counts.
		s.again = s.again || news
		if err := ask(&s.groups.link, func(string) bool { return true }); err != nil {
			return false, err
		}
	}
	return news, nil
}

// list reads everybody and applies it. With told, changes were told of: a list may lag behind them, so that one more follows.
func (s *Syncer) list(ctx context.Context, told bool) error {
	if s.people == "" {
		s.people, _ = s.Graph.WatchPeople(ctx) // without it, everybody is listed each time
	}
	everybody, groups, err := s.everybody(ctx)
	if err != nil {
		return err
	}
	settled := !told
	if len(s.Groups) > 0 && (s.groups.link == "" || !slices.Equal(groups, s.groups.ids)) {
		link, _ := s.Graph.WatchGroups(ctx, groups)
		// What changed before the link began was not told of, and may not have been listed.
		s.groups, settled = watched{groups, link}, false
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.apply(ctx, everybody); err != nil {
		return err
	}
	s.relevant = nil
	if len(s.Groups) > 0 {
		s.relevant = map[string]bool{}
		for id := range everybody {
			s.relevant[id] = true
		}
	}
	s.listed, s.again = s.now(), !settled || s.doubted
	return nil
}

// everybody is who is in the groups, by id, and the groups and those in them.
func (s *Syncer) everybody(ctx context.Context) (map[string]graph.DirectoryUser, []string, error) {
	all := map[string]graph.DirectoryUser{}
	add := func(list []graph.DirectoryUser) {
		for _, u := range list {
			u.ID = strings.ToLower(u.ID) // as tokens have it
			all[u.ID] = u
		}
	}
	if len(s.Groups) == 0 {
		list, err := s.Graph.People(ctx)
		add(list)
		return all, nil, err
	}
	groups := slices.Clone(s.Groups)
	for _, id := range s.Groups {
		list, inner, err := s.Graph.GroupMembers(ctx, id)
		if err != nil {
			return nil, nil, &GroupError{id, err}
		}
		add(list)
		groups = append(groups, inner...)
	}
	slices.Sort(groups)
	return all, slices.Compact(groups), nil
}

// GroupError is about one of the groups.
type GroupError struct {
	Group string
	Err   error
}

func (e *GroupError) Error() string { return fmt.Sprintf("group %s: %v", e.Group, e.Err) }
func (e *GroupError) Unwrap() error { return e.Err }

// FaultOf is why a look failed, and the group that it is about; "": about none.
func FaultOf(err error) (f bridge.Fault, group string) {
	var of *GroupError
	if errors.As(err, &of) {
		group = of.Group
	}
	f = bridge.FaultOf(err)
	if f.Reason == bridge.ReasonDenied {
		f.Reason = bridge.ReasonDirectoryDenied
	}
	return f, group
}

// apply brings the accounts to who is listed.
func (s *Syncer) apply(ctx context.Context, everybody map[string]graph.DirectoryUser) error {
	members, err := s.Store.Members(ctx)
	if err != nil {
		return err
	}
	out, err := s.Store.LeftOut(ctx)
	if err != nil {
		return err
	}
	c := s.compare(everybody, members, out)
	doubt, err := s.believe(ctx, &c)
	if err != nil {
		return err
	}
	if len(c.Join) > 0 {
		if err := s.name(ctx, c.Join); err != nil {
			return err
		}
	}
	for part := range parts(c.MemberChanges) {
		if err := s.Store.ChangeMembers(ctx, part); err != nil {
			return err
		}
	}
	if s.Changed != nil { // also where there is nothing to do: another process may have done it
		if err := s.Changed(ctx); err != nil {
			return err
		}
	}
	s.doubted = doubt != nil
	if doubt != nil {
		c.members += doubt.Gone
	}
	// Last: killed before, the next look knows that it was confirmed.
	err = s.tell(ctx, func(d *bridge.DirectoryStatus) {
		d.Members, d.Doubt, d.Fault, d.Object = c.members, doubt, bridge.Fault{}, ""
	})
	if err != nil {
		return err
	}
	if len(c.Join)+c.left+c.back > 0 {
		s.log().InfoContext(ctx, "members of the organization", "joined", len(c.Join), "left", c.left, "back", c.back, "members", c.members)
	}
	return nil
}

// changes are what compare comes to.
type changes struct {
	bridge.MemberChanges
	present    int // members so far
	members    int // afterwards
	left, back int // of Change
	leaving    []bridge.Member
}

// compare is how the accounts differ from who is listed. Who leaves is in leaving alone.
func (s *Syncer) compare(everybody map[string]graph.DirectoryUser, members []bridge.Member, out []bridge.LeftOut) (c changes) {
	_, elsewhere := s.others()
	reasons := map[string]bridge.LeftOutReason{}
	for id, u := range everybody {
		if reason := s.Rules.leavesOut(u, elsewhere); reason != "" {
			reasons[id] = reason
		}
	}
	admitted := func(id string) (graph.DirectoryUser, bool) {
		u, ok := everybody[id]
		return u, ok && reasons[id] == ""
	}
	has := map[string]bool{}
	for _, m := range members {
		if m.Tenant != s.Tenant { // another organization, from before
			if m.Left.IsZero() {
				c.present++
				c.leaving = append(c.leaving, m)
			}
			continue
		}
		has[m.ObjectID] = true
		u, in := admitted(m.ObjectID)
		if m.Left.IsZero() && reasons[m.ObjectID] == bridge.LeftOutDenied { // by a person, so that there is nothing to doubt
			m.Left = s.now().Truncate(time.Second)
			c.Change = append(c.Change, m)
			c.left++
			continue
		}
		if m.Left.IsZero() {
			c.present++
		}
		switch {
		case !in && m.Left.IsZero():
			c.leaving = append(c.leaving, m)
		case in && (m.Mailbox != u.Mail || m.DisplayName != u.DisplayName || !m.Left.IsZero()):
			if !m.Left.IsZero() {
				c.back++
			}
			m.Mailbox, m.DisplayName, m.Left = u.Mail, u.DisplayName, time.Time{}
			c.Change = append(c.Change, m)
		}
	}
	for id, u := range everybody {
		if _, in := admitted(id); in {
			c.members++
			if !has[id] {
				c.Join = append(c.Join, bridge.Member{Tenant: s.Tenant, ObjectID: id, Mailbox: u.Mail, DisplayName: u.DisplayName})
			}
		}
	}
	slices.SortFunc(c.Join, func(a, b bridge.Member) int { return strings.Compare(a.ObjectID, b.ObjectID) })
	kept := map[string]bool{}
	for _, o := range out {
		u, listed := everybody[o.ObjectID]
		switch {
		case o.Tenant != s.Tenant || !listed || reasons[o.ObjectID] == "":
			c.In = append(c.In, o)
		case o == leftOut(s.Tenant, u, reasons[o.ObjectID]):
			kept[o.ObjectID] = true
		}
	}
	for id, reason := range reasons {
		if !kept[id] {
			c.Out = append(c.Out, leftOut(s.Tenant, everybody[id], reason))
		}
	}
	return c
}

func leftOut(tenant string, u graph.DirectoryUser, reason bridge.LeftOutReason) bridge.LeftOut {
	return bridge.LeftOut{Tenant: tenant, ObjectID: u.ID, Address: cmp.Or(u.Mail, u.UserPrincipalName), DisplayName: u.DisplayName, Reason: reason}
}

// believe moves those who leave into the changes, unless the answer is doubted, and returns the doubt.
func (s *Syncer) believe(ctx context.Context, c *changes) (*bridge.Doubt, error) {
	kept, err := s.Store.DirectoryStatus(ctx) // somebody may have confirmed
	if err != nil {
		return nil, err
	}
	s.told = &kept
	doubt := doubtOf(c, kept.Doubt, s.now().Truncate(time.Second))
	if doubt != nil {
		if kept.Doubt == nil {
			s.log().WarnContext(ctx, "the directory's answer would end most accounts, so it is not believed yet; everybody is served as before", "gone", doubt.Gone, "members", c.members)
		}
		return doubt, nil
	}
	for _, m := range c.leaving {
		m.Left = s.now().Truncate(time.Second)
		c.Change = append(c.Change, m)
	}
	c.left += len(c.leaving)
	return nil, nil
}

// doubtOf is the doubt in an answer, before being that of the answer before; nil: it is believed. One that leaves nobody is believed when
// it is confirmed, and no sooner: an emptied group is a mistake more often than not, and nothing is lost by waiting for a person.
func doubtOf(c *changes, before *bridge.Doubt, now time.Time) *bridge.Doubt {
	if len(c.leaving) == 0 || c.members > 0 && 2*len(c.leaving) <= c.present {
		return nil
	}
	doubt := &bridge.Doubt{Since: now, Members: c.members, Gone: len(c.leaving)}
	if before == nil || now.Before(before.Since) { // the clock was set back
		return doubt
	}
	doubt.Since = before.Since
	if before.Confirmed && doubt.Gone <= before.Gone || c.members > 0 && now.Sub(before.Since) >= believeAfter {
		return nil
	}
	return doubt
}

// name gives names to new accounts.
func (s *Syncer) name(ctx context.Context, list []bridge.Member) error {
	taken, _ := s.others()
	all := map[string]bool{}
	for name := range taken {
		all[name] = true
	}
	names, err := s.Store.TakenNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		all[name] = true
	}
	for i := range list {
		list[i].Name = free(nameOf(list[i].Mailbox), all)
		all[list[i].Name] = true
	}
	return nil
}

func (s *Syncer) others() (names, people map[string]bool) {
	if s.Others == nil {
		return nil, nil
	}
	return s.Others()
}

// forget removes what has been kept for long enough of those who left.
func (s *Syncer) forget(ctx context.Context) error {
	names, err := s.Store.RemoveDeparted(ctx, s.Grace.Before(s.now()), removedAtOnce)
	if len(names) > 0 {
		s.log().InfoContext(ctx, "accounts of leavers removed", "accounts", len(names))
		if s.Changed != nil {
			err = errors.Join(err, s.Changed(ctx))
		}
	}
	return err
}

// tell keeps how it went, if that is news.
func (s *Syncer) tell(ctx context.Context, change func(*bridge.DirectoryStatus)) error {
	if s.told == nil {
		return nil
	}
	next := *s.told
	change(&next)
	now := s.now().Truncate(time.Second)
	if next.Fault == (bridge.Fault{}) && (bridge.Elapsed(now, next.Good) >= toldEvery || next.Good.IsZero()) {
		next.Good = now
	}
	if same(next, *s.told) {
		return nil
	}
	if err := s.Store.SetDirectoryStatus(ctx, next); err != nil {
		return err
	}
	s.told = &next
	return nil
}

func same(a, b bridge.DirectoryStatus) bool {
	if (a.Doubt == nil) != (b.Doubt == nil) || a.Doubt != nil && *a.Doubt != *b.Doubt {
		return false
	}
	a.Doubt, b.Doubt = nil, nil
	return a == b
}

// parts are changes in transactions of a bearable size.
func parts(c bridge.MemberChanges) func(func(bridge.MemberChanges) bool) {
	return func(yield func(bridge.MemberChanges) bool) {
		for !c.Empty() {
			var part bridge.MemberChanges
			room := atOnce
			part.Change, c.Change = cut(c.Change, &room)
			part.Join, c.Join = cut(c.Join, &room)
			part.In, c.In = cut(c.In, &room)
			part.Out, c.Out = cut(c.Out, &room)
			if !yield(part) {
				return
			}
		}
	}
}

func cut[T any](list []T, room *int) (first, rest []T) {
	n := min(len(list), *room)
	*room -= n
	return list[:n], list[n:]
}

func (s *Syncer) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

func (s *Syncer) log() *slog.Logger { return cmp.Or(s.Log, slog.Default()) }

package convert

import (
	"net/url"
	"slices"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// attendeeOf is a person as a client names one.
type attendeeOf struct {
	address string // as it is written, without its scheme
	name    string
	kind    string // type of Graph: required, optional, resource; "": the client does not say
	params  ical.Params
}

func (a attendeeOf) key() string { return strings.ToLower(a.address) }

// addressOf is the e-mail address of an ORGANIZER or ATTENDEE, "" for none. Apple's programs write a urn:uuid or the path of a
// principal, with the address in EMAIL (RFC 7986 §6.2).
func addressOf(p *ical.Prop) string {
	s := strings.TrimSpace(p.Value)
	if scheme, rest, ok := strings.Cut(s, ":"); ok && strings.EqualFold(scheme, "mailto") {
		rest, _, _ = strings.Cut(rest, "?")
		if plain, err := url.PathUnescape(rest); err == nil {
			rest = plain
		}
		return strings.TrimSpace(rest)
	} else if !ok && isAddress(s) {
		return s
	}
	return cleanAddress(p.Params.Get("EMAIL"))
}

// attendeesOf are the attendees of a component, each address once.
func attendeesOf(c *ical.Component) (list []attendeeOf) {
	for i := range c.Props[ical.PropAttendee] {
		p := &c.Props[ical.PropAttendee][i]
		a := attendeeOf{address: addressOf(p), name: strings.TrimSpace(p.Params.Get(ical.ParamCommonName)), params: p.Params}
		if a.address == "" {
			a.address = strings.TrimSpace(p.Value) // who it is, at least, for the sentence and for "no change"
		}
		a.kind = kindOf(p.Params)
		if !slices.ContainsFunc(list, func(b attendeeOf) bool { return b.key() == a.key() }) {
			list = append(list, a)
		}
	}
	return list
}

// kindOf is the type of an attendee by CUTYPE and ROLE.
func kindOf(p ical.Params) string {
	role := strings.ToUpper(p.Get(ical.ParamRole))
	switch strings.ToUpper(p.Get(ical.ParamCalendarUserType)) {
	case "ROOM", "RESOURCE":
		return "resource"
	case "":
		if role == "" || role == "NON-PARTICIPANT" {
			return ""
		}
	}
	if role == "OPT-PARTICIPANT" || role == "NON-PARTICIPANT" {
		return "optional"
	}
	return "required"
}

// addresses are those of the mailbox whose calendar it is.
type addresses map[string]bool

func addressesOf(e Edit) addresses {
	own := addresses{}
	for _, s := range append(slices.Clone(e.Addresses), e.Series.Owner) {
		if s = strings.ToLower(cleanAddress(s)); s != "" {
			own[s] = true
		}
	}
	return own
}

func (own addresses) has(address string) bool { return own[strings.ToLower(cleanAddress(address))] }

// is whether a property names the owner: by an address, or by what is no address at all, for the only principal that a client
// knows here is its own.
func (own addresses) is(p *ical.Prop) bool {
	if a := addressOf(p); a != "" {
		return own.has(a)
	}
	return true
}

// isPrincipal is whether an attendee is the path or URL of a principal, in place of an address: a client knows none here but its own.
func isPrincipal(address string) bool {
	u, err := url.Parse(address)
	return err == nil && strings.HasPrefix(u.Path, "/") && (u.Scheme == "" || strings.EqualFold(u.Scheme, "http") || strings.EqualFold(u.Scheme, "https"))
}

// organizerOf is the ORGANIZER of a component, nil where there is none.
func organizerOf(c *ical.Component) *ical.Prop { return c.Props.Get(ical.PropOrganizer) }

// sameOrganizer checks that all components have the organizer (RFC 6638 §3.2.4.2) that the event has.
func (d *differ) sameOrganizer() error {
	name := func(p *ical.Prop) string {
		if d.own.is(p) {
			return "self"
		}
		return strings.ToLower(addressOf(p))
	}
	first := ""
	for _, c := range d.want.events {
		p := organizerOf(c)
		if p == nil {
			continue
		}
		if first == "" {
			first = name(p)
		} else if first != name(p) {
			return refuse(RefusedOrganizers, "The occurrences of the series name different organizers; a meeting has one.")
		}
	}
	if first == "" || d.now == nil {
		return nil
	}
	for _, o := range []*contents{d.base, d.now} {
		for _, c := range o.events {
			if p := organizerOf(c); p != nil && name(p) == first {
				return nil
			}
		}
	}
	boss := d.Series.Event.Organizer.EmailAddress.Address
	switch {
	case d.role == invited && first != strings.ToLower(cleanAddress(boss)):
		return refuse(RefusedAttendee, "Who invites to a meeting cannot be changed by one who is invited.")
	case d.role != invited && first != "self":
		return refuse(RefusedOrganizer, "Outlook does not hand a meeting over to another organizer.")
	}
	return nil
}

// people says the attendees: those that the event has, with what the client has added, removed and changed.
func (d *differ) people(c change, f fields) error {
	base, want := d.others(c.base), d.others(c.want)
	if len(want) > maxAttendees {
		return refuse(RefusedAttendees, "The meeting has more than %d people, and Outlook invites no more.", maxAttendees)
	}
	if len(want) == 0 && organizerOf(c.want) == nil && !knowsPeople(d.Client) {
		return nil // a program that has never shown them
	}
	delta := deltaOf(base, want)
	if delta.none() {
		return nil
	}
	list := []map[string]any{}
	changed := false
	have := map[string]bool{}
	for _, a := range c.event.Attendees {
		key := personKey(a.EmailAddress)
		have[key] = true
		if delta.removed[key] || d.own.has(a.EmailAddress.Address) {
			changed = changed || delta.removed[key]
			continue
		}
		kind := strings.ToLower(a.Type)
		if k := delta.kinds[key]; k != "" && k != kind {
			kind, changed = k, true
		}
		if cleanAddress(a.EmailAddress.Address) == "" {
			return refuse(RefusedData, "One of the people has no e-mail address, so Outlook does not take the list; change it in Outlook.")
		}
		list = append(list, attendeeJSON(kind, a.EmailAddress.Address, a.EmailAddress.Name))
	}
	for _, a := range delta.added {
		if have[a.key()] {
			continue
		}
		if !isAddress(a.address) {
			return refuse(RefusedData, "“%s” has no e-mail address, and Outlook invites by e-mail only. Add the address, or remove the person.", clip(a.label()))
		}
		changed = true
		list = append(list, attendeeJSON(a.kindOr("required"), a.address, a.name))
	}
	if !changed {
		return nil
	}
	if len(list) > maxAttendees {
		return refuse(RefusedAttendees, "The meeting has more than %d people, and Outlook invites no more.", maxAttendees)
	}
	f["attendees"] = list
	return nil
}

func (a attendeeOf) label() string {
	if a.name != "" {
		return a.name
	}
	return a.address
}

func (a attendeeOf) kindOr(other string) string {
	if a.kind != "" {
		return a.kind
	}
	return other
}

func attendeeJSON(kind, address, name string) map[string]any {
	who := map[string]string{"address": address}
	if name != "" {
		who["name"] = name
	}
	return map[string]any{"type": kind, "emailAddress": who}
}

// personKey is the key that a person of Graph has among the attendees of the object that ToICS makes.
func personKey(a graph.EmailAddress) string {
	p := (&conversion{noted: map[Loss]bool{}}).person(ical.PropAttendee, a, "attendees")
	return strings.ToLower(addressOf(p))
}

// others are the attendees but for the mailbox itself and the organizer, whom some programs list too.
func (d *differ) others(c *ical.Component) []attendeeOf {
	boss := ""
	if p := organizerOf(c); p != nil {
		boss = strings.ToLower(addressOf(p))
	}
	var list []attendeeOf
	for _, a := range attendeesOf(c) {
		if !d.own.has(a.address) && !isPrincipal(a.address) && (a.key() != boss || boss == "") && !(strings.EqualFold(a.params.Get(ical.ParamRole), "CHAIR") && !isAddress(a.address)) {
			list = append(list, a)
		}
	}
	return list
}

// peopleDelta is how two lists of attendees differ.
type peopleDelta struct {
	added   []attendeeOf
	removed map[string]bool   // by key
	kinds   map[string]string // types that were changed, by key
}

func (p peopleDelta) none() bool { return len(p.added)+len(p.removed)+len(p.kinds) == 0 }

func deltaOf(base, want []attendeeOf) peopleDelta {
	p := peopleDelta{removed: map[string]bool{}, kinds: map[string]string{}}
	before := map[string]attendeeOf{}
	for _, a := range base {
		before[a.key()] = a
		p.removed[a.key()] = true
	}
	for _, a := range want {
		old, ok := before[a.key()]
		switch {
		case !ok:
			p.added = append(p.added, a)
		case a.kind != "" && old.kind != "" && a.kind != old.kind:
			p.kinds[a.key()] = a.kind
		}
		delete(p.removed, a.key())
	}
	return p
}

// knowsPeople is whether a program shows who is invited, so that an empty list is one that was made empty.
func knowsPeople(client string) bool {
	client = strings.ToLower(client)
	return keeps(client) || slices.ContainsFunc([]string{"dataaccessd", "calendaragent", "ios/", "macos/", "mac os x/", "caldavtester"}, func(name string) bool {
		return strings.Contains(client, name)
	})
}

package main

import (
	"errors"
	"fmt"

	"outbridge/bridge"
	"outbridge/bridge/directory"
	"outbridge/bridge/graph"
)

// maxSampled is how many members' mailboxes doctor tries: the others fare alike.
const maxSampled = 3

const grantPermission = "In the Microsoft Entra admin center open App registrations, the app, API permissions, Add a permission, Microsoft Graph, Application permissions; add %s, then Grant admin consent."

// organization checks that the app may read the directory: who is a member, and who these people are.
func (d *doctor) organization(reachable bool) {
	const check = "organization"
	if !d.c.Organization.enabled() {
		return
	}
	if !reachable {
		d.skip(check, "not checked without Microsoft's services")
		return
	}
	syncer, err := d.p.newSyncer(nil)
	if err != nil {
		d.broken(check, seeMessage, "%v", err)
		return
	}
	who := syncer.Graph
	if _, err := who.WatchPeople(d.ctx); err != nil {
		d.directoryError(graph.PermissionUsers, err)
	} else {
		d.ok(check, "the app may read the directory's people (%s)", graph.PermissionUsers)
	}
	for _, group := range d.c.Organization.Groups {
		people, _, err := who.GroupMembers(d.ctx, group)
		switch {
		case errors.Is(err, graph.ErrHidden): // told of above
		case err != nil:
			d.directoryError(graph.PermissionMembers, &directory.GroupError{Group: group, Err: err})
		case len(people) == 0:
			d.warn(check, "Is it the right group? If its membership is hidden, the app also needs Member.Read.Hidden.", "group %s has no people in it", group)
		default:
			d.ok(check, "group %s; people, those of groups in it included: %d", group, len(people))
		}
	}
	if d.p.store == nil {
		return
	}
	s, err := d.p.store.DirectoryStatus(d.ctx)
	if err != nil {
		d.broken(check, seeMessage, "%v", err)
	} else if s.Doubt != nil {
		d.warn(check, "See `outbridge status`, then `outbridge members confirm` if the answer is right.", "the directory's answer is not believed: it would end %d accounts and leave %d", s.Doubt.Gone, s.Doubt.Members)
	}
}

func (d *doctor) directoryError(permission string, err error) {
	const check = "organization"
	f := bridge.FaultOf(err)
	if graph.IsAccessDenied(err) {
		d.broken(check, fmt.Sprintf(grantPermission, permission), "the app may not read the directory: the application permission %s is missing", permission)
		return
	}
	sentence, action := inWords(f, "")
	if sentence == "" {
		sentence, action = oneLine(worded(err, "")), seeMessage
	}
	var of *directory.GroupError
	if errors.As(err, &of) {
		sentence = "group " + of.Group + ": " + sentence
	}
	d.broken(check, action, "%s", sentence)
}

package caldav

import "strings"

// Access control (RFC 3744) as far as it can be asked about: each resource is its one user's, and nobody can
// change that.

const (
	readPrivileges  = "read read-acl read-current-user-privilege-set"
	eventPrivileges = "read C:read-free-busy read-acl read-current-user-privilege-set"
	// What others may do by way of the boxes (RFC 6638 §6); the leaves are spelled out for those who look for them.
	inboxPrivileges  = "read unbind C:schedule-deliver C:schedule-deliver-invite C:schedule-deliver-reply C:schedule-query-freebusy read-acl read-current-user-privilege-set"
	outboxPrivileges = "read C:schedule-send C:schedule-send-invite C:schedule-send-reply C:schedule-send-freebusy read-acl read-current-user-privilege-set"
	writePrivileges  = "read C:read-free-busy write write-content write-properties bind unbind unlock read-acl read-current-user-privilege-set"
)

// privileges are spelled out one by one: CalDav Synchronizer does not take "all" for anything, Mailspring looks
// for "write" alone, and a home without "bind" hides DAVx5's button for a new calendar.
func privileges(r *resource) []string {
	switch {
	case r.kind == kindInbox:
		return strings.Fields(inboxPrivileges)
	case r.kind == kindOutbox:
		return strings.Fields(outboxPrivileges)
	case r.kind&(kindCalendar|kindObject) == 0:
		return strings.Fields(readPrivileges)
	case r.cal.Writable && !r.obj.ReadOnly:
		return strings.Fields(writePrivileges)
	}
	return strings.Fields(eventPrivileges)
}

func privilegeSet(x *exchange, r *resource) (bool, error) {
	for _, p := range privileges(r) {
		x.raw("<privilege><" + p + "/></privilege>")
	}
	return true, nil
}

// accessList is DAV:acl (RFC 3744 §5.5): what the one principal may do.
func accessList(x *exchange, r *resource) (bool, error) {
	x.raw("<ace><principal><href>" + x.outside(principalHref(x.principal.Name)) + "</href></principal><grant>")
	_, err := privilegeSet(x, r)
	x.raw("</grant><protected/></ace>")
	return true, err
}

// supportedPrivileges is DAV:supported-privilege-set (RFC 3744 §5.3), a tree.
func supportedPrivileges(x *exchange, r *resource) (bool, error) {
	tree := func(name, description string, inner ...func()) {
		x.raw("<supported-privilege><privilege><" + name + "/></privilege>")
		if name == "all" {
			x.raw("<abstract/>")
		}
		x.raw(`<description xml:lang="en">` + description + "</description>")
		for _, f := range inner {
			f()
		}
		x.raw("</supported-privilege>")
	}
	leaf := func(name, description string) func() { return func() { tree(name, description) } }
	boxes := func() {}
	switch r.kind {
	case kindInbox:
		boxes = func() {
			tree("C:schedule-deliver", "Deliver scheduling messages", leaf("C:schedule-deliver-invite", "Deliver invitations"),
				leaf("C:schedule-deliver-reply", "Deliver answers"), leaf("C:schedule-query-freebusy", "Ask for free-busy times"))
		}
	case kindOutbox:
		boxes = func() {
			tree("C:schedule-send", "Send scheduling messages", leaf("C:schedule-send-invite", "Send invitations"),
				leaf("C:schedule-send-reply", "Send answers"), leaf("C:schedule-send-freebusy", "Send free-busy requests"))
		}
	}
	tree("all", "Anything", boxes,
		func() { tree("read", "Read", leaf("C:read-free-busy", "Read free-busy times")) },
		func() {
			tree("write", "Write", leaf("write-content", "Change events"), leaf("write-properties", "Change properties"),
				leaf("bind", "Add events"), leaf("unbind", "Remove events"))
		},
		leaf("unlock", "Remove locks"), leaf("read-acl", "Read the access control list"),
		leaf("read-current-user-privilege-set", "Read one's own privileges"))
	return true, nil
}

// depthZero is for the reports that RFC 3744 §9 defines for depth 0 alone.
func (x *exchange) depthZero() error {
	if d := x.req.Header.Get("Depth"); d != "" && d != "0" {
		return badRequest("this report is defined for Depth 0 only")
	}
	return nil
}

// oneProp reads the properties that a report asks for of what it finds; none is allowed for some.
func oneProp(n *node, required bool) (*propRequest, error) {
	count := 0
	for _, c := range n.children {
		if c.name == dav("prop") {
			count++
		}
	}
	switch {
	case count > 1:
		return nil, badRequest("the report has more than one DAV:prop")
	case count == 0 && required:
		return nil, badRequest("the report has no DAV:prop")
	case count == 0:
		return &propRequest{}, nil
	}
	return parsePropRequest(n)
}

// aclPrincipals answers DAV:acl-principal-prop-set (RFC 3744 §9.2): the principals of the DAV:acl, which is one.
func (x *exchange) aclPrincipals(n *node, _ *resource) error {
	if err := x.depthZero(); err != nil {
		return err
	}
	q, err := oneProp(n, true)
	if err != nil {
		return err
	}
	x.beginMultistatus()
	if err := x.row(x.principalResource(), q); err != nil {
		return err
	}
	x.endMultistatus()
	return nil
}

// principalMatch answers DAV:principal-match (RFC 3744 §9.3): what is below r and is the current principal, or
// names it in a property such as DAV:owner.
func (x *exchange) principalMatch(n *node, r *resource) error {
	if err := x.depthZero(); err != nil {
		return err
	}
	q, err := oneProp(n, false)
	if err != nil {
		return err
	}
	var match func(*resource) bool
	self, property := n.child(dav("self")), n.child(dav("principal-property"))
	switch {
	case self != nil && property == nil:
		match = func(m *resource) bool { return m.kind == kindPrincipal }
	case self == nil && property != nil && len(property.children) == 1:
		p := properties[property.children[0].name]
		match = func(m *resource) bool {
			return p != nil && p.kinds&m.kind != 0 && p.href != nil && p.href(x, m) == principalHref(x.principal.Name)
		}
	default:
		return badRequest("a DAV:principal-match has neither DAV:self nor one DAV:principal-property")
	}
	x.beginMultistatus()
	if err := x.descend(r, func(m *resource) error {
		if m.href == r.href || !match(m) {
			return nil
		}
		return x.row(m, q)
	}); err != nil {
		return err
	}
	x.endMultistatus()
	return nil
}

// principalResource is the one principal that there is for whoever asks.
func (x *exchange) principalResource() *resource {
	return &resource{kind: kindPrincipal, href: principalHref(x.principal.Name)}
}

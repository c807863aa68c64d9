package graphsim

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// DirectoryUser is somebody of the directory, with or without a mailbox. Whose mailbox it is, is found by its addresses.
type DirectoryUser struct {
	ID       string // "": made
	Name     string
	UPN      string
	Mail     string   // "": none
	Aliases  []string // further addresses
	Guest    bool
	Disabled bool
}

type directory struct {
	users  []*person
	byID   map[string]*person
	groups []*group
	states []dirState
}

type person struct {
	DirectoryUser
	version uint64 // of the last change
	gone    bool
}

type group struct {
	id      string
	members []string // ids of users and groups
	version uint64
	gone    bool
}

// dirState is a delta token.
type dirState struct {
	version uint64
	groups  []string // that it follows; nil: users
	skip    int
	lost    bool
}

// SetUser makes somebody of the directory, or changes who has the ID, and returns the ID.
func (s *Server) SetUser(u DirectoryUser) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	if u.ID == "" {
		u.ID = guid(fmt.Sprintf("directory user %d", len(s.directory.users)))
		if m := s.mailbox(cmp.Or(u.Mail, u.UPN)); m != nil && s.person(m.userID()) == nil {
			u.ID = m.userID()
		}
	}
	if p := s.person(u.ID); p != nil {
		if m := s.mailbox(p.Mail); m != nil && m.userID() == u.ID && u.Mail != "" && !strings.EqualFold(m.address, u.Mail) {
			s.rename(m, u.Mail)
		}
		p.DirectoryUser, p.version, p.gone = u, s.version, false
		return u.ID
	}
	p := &person{DirectoryUser: u, version: s.version}
	s.directory.users = append(s.directory.users, p)
	if s.directory.byID == nil {
		s.directory.byID = map[string]*person{}
	}
	s.directory.byID[u.ID] = p
	return u.ID
}

// RemoveUser deletes somebody, who leaves all groups.
func (s *Server) RemoveUser(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	if p := s.person(id); p != nil {
		p.gone, p.version = true, s.version
	}
	for _, g := range s.directory.groups {
		if slices.Contains(g.members, id) {
			g.members = slices.DeleteFunc(slices.Clone(g.members), func(m string) bool { return m == id })
			g.version = s.version
		}
	}
}

// Permit sets AppPermissions while the server runs.
func (s *Server) Permit(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.AppPermissions = names
}

// SetGroup makes a group with these users and groups as its members, or gives one others.
func (s *Server) SetGroup(id string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	g := s.group(id)
	if g == nil {
		g = &group{id: id}
		s.directory.groups = append(s.directory.groups, g)
	}
	g.members, g.version, g.gone = slices.Clone(members), s.version, false
}

// RemoveGroup deletes a group.
func (s *Server) RemoveGroup(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	if g := s.group(id); g != nil {
		g.gone, g.version = true, s.version
	}
}

// ForgetDirectory makes all delta tokens of the directory be of no more use.
func (s *Server) ForgetDirectory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.directory.states {
		s.directory.states[i].lost = true
	}
}

func (s *Server) person(id string) *person { return s.directory.byID[id] }

func (s *Server) group(id string) *group {
	for _, g := range s.directory.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

// transitive are the people and groups in a group, however deep.
func (s *Server) transitive(id string) (people []*person, groups []*group) {
	seen := map[string]bool{}
	var walk func(id string)
	walk = func(id string) {
		g := s.group(id)
		if g == nil || g.gone || seen[id] {
			return
		}
		seen[id] = true
		for _, m := range g.members {
			if p := s.person(m); p != nil && !p.gone && !seen[m] {
				seen[m] = true
				people = append(people, p)
			} else if inner := s.group(m); inner != nil && !inner.gone && !seen[m] {
				groups = append(groups, inner)
				walk(m)
			}
		}
	}
	walk(id)
	return people, groups
}

// ofDirectory answers what is about the directory and not a mailbox; false: it is not.
func (c *call) ofDirectory() (response, bool) {
	at := strings.ToLower(strings.Join(c.seg, "/"))
	switch {
	case at == "users":
		return c.listPeople(), true
	case at == "users/delta":
		return c.directoryDelta(true), true
	case at == "groups/delta":
		return c.directoryDelta(false), true
	case len(c.seg) == 3 && strings.EqualFold(c.seg[0], "groups") && strings.EqualFold(c.seg[2], "transitiveMembers"):
		return c.listMembers(c.seg[1]), true
	}
	return response{}, false
}

// permitted tells whether the app has a permission of the directory. People have none.
func (c *call) permitted(name string) bool {
	return c.token.mailbox == nil && (c.server.AppPermissions == nil || slices.Contains(c.server.AppPermissions, name))
}

func (c *call) requestDenied() response {
	return c.fail(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

func (c *call) listPeople() response {
	if !c.permitted("User.Read.All") {
		return c.requestDenied()
	}
	var all []map[string]any
	for _, p := range c.server.directory.users {
		if !p.gone {
			all = append(all, c.personAsJSON(p))
		}
	}
	return c.directoryPage("users", all)
}

func (c *call) listMembers(id string) response {
	if !c.permitted("GroupMember.Read.All") {
		return c.requestDenied()
	}
	if g := c.server.group(id); g == nil || g.gone {
		return c.fail(404, "Request_ResourceNotFound", fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", id))
	}
	people, groups := c.server.transitive(id)
	all := []map[string]any{}
	for _, p := range people {
		m := c.personAsJSON(p)
		if !c.permitted("User.Read.All") { // what an app may not read is there, with its id alone
			for name := range m {
				if name != "id" {
					m[name] = nil
				}
			}
			delete(m, "proxyAddresses")
		}
		m["@odata.type"] = "#microsoft.graph.user"
		all = append(all, m)
	}
	for _, g := range groups {
		all = append(all, map[string]any{"@odata.type": "#microsoft.graph.group", "id": g.id, "displayName": nil, "mail": nil, "proxyAddresses": []string{}})
	}
	return c.directoryPage("directoryObjects", all)
}

// directoryPage is a page by $top, of 100 where none is asked for, with a $skiptoken.
func (c *call) directoryPage(of string, all []map[string]any) response {
	size, skip := 100, 0
	if text, ok := queryValue(c.query, "$top"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 999 {
			return c.fail(400, "Request_UnsupportedQuery", "Invalid page size specified: '"+text+"'. Must be between 1 and 999 inclusive.")
		}
		size = n
	}
	if n := c.server.DirectoryPage; n > 0 {
		size = min(size, n)
	}
	if text, ok := queryValue(c.query, "$skiptoken"); ok {
		skip, _ = strconv.Atoi(text)
	}
	end := min(skip+size, len(all))
	body := map[string]any{"@odata.context": c.server.origin(c.r) + "/v1.0/$metadata#" + of, "value": c.server.items(all[min(skip, end):end])}
	if end < len(all) {
		q := c.r.URL.Query()
		q.Set("$skiptoken", fmt.Sprint(end))
		body["@odata.nextLink"] = c.server.origin(c.r) + "/v1.0/" + c.path + "?" + encodeQuery(q)
	}
	return response{status: 200, body: body}
}

func (c *call) personAsJSON(p *person) map[string]any {
	proxies := []string{}
	if p.Mail != "" {
		proxies = append(proxies, "SMTP:"+p.Mail)
	}
	for _, a := range p.Aliases {
		proxies = append(proxies, "smtp:"+a)
	}
	kind := "Member"
	if p.Guest {
		kind = "Guest"
	}
	m := map[string]any{"id": p.ID, "displayName": p.Name, "userPrincipalName": p.UPN, "mail": nil, "accountEnabled": !p.Disabled, "userType": kind, "proxyAddresses": proxies}
	if p.Mail != "" {
		m["mail"] = p.Mail
	}
	return m
}

// directoryDelta answers only "from now on": who has what there is now, lists it.
func (c *call) directoryDelta(ofUsers bool) response {
	if !c.permitted(map[bool]string{true: "User.Read.All", false: "GroupMember.Read.All"}[ofUsers]) {
		return c.requestDenied()
	}
	d := &c.server.directory
	token, _ := queryValue(c.query, "$deltatoken")
	path := map[bool]string{true: "users/delta", false: "groups/delta"}[ofUsers]
	answer := func(value []map[string]any, link string, state dirState) response {
		d.states = append(d.states, state)
		return response{status: 200, body: map[string]any{"@odata.context": c.server.origin(c.r) + "/v1.0/$metadata#" + strings.TrimSuffix(path, "/delta"), "value": value,
			link: c.server.origin(c.r) + "/v1.0/" + path + "?" + encodeQuery(url.Values{"$deltatoken": {fmt.Sprint(len(d.states) - 1)}})}}
	}
	if token == "latest" {
		state := dirState{version: c.server.version}
		if filter, _ := queryValue(c.query, "$filter"); !ofUsers {
			for term := range strings.SplitSeq(filter, " or ") {
				id, ok := strings.CutPrefix(strings.TrimSpace(term), "id eq '")
				if !ok || len(state.groups) == 50 {
					return c.fail(400, "Request_UnsupportedQuery", "Unsupported Query.")
				}
				state.groups = append(state.groups, strings.TrimSuffix(id, "'"))
			}
		}
		return answer([]map[string]any{}, "@odata.deltaLink", state)
	}
	n, err := strconv.Atoi(token)
	if err != nil || n < 0 || n >= len(d.states) || (d.states[n].groups == nil) != ofUsers {
		return c.fail(400, "Directory_InvalidToken", "The delta token is not valid.")
	}
	from := d.states[n]
	if from.lost {
		return c.fail(410, "SyncStateNotFound", "The delta token is expired. Begin again.")
	}
	value := []map[string]any{}
	if ofUsers {
		for _, p := range d.users {
			switch {
			case p.version <= from.version:
			case p.gone:
				value = append(value, map[string]any{"id": p.ID, "@removed": map[string]any{"reason": "changed"}})
			default:
				value = append(value, c.personAsJSON(p))
			}
		}
	} else {
		for _, g := range d.groups {
			switch {
			case g.version <= from.version || !slices.Contains(from.groups, g.id):
			case g.gone:
				value = append(value, map[string]any{"id": g.id, "@removed": map[string]any{"reason": "deleted"}})
			default:
				value = append(value, map[string]any{"id": g.id, "members@delta": []map[string]any{{"@odata.type": "#microsoft.graph.user", "id": "00000000-0000-0000-0000-000000000000"}}})
			}
		}
	}
	if n := cmp.Or(c.server.DirectoryPage, 100); from.skip+n < len(value) {
		next := from
		next.skip += n
		return answer(value[from.skip:next.skip], "@odata.nextLink", next)
	}
	return answer(value[min(from.skip, len(value)):], "@odata.deltaLink", dirState{version: c.server.version, groups: from.groups})
}

// ofMailbox is the answer to who asks for a mailbox of somebody who is in the directory and has none.
func (c *call) ofNoMailbox(id string) (response, bool) {
	for _, p := range c.server.directory.users {
		if !p.gone && (p.ID == id || strings.EqualFold(p.Mail, id) || strings.EqualFold(p.UPN, id)) {
			return c.fail(http.StatusNotFound, "MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise."), true
		}
	}
	return response{}, false
}

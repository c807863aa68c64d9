package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// DirectoryUser is the resource "user" as an app may read it of everybody.
type DirectoryUser struct {
	ID                string   `json:"id"`
	DisplayName       string   `json:"displayName"`
	Mail              string   `json:"mail"` // "": no mailbox of this organization, as a rule
	UserPrincipalName string   `json:"userPrincipalName"`
	ProxyAddresses    []string `json:"proxyAddresses"`
	UserType          string   `json:"userType"`       // Member or Guest
	AccountEnabled    *bool    `json:"accountEnabled"` // false for who may not sign in, and for rooms and shared mailboxes
	Kind              string   `json:"@odata.type"`    // "#microsoft.graph.user"; "" in a list of users
}

// Aliases are the further addresses by which mail reaches the person.
func (u DirectoryUser) Aliases() []string {
	return User{Mail: u.Mail, UserPrincipalName: u.UserPrincipalName, ProxyAddresses: u.ProxyAddresses}.Aliases()
}

// What an app needs to know who is a member, and to read their calendars.
const (
	PermissionUsers     = "User.Read.All"
	PermissionMembers   = "GroupMember.Read.All"
	PermissionCalendars = "Calendars.Read"
)

const (
	personProperties = "id,displayName,mail,userPrincipalName,proxyAddresses,accountEnabled,userType"
	directoryPage    = 999 // the most that users and members are listed by
	// maxWatchedGroups is how many ids the filter of a delta takes.
	maxWatchedGroups = 50
)

// ErrHidden says that people are listed without their properties: the app may read who is a member of a group, and not who these are.
// It lacks PermissionUsers (learn.microsoft.com/graph/permissions-overview, limited information for inaccessible member objects).
var ErrHidden = errors.New("the members are listed without their names and addresses: the permission User.Read.All is missing")

// ErrNoGroup says that there is no group of an id.
var ErrNoGroup = errors.New("there is no such group")

// People lists all users of the directory (learn.microsoft.com/graph/api/user-list).
func (c *Client) People(ctx context.Context) ([]DirectoryUser, error) {
	people, err := c.people(ctx, "list the users", fmt.Sprintf("%s/users?$select=%s&$top=%d", c.BaseURL, personProperties, directoryPage))
	if err != nil {
		return nil, err
	}
	return people, seen(people)
}

// GroupMembers lists the people of a group and of all groups in it, and those groups
// (learn.microsoft.com/graph/api/group-list-transitivemembers). ErrNoGroup: there is none of that id. It asks without a cast, which needs
// no index of the directory that lags behind, and so gets what is neither as well.
func (c *Client) GroupMembers(ctx context.Context, group string) (people []DirectoryUser, groups []string, err error) {
	all, err := c.people(ctx, "list the members of a group", fmt.Sprintf("%s/groups/%s/transitiveMembers?$select=%s&$top=%d", c.BaseURL, escape(group), personProperties, directoryPage))
	if IsMailboxMissing(err) || IsNotFound(err) { // Request_ResourceNotFound is said of both
		return nil, nil, fmt.Errorf("%w: %w", ErrNoGroup, err)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		switch p.Kind {
		case "#microsoft.graph.user", "":
			people = append(people, p)
		case "#microsoft.graph.group":
			groups = append(groups, p.ID)
		}
	}
	return people, groups, seen(people)
}

func (c *Client) people(ctx context.Context, op, link string) (all []DirectoryUser, err error) {
	err = pages(ctx, c, op, link, "", func(items []DirectoryUser) bool {
		all = append(all, items...)
		return true
	})
	return all, err
}

// seen refuses people of whom nothing but their id is told: that is not what they are like.
func seen(people []DirectoryUser) error {
	for _, p := range people {
		if p.ID == "" {
			return &Error{Op: "list people", Status: http.StatusOK, garbled: true, Message: "somebody of the list has no id"}
		}
		if p.UserPrincipalName == "" && p.Mail == "" && p.DisplayName == "" && p.AccountEnabled == nil {
			return ErrHidden
		}
	}
	return nil
}

// WatchPeople begins to follow changes of the directory's users: Changed tells of those after the call.
func (c *Client) WatchPeople(ctx context.Context) (link string, err error) {
	_, link, err = c.Changed(ctx, c.BaseURL+"/users/delta?$deltatoken=latest&$select="+personProperties)
	return link, err
}

// WatchGroups begins to follow who is in groups, directly. ErrTooManyGroups: no delta takes so many.
func (c *Client) WatchGroups(ctx context.Context, groups []string) (link string, err error) {
	if len(groups) > maxWatchedGroups {
		return "", ErrTooManyGroups
	}
	var ids []string
	for _, id := range groups {
		ids = append(ids, "id eq '"+strings.ReplaceAll(id, "'", "''")+"'")
	}
	q := url.Values{"$filter": {strings.Join(ids, " or ")}, "$select": {"members"}, "$deltatoken": {"latest"}}
	_, link, err = c.Changed(ctx, c.BaseURL+"/groups/delta?"+strings.ReplaceAll(strings.ReplaceAll(q.Encode(), "%24", "$"), "+", "%20"))
	return link, err
}

// ErrTooManyGroups: list them all instead of following them.
var ErrTooManyGroups = errors.New("too many groups to follow")

// Changed follows a link of WatchPeople or WatchGroups, over all pages, and tells the ids of what has changed since, removed ones
// included, and the link to go on with. IsSyncStateLost: begin again, and list everything.
func (c *Client) Changed(ctx context.Context, from string) (ids []string, link string, err error) {
	const op = "read changes of the directory"
	type thing struct {
		ID string `json:"id"`
	}
	followed := map[string]bool{}
	for link = from; ; {
		if followed[link] {
			return nil, "", &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "the pages of the changes lead in a circle"}
		}
		followed[link] = true
		var things []thing
		var p page
		err := c.do(ctx, request{op: op, method: http.MethodGet, url: link, cursor: true, decode: func(b []byte) (err error) {
			if things, p, err = readPage[thing](b); err == nil && p.Next == "" && p.Delta == "" {
				err = errors.New("the page of changes has neither a next nor a delta link")
			}
			return err
		}})
		if err != nil {
			return nil, "", err
		}
		for _, t := range things {
			ids = append(ids, t.ID)
		}
		if err := c.returnedLink(op, p.Next+p.Delta); err != nil {
			return nil, "", err
		}
		if p.Next == "" {
			return ids, p.Delta, nil
		}
		link = p.Next
	}
}

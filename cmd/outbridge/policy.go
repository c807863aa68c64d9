package main

import (
	"context"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// Values of keys of an account; "" is that the key is left out.
var (
	accessValues     = []string{"", "read", "read-write"}
	invitationValues = []string{"", string(bridge.InvitationsNever), string(bridge.InvitationsReplies), string(bridge.InvitationsOutlook)}
	onlineValues     = []string{"", "never", "meetings"}
)

// policy is what clients may do to the account's calendars: what the file says, or where that leaves access out what was set on the
// pages.
func (a accountConfig) policy(row bridge.Account) bridge.Policy {
	p := a.changes(row)
	p.Attachments = p.Write
	if a.Attachments != nil {
		p.Attachments = *a.Attachments
	}
	return p
}

// changes is what clients may change.
func (a accountConfig) changes(row bridge.Account) bridge.Policy {
	if a.Access == "" && row.Policy != nil {
		return *row.Policy
	}
	if a.Access != "read-write" {
		return bridge.Policy{}
	}
	p := bridge.Policy{Write: true, Invitations: bridge.InvitationsReplies, OnlineMeetings: a.OnlineMeetings == "meetings"}
	if a.Invitations != "" {
		p.Invitations = bridge.Invitations(a.Invitations)
	}
	return p
}

// mayWrite reports whether the account's sign-in allows changes in Outlook.
func (c *config) mayWrite(a accountConfig, row bridge.Account) bool {
	return c.writeGranted(a.Mailbox != "", row)
}

// writeGranted reports whether Microsoft has granted changes with the last token. An app's own permissions are not told, so they
// are taken to allow it until Graph says otherwise.
func (c *config) writeGranted(appOnly bool, row bridge.Account) bool {
	if appOnly || row.Granted == "" {
		return true
	}
	for scope := range strings.FieldsSeq(row.Granted) {
		if strings.EqualFold(lastSegment(scope), graph.WritePermission) {
			return true
		}
	}
	return false
}

// policyOf is what clients may do to the account of a calendar, as its objects are made for.
func (p *program) policyOf(ctx context.Context, id bridge.CalendarID) (bridge.Policy, error) {
	c, err := p.store.Calendar(ctx, id)
	if err != nil {
		return bridge.Policy{}, err
	}
	row, err := p.store.AccountByID(ctx, c.Account)
	if err != nil {
		return bridge.Policy{}, err
	}
	a, err := p.account(row.Name)
	if err != nil {
		return bridge.Policy{}, nil // it has left the configuration
	}
	return a.policy(row), nil
}

func lastSegment(scope string) string { return scope[strings.LastIndexByte(scope, '/')+1:] }

// policyWords says what a policy comes to.
func policyWords(p bridge.Policy) string {
	if !p.Write {
		return "Calendar programs can read, and change nothing."
	}
	words := "Calendar programs can create, change and delete events. What was there before is not touched. "
	switch p.Invitations {
	case bridge.InvitationsOutlook:
		words += "Outlook mails invitations, updates, cancellations and answers for what they change."
	case bridge.InvitationsReplies:
		words += "Outlook mails their answers to invitations, and nothing else: changes that would mail others are refused."
	default:
		words += "Nothing is mailed: changes that would mail somebody are refused, answers to invitations included."
	}
	if p.OnlineMeetings {
		words += " New meetings become online meetings."
	}
	return words
}

// policy is what clients may do to a user's calendars, by the configuration and by the sign-in as it is now.
func (p *program) policy(a accountConfig, row bridge.Account) bridge.Policy {
	policy := a.policy(row)
	if policy.Write && !p.conf.mayWrite(a, row) {
		return bridge.Policy{Attachments: policy.Attachments}
	}
	return policy
}

package graphsim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A subscription to the events of a mailbox, or of one calendar.
type subscription struct {
	id, resource, changes string
	state                 string
	expires               time.Time
	client                string
	owner                 *Mailbox // who made it; nil: the app itself
	mailbox               *Mailbox
	cal                   *Calendar // nil: every calendar
	immutable             bool      // ids in notifications
	paused                bool      // until it is reauthorized
	events, lifecycle     *postbox  // lifecycle is nil where there is no URL for it
}

const (
	subscriptionMin = 45 * time.Minute
	subscriptionMax = 10080 * time.Minute
)

// Subscription is a live subscription, for tests to look at.
type Subscription struct {
	ID, Resource, ChangeType string
	Mailbox                  *Mailbox
	Expires                  time.Time
	Paused                   bool // it waits to be reauthorized
}

// Subscriptions are the live subscriptions, oldest first.
func (s *Server) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Subscription
	for _, sub := range s.live() {
		all = append(all, Subscription{sub.id, sub.resource, sub.changes, sub.mailbox, sub.expires, sub.paused})
	}
	return all
}

// live are the subscriptions that have not expired; it forgets the others.
func (s *Server) live() []*subscription {
	s.hooks.subs = slices.DeleteFunc(s.hooks.subs, func(sub *subscription) bool {
		if s.now().Before(sub.expires) {
			return false
		}
		sub.close()
		return true
	})
	return s.hooks.subs
}

// subscriptions answers below /subscriptions. Unlike the rest it is called without the lock, since a validation request
// may lead to other requests.
func (c *call) subscriptions(rest []string) response {
	s := c.server
	if !c.allowed("Calendars.Read", "Calendars.ReadWrite", "Calendars.ReadBasic") {
		return c.fail(403, "", "")
	}
	if len(rest) == 0 && c.r.Method == http.MethodPost {
		return c.subscribe()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := c.readPrefer(); a != nil {
		return *a
	}
	var mine []*subscription
	for _, sub := range s.live() {
		if sub.client == c.token.client && sub.owner == c.token.mailbox {
			mine = append(mine, sub)
		}
	}
	if len(rest) == 0 {
		var all []map[string]any
		for _, sub := range mine {
			all = append(all, sub.asJSON(c.server.Cloud, false))
		}
		return c.list("subscriptions", all)
	}
	i := slices.IndexFunc(mine, func(sub *subscription) bool { return sub.id == rest[0] })
	if i < 0 {
		return c.fail(404, "ResourceNotFound", "The object was not found.")
	}
	switch sub := mine[i]; {
	case len(rest) == 2 && strings.EqualFold(rest[1], "reauthorize") && c.r.Method == http.MethodPost:
		sub.paused = false
		return response{status: http.StatusNoContent}
	case len(rest) > 1:
		return c.notImplemented()
	case c.r.Method == http.MethodGet:
		return response{status: 200, body: sub.asJSON(c.server.Cloud, false)}
	case c.r.Method == http.MethodPatch:
		return c.renew(sub)
	case c.r.Method == http.MethodDelete:
		sub.close()
		s.hooks.subs = slices.DeleteFunc(s.hooks.subs, func(other *subscription) bool { return other == sub })
		return response{status: http.StatusNoContent}
	}
	return c.fail(405, "", "")
}

type subscriptionBody struct {
	ChangeType, NotificationURL, LifecycleNotificationURL, Resource, ExpirationDateTime, ClientState string
}

// renew is PATCH: the end, and nothing else.
func (c *call) renew(sub *subscription) response {
	var body subscriptionBody
	if err := json.Unmarshal(c.body, &body); err != nil {
		return c.fail(400, "BadRequest", "Unable to read JSON request payload.")
	}
	if body.Resource != "" || body.ChangeType != "" || body.LifecycleNotificationURL != "" || body.NotificationURL != "" {
		return c.fail(400, "InvalidRequest", "Only expirationDateTime can be changed.")
	}
	expires, refused := c.expiry(body)
	if refused != nil {
		return *refused
	}
	sub.expires, sub.paused = expires, false
	return response{status: 200, body: sub.asJSON(c.server.Cloud, false)}
}

// subscribe is POST /subscriptions.
func (c *call) subscribe() response {
	s := c.server
	var body subscriptionBody
	if err := json.Unmarshal(c.body, &body); err != nil {
		return c.fail(400, "BadRequest", "Unable to read JSON request payload.")
	}
	changes, ok := changeTypes(body.ChangeType)
	switch {
	case !ok:
		return c.fail(400, "InvalidRequest", fmt.Sprintf("The changeType '%s' is not supported.", body.ChangeType))
	case len(body.ClientState) > 128:
		return c.fail(400, "InvalidRequest", "clientState must not be longer than 128 characters.")
	case !s.mayNotify(body.NotificationURL) || body.LifecycleNotificationURL != "" && !s.mayNotify(body.LifecycleNotificationURL):
		return c.fail(400, "InvalidRequest", "Notification URLs must be https.")
	}
	expires, refused := c.expiry(body)
	if refused != nil {
		return *refused
	}
	sub := &subscription{id: guid("subscription " + rand.Text()), resource: body.Resource, changes: changes, state: body.ClientState, expires: expires,
		client: c.token.client, owner: c.token.mailbox}
	sub.events = &postbox{url: body.NotificationURL}
	if body.LifecycleNotificationURL != "" {
		sub.lifecycle = &postbox{url: body.LifecycleNotificationURL}
	}
	if refused := c.admit(sub, false); refused != nil {
		return *refused
	}
	for _, box := range []*postbox{sub.events, sub.lifecycle} {
		if box == nil {
			continue
		}
		if err := s.validate(c.r.Context(), box.url); err != nil {
			return c.fail(400, "ValidationError", "Subscription validation request failed. "+err.Error())
		}
	}
	if refused := c.admit(sub, true); refused != nil {
		return *refused
	}
	return response{status: http.StatusCreated, body: sub.asJSON(c.server.Cloud, true)}
}

// admit checks what a subscription is to and that there is none like it, and adds it.
func (c *call) admit(sub *subscription, add bool) *response {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := c.readPrefer(); a != nil {
		return a
	}
	sub.immutable = c.prefer.immutable
	if a := c.subject(sub); a != nil {
		return a
	}
	for _, other := range s.live() {
		if other.client == sub.client && other.owner == sub.owner && other.mailbox == sub.mailbox && other.cal == sub.cal && other.changes == sub.changes {
			a := c.fail(409, "Conflict", fmt.Sprintf("Subscription Id %s already exists for the requested combination", other.id))
			return &a
		}
	}
	if add {
		s.hooks.subs = append(s.hooks.subs, sub)
	}
	return nil
}

// subject finds the mailbox and calendar of a subscription's resource.
func (c *call) subject(sub *subscription) *response {
	of := c.server.newCall(c.r, strings.Trim(sub.resource, "/"))
	of.token = c.token
	if refused := of.findUser(); refused != nil {
		return refused
	}
	refuse := func(status int, code, message string) *response {
		a := c.fail(status, code, message)
		return &a
	}
	if of.user != "" && of.guest() {
		return refuse(403, "", "")
	}
	sub.mailbox, sub.cal = of.mailbox, nil
	switch {
	case of.user == "":
	case len(of.seg) == 1 && strings.EqualFold(of.seg[0], "events"):
		return nil
	case len(of.seg) == 3 && strings.EqualFold(of.seg[0], "calendars") && strings.EqualFold(of.seg[2], "events"):
		for _, cal := range of.mailbox.cals {
			if string(cal.id) == of.seg[1] {
				sub.cal = cal
				return nil
			}
		}
	}
	return refuse(400, "ExtensionError", fmt.Sprintf("'Resource' is invalid: '%s'.", sub.resource))
}

// expiry is the end that a client asks for, as far as it may.
func (c *call) expiry(body subscriptionBody) (time.Time, *response) {
	now := c.server.now()
	t, ok := parseTime(body.ExpirationDateTime)
	if !ok || t.Before(now) || t.Sub(now) > subscriptionMax {
		a := c.fail(400, "ExtensionError", fmt.Sprintf("Subscription expiration can only be %d minutes in the future.", int(subscriptionMax/time.Minute)))
		return time.Time{}, &a
	}
	if t.Sub(now) < subscriptionMin {
		t = now.Add(subscriptionMin)
	}
	return t.UTC(), nil
}

// changeTypes sorts a list of change types.
func changeTypes(text string) (string, bool) {
	kinds := strings.Split(strings.ReplaceAll(text, " ", ""), ",")
	slices.Sort(kinds)
	for _, kind := range kinds {
		if kind != "created" && kind != "updated" && kind != "deleted" {
			return "", false
		}
	}
	return strings.Join(slices.Compact(kinds), ","), true
}

// mayNotify tells whether notifications may go to an address.
func (s *Server) mayNotify(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && s.InsecureWebhooks && loopback
}

// asJSON is the subscription as a cloud tells it.
func (sub *subscription) asJSON(cloud string, withState bool) map[string]any {
	body := map[string]any{
		"id": sub.id, "resource": sub.resource, "applicationId": sub.client, "changeType": sub.changes, "clientState": nil,
		"notificationUrl": sub.events.url, "lifecycleNotificationUrl": nil, "expirationDateTime": sub.expires.Format("2006-01-02T15:04:05.0000000Z"),
		"creatorId": sub.creator(), "includeResourceData": nil, "latestSupportedTlsVersion": "v1_2", "encryptionCertificate": nil,
		"encryptionCertificateId": nil,
	}
	if cloud == "" {
		body["notificationQueryOptions"], body["notificationUrlAppId"] = nil, nil
	}
	if withState {
		body["clientState"] = sub.state
	}
	if sub.lifecycle != nil {
		body["lifecycleNotificationUrl"] = sub.lifecycle.url
	}
	return body
}

func (sub *subscription) creator() string {
	if sub.owner == nil {
		return guid("app " + sub.client)
	}
	return sub.owner.userID()
}

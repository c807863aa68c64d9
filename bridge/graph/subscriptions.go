package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// SubscriptionLife is the longest that a subscription to events lasts: 10,080 minutes
// (learn.microsoft.com/graph/api/resources/subscription). Graph raises what is under 45 minutes to that.
const SubscriptionLife = 10080 * time.Minute

// Subscription is the resource "subscription": Graph tells NotificationURL about changes of Resource until Expires.
type Subscription struct {
	ID                       string
	Resource                 string    // "": the events of the Client's mailbox
	ChangeType               string    // "": created,updated,deleted
	NotificationURL          string    // https
	LifecycleNotificationURL string    // https, or ""; it cannot be added later
	ClientState              string    // at most 128 characters, in every notification; a secret, which only Subscribe's answer may tell
	Expires                  time.Time // to the second
}

// subscriptionJSON is how Graph writes it.
type subscriptionJSON struct {
	ID                       string `json:"id,omitempty"`
	Resource                 string `json:"resource,omitempty"`
	ChangeType               string `json:"changeType,omitempty"`
	NotificationURL          string `json:"notificationUrl,omitempty"`
	LifecycleNotificationURL string `json:"lifecycleNotificationUrl,omitempty"`
	ClientState              string `json:"clientState,omitempty"`
	Expires                  string `json:"expirationDateTime,omitempty"`
}

func (s *Subscription) UnmarshalJSON(b []byte) error {
	var j subscriptionJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("subscription: %w", err)
	}
	expires, err := time.Parse(time.RFC3339Nano, j.Expires)
	if err != nil || j.ID == "" {
		return errors.New("the answer is not a subscription: it has no id or no time of its end")
	}
	*s = Subscription{j.ID, j.Resource, j.ChangeType, j.NotificationURL, j.LifecycleNotificationURL, j.ClientState, expires.UTC()}
	return nil
}

// Subscribe makes a subscription and returns it as Graph made it: Expires may be another than asked for. Meanwhile Graph
// sends both URLs a validation request, which they must answer within ten seconds. Notifications name events by immutable
// ids. A delegated token may subscribe to its own mailbox only. It is not idempotent: of the errors, ErrMayHaveHappened
// says that there may be such a subscription now, and IsConflict that there is one already, so look for it with
// Subscriptions. IsNotOffered says that Graph found nobody at the URLs or has no notifications for this mailbox.
func (c *Client) Subscribe(ctx context.Context, s Subscription) (Subscription, error) {
	j := subscriptionJSON{Resource: orDefault(s.Resource, c.resource()+"/events"), ChangeType: orDefault(s.ChangeType, "created,updated,deleted"),
		NotificationURL: s.NotificationURL, LifecycleNotificationURL: s.LifecycleNotificationURL, ClientState: s.ClientState, Expires: expiry(s.Expires)}
	return c.subscription(ctx, "subscribe to changes", http.MethodPost, "", j)
}

// Subscriptions reads the subscriptions to the mailbox's events, over all pages. An app's own token sees those to all
// mailboxes of the tenant, of which others are left out.
func (c *Client) Subscriptions(ctx context.Context) ([]Subscription, error) {
	all, err := list[Subscription](ctx, c, "read subscriptions", c.BaseURL+"/subscriptions")
	if c.Mailbox != "" {
		own := strings.Trim(c.resource(), "/") + "/"
		all = slices.DeleteFunc(all, func(s Subscription) bool {
			resource := strings.TrimPrefix(s.Resource, "/")
			return len(resource) < len(own) || !strings.EqualFold(resource[:len(own)], own)
		})
	}
	return all, err
}

// RenewSubscription moves the end of a subscription, and answers a reauthorizationRequired as well. The Subscription that
// it returns has the end that Graph set. IsNotFound says that there is no such subscription any more.
func (c *Client) RenewSubscription(ctx context.Context, id string, expires time.Time) (Subscription, error) {
	return c.subscription(ctx, "renew the subscription", http.MethodPatch, id, subscriptionJSON{Expires: expiry(expires)})
}

// ReauthorizeSubscription answers a reauthorizationRequired without moving the end. Do it or RenewSubscription, not both
// within ten minutes (learn.microsoft.com/graph/change-notifications-lifecycle-events).
func (c *Client) ReauthorizeSubscription(ctx context.Context, id string) error {
	return c.subscriptionDo(ctx, request{op: "reauthorize the subscription", method: http.MethodPost, idempotent: true, decode: ignore}, id, "/reauthorize")
}

// DeleteSubscription ends a subscription. One that is gone already is no error.
func (c *Client) DeleteSubscription(ctx context.Context, id string) error {
	err := c.subscriptionDo(ctx, request{op: "end the subscription", method: http.MethodDelete, idempotent: true, decode: ignore}, id, "")
	if IsNotFound(err) {
		return nil
	}
	return err
}

// subscription sends j and reads the subscription that comes back.
func (c *Client) subscription(ctx context.Context, op, method, id string, j subscriptionJSON) (Subscription, error) {
	body, err := json.Marshal(j)
	if err != nil {
		return Subscription{}, fmt.Errorf("%s: %w", op, err)
	}
	var s Subscription
	// The kind of the ids in notifications is chosen here for good (learn.microsoft.com/graph/outlook-immutable-id).
	r := request{op: op, method: method, prefer: prefer("UTC"), body: body, decode: func(b []byte) error { return json.Unmarshal(b, &s) }}
	if method == http.MethodPost {
		r.url = c.BaseURL + "/subscriptions"
		err = c.do(ctx, r)
	} else {
		r.idempotent = true
		err = c.subscriptionDo(ctx, r, id, "")
	}
	if err != nil {
		return Subscription{}, err
	}
	return s, nil
}

// subscriptionDo sends a request about one subscription. Its 404 has a code that means a missing mailbox elsewhere.
func (c *Client) subscriptionDo(ctx context.Context, r request, id, action string) error {
	if id == "" {
		return fmt.Errorf("%s: the id of the subscription is empty", r.op)
	}
	r.url, r.one = c.BaseURL+"/subscriptions/"+escape(id)+action, true
	return c.do(ctx, r)
}

// resource is the path of the mailbox as a subscription names it, which leaves "@" as it is.
func (c *Client) resource() string {
	if c.Mailbox == "" {
		return "/me"
	}
	return "/users/" + url.PathEscape(c.Mailbox)
}

func expiry(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func ignore([]byte) error { return nil }

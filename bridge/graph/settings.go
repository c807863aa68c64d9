package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Category is the resource "outlookCategory", one of the mailbox's master categories.
type Category struct {
	DisplayName string `json:"displayName"`
	Color       string `json:"color"` // none, preset0 … preset24
}

// User is the resource "user", as far as everybody may read it of themselves.
type User struct {
	ID                string `json:"id"` // an object id, which stays when the address changes
	DisplayName       string `json:"displayName"`
	Mail              string `json:"mail"`              // "" for some personal accounts
	UserPrincipalName string `json:"userPrincipalName"` // an address as a rule
	// ProxyAddresses are all addresses of the mailbox, as "SMTP:alice@contoso.com" the main one and "smtp:…" the others; none for
	// personal accounts.
	ProxyAddresses []string `json:"proxyAddresses"`
}

// Aliases are the further addresses by which mail reaches the user.
func (u User) Aliases() []string {
	var list []string
	for _, proxy := range append(slices.Clone(u.ProxyAddresses), u.UserPrincipalName) {
		kind, address, ok := strings.Cut(proxy, ":")
		if !ok {
			kind, address = "smtp", proxy
		}
		same := func(s string) bool { return strings.EqualFold(s, address) }
		if strings.EqualFold(kind, "smtp") && strings.Contains(address, "@") && !same(u.Address()) && !slices.ContainsFunc(list, same) {
			list = append(list, address)
		}
	}
	return list
}

// Address is what a person knows the user by.
func (u User) Address() string { return orDefault(u.Mail, u.UserPrincipalName) }

// Me reads who signed in (learn.microsoft.com/graph/api/user-get), with a delegated token.
func (c *Client) Me(ctx context.Context) (User, error) {
	var u User
	err := c.do(ctx, request{op: "read who signed in", method: "GET", url: c.BaseURL + "/me?$select=id,displayName,mail,userPrincipalName,proxyAddresses", decode: func(b []byte) error {
		if err := readItem(b, &u); err != nil {
			return fmt.Errorf("the answer is not a user: %w", err)
		}
		if u.ID == "" {
			return errors.New("the answer is not a user: it has no id")
		}
		return nil
	}})
	return u, err
}

// SettingsScope is the permission that MailboxZone and Categories need, over Scopes.
func SettingsScope(graphURL string) string { return graphURL + "/MailboxSettings.Read" }

// SharedScope is the permission, over Scopes, to read the calendars that other people have shared with whoever signs in. It
// is for work and school accounts only.
func SharedScope(graphURL string) string { return graphURL + "/Calendars.Read.Shared" }

// WritePermission is the name of WriteScope, as tokens have it that leave out whose it is.
const WritePermission = "Calendars.ReadWrite"

// WriteScope is the permission to change calendars, in place of the one of Scopes to read them.
func WriteScope(graphURL string) string { return graphURL + "/" + WritePermission }

// SharedWriteScope is SharedScope with the permission to change the calendars of others, as far as they let the person.
func SharedWriteScope(graphURL string) string { return graphURL + "/Calendars.ReadWrite.Shared" }

// MailboxZone reads the mailbox's own time zone, a Windows or IANA name (learn.microsoft.com/graph/api/user-get-mailboxsettings).
func (c *Client) MailboxZone(ctx context.Context) (string, error) {
	const op = "read the mailbox's settings"
	var settings struct {
		TimeZone string `json:"timeZone"`
	}
	err := c.do(ctx, request{op: op, method: "GET", url: c.BaseURL + c.root() + "/mailboxSettings", decode: func(b []byte) error {
		return readItem(b, &settings)
	}})
	return settings.TimeZone, err
}

// Categories reads the master categories, over all pages (learn.microsoft.com/graph/api/outlookuser-list-mastercategories).
func (c *Client) Categories(ctx context.Context) ([]Category, error) {
	var all []Category
	err := pages(ctx, c, "read the categories", c.BaseURL+c.root()+"/outlook/masterCategories", "", func(list []Category) bool {
		all = append(all, list...)
		return true
	})
	return all, err
}

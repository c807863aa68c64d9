package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func (s *Store) EnsureAccount(ctx context.Context, name string) (bridge.Account, error) {
	a, err := s.Account(ctx, name)
	if !errors.Is(err, bridge.ErrNotFound) {
		return a, err
	}
	_, err = s.write.exec(ctx, `INSERT INTO account (name, state) VALUES (?, '{"code":"new"}') ON CONFLICT DO NOTHING`, name)
	if err != nil {
		return bridge.Account{}, fmt.Errorf("make account: %w", err)
	}
	return s.Account(ctx, name)
}

func (s *Store) Account(ctx context.Context, name string) (bridge.Account, error) {
	a, err := cached(ctx, s.cache, &s.cache.accounts, name, func() (bridge.Account, error) {
		if a, ok := requestOf(ctx).account(name); ok {
			return a, nil
		}
		return scanAccount(s.read.row(ctx, selectAccount+` WHERE name = ?`, name))
	})
	if err != nil {
		return a, fmt.Errorf("account %s: %w", name, notFound(err))
	}
	return a, nil
}

func (s *Store) AccountByID(ctx context.Context, id bridge.AccountID) (bridge.Account, error) {
	a, err := scanAccount(s.read.row(ctx, selectAccount+` WHERE id = ?`, id))
	if err != nil {
		return a, fmt.Errorf("account %d: %w", id, notFound(err))
	}
	return a, nil
}

const selectAccount = `
	SELECT id, name, origin = 'page', mailbox, token_version, granted, policy, options, state, state_token, settings, grouped, (SELECT max(good) FROM calendar WHERE account_id = account.id),
		(SELECT value FROM meta WHERE key = 'account/' || account.id || '/identity'),
		tenant, object_id, origin = 'directory', display_name, departed
	FROM account`

func scanAccount(row scanner) (bridge.Account, error) {
	var r accountRow
	if err := row.Scan(r.columns()...); err != nil {
		return r.Account, err
	}
	return r.account()
}

// accountRow is what the columns of selectAccount are read into.
type accountRow struct {
	bridge.Account
	state, settings, policy, options string
	version                          int64
	identity                         []byte
}

func (a *accountRow) columns() []any {
	return []any{&a.ID, &a.Name, &a.Added, &a.Mailbox, &a.TokenVersion, &a.Granted, &a.policy, &a.options, &a.state, &a.version, &a.settings,
		unixTime{&a.Grouped}, unixTime{&a.LastGood}, &a.identity, &a.Tenant, &a.ObjectID, &a.Directory, &a.DisplayName, unixTime{&a.Left}}
}

func (a *accountRow) account() (_ bridge.Account, err error) {
	if a.identity != nil {
		err = json.Unmarshal(a.identity, &a.Identity)
	}
	if a.policy != "" {
		a.Policy = new(bridge.Policy)
		err = errors.Join(err, json.Unmarshal([]byte(a.policy), a.Policy))
	}
	if a.options != "" {
		err = errors.Join(err, json.Unmarshal([]byte(a.options), &a.Options))
	}
	var stateErr error
	a.State, stateErr = readState(a.state)
	a.State.TokenVersion = a.version
	return a.Account, errors.Join(err, stateErr, json.Unmarshal([]byte(a.settings), &a.Settings))
}

func (s *Store) SetSettings(ctx context.Context, id bridge.AccountID, set bridge.Settings) error {
	b, err := json.Marshal(set)
	if err != nil {
		return err
	}
	if _, err := s.write.exec(ctx, `UPDATE account SET settings = ? WHERE id = ?`, string(b), id); err != nil {
		return fmt.Errorf("set account settings: %w", err)
	}
	return nil
}

func (s *Store) SetPolicy(ctx context.Context, id bridge.AccountID, p bridge.Policy) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = s.setting(ctx, func(t tx) error {
		_, err := t.exec(ctx, `UPDATE account SET policy = ? WHERE id = ?`, string(b), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("set account policy: %w", err)
	}
	return nil
}

func (s *Store) SetGrouped(ctx context.Context, id bridge.AccountID, at time.Time) error {
	if _, err := s.write.exec(ctx, `UPDATE account SET grouped = ? WHERE id = ?`, unix(at), id); err != nil {
		return fmt.Errorf("set grouped: %w", err)
	}
	return nil
}

func (s *Store) SetState(ctx context.Context, id bridge.AccountID, st bridge.State) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	_, err = s.write.exec(ctx, `UPDATE account SET state = ?, state_token = ? WHERE id = ?`, string(b), st.TokenVersion, id)
	if err != nil {
		return fmt.Errorf("set account state: %w", err)
	}
	return nil
}

func (s *Store) Tokens(id bridge.AccountID) graph.TokenStore { return tokens{s, id} }

type tokens struct {
	s  *Store
	id bridge.AccountID
}

func (t tokens) row() string { return fmt.Sprintf("account/%d/token", t.id) }

func (t tokens) unseal(box []byte) (*oauth2.Token, error) {
	if box == nil {
		return nil, graph.ErrNoToken
	}
	plain, err := t.s.key.open(box, t.row())
	if err != nil {
		return nil, err
	}
	tok := new(oauth2.Token)
	if err := json.Unmarshal(plain, tok); err != nil {
		return nil, fmt.Errorf("stored token: %w", err)
	}
	return tok, nil
}

func (t tokens) LoadToken(ctx context.Context) (*oauth2.Token, error) {
	var box []byte
	if err := t.s.read.row(ctx, `SELECT token FROM account WHERE id = ?`, t.id).Scan(&box); err != nil {
		return nil, fmt.Errorf("load token: %w", notFound(err))
	}
	return t.unseal(box)
}

func (t tokens) SaveToken(ctx context.Context, old, tok *oauth2.Token) error {
	plain, err := json.Marshal(tok)
	if err != nil {
		return err
	}
	return t.s.write.transact(ctx, func(w tx) error {
		if old != nil {
			var box []byte
			if err := w.row(ctx, `SELECT token FROM account WHERE id = ? FOR NO KEY UPDATE`, t.id).Scan(&box); err != nil {
				return fmt.Errorf("save token: %w", notFound(err))
			}
			have, err := t.unseal(box)
			if errors.Is(err, graph.ErrNoToken) || err == nil && have.RefreshToken != old.RefreshToken {
				return graph.ErrTokenChanged
			}
			if err != nil {
				return err
			}
		}
		return t.put(ctx, w, plain, tok)
	})
}

// put stores a token, plain being its JSON, and which permissions came with it, where the answer said so (RFC 6749 §5.1).
func (t tokens) put(ctx context.Context, w tx, plain []byte, tok *oauth2.Token) error {
	granted, _ := tok.Extra("scope").(string)
	_, err := w.exec(ctx, `UPDATE account SET token = ?, token_version = token_version + 1, granted = coalesce(nullif(?, ''), granted) WHERE id = ?`,
		t.s.key.sealed(plain, t.row()), granted, t.id)
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	return nil
}

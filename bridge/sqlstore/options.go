package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"outbridge/bridge"
)

const (
	metaOptions    = "options"
	metaCredential = "credential"
)

func (s *Store) SetAccountOptions(ctx context.Context, name string, o bridge.AccountOptions) error {
	b, err := json.Marshal(o)
	if err == nil {
		err = s.setting(ctx, func(t tx) error {
			return one(t.exec(ctx, `UPDATE account SET options = ? WHERE name = ? AND origin = 'page'`, string(b), name))
		})
	}
	if err != nil {
		return fmt.Errorf("set options of account %s: %w", name, err)
	}
	return nil
}

func (s *Store) Options(ctx context.Context) (o bridge.Options, err error) {
	value, err := s.meta(ctx, metaOptions)
	if errors.Is(err, bridge.ErrNotFound) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &o)
	}
	if err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	return o, nil
}

func (s *Store) SetOptions(ctx context.Context, o bridge.Options) error {
	value, err := json.Marshal(o)
	if err == nil {
		err = s.setting(ctx, func(t tx) error {
			_, err := t.exec(ctx, putMeta, metaOptions, value)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	return nil
}

func (s *Store) Credential(ctx context.Context) (c bridge.Credential, err error) {
	box, err := s.meta(ctx, metaCredential)
	if errors.Is(err, bridge.ErrNotFound) {
		return c, nil
	}
	var plain []byte
	if err == nil {
		plain, err = s.key.open(box, metaCredential)
	}
	if err == nil {
		err = json.Unmarshal(plain, &c)
	}
	if err != nil {
		return c, fmt.Errorf("app credential: %w", err)
	}
	return c, nil
}

func (s *Store) SetRegistration(ctx context.Context, r bridge.Registration, c bridge.Credential) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return err
	}
	box := s.key.sealed(plain, metaCredential)
	err = s.setting(ctx, func(t tx) error {
		for key, value := range map[string][]byte{metaRegistration: value, metaCredential: box} {
			if _, err := t.exec(ctx, putMeta, key, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set app registration: %w", err)
	}
	return nil
}

const metaSettings = "settings_version"

func (s *Store) SettingsVersion(ctx context.Context) (string, error) {
	value, err := s.meta(ctx, metaSettings)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return "", fmt.Errorf("version of the settings: %w", err)
	}
	return string(value), nil
}

// setting runs f in a transaction that changes what SettingsVersion is of.
func (s *Store) setting(ctx context.Context, f func(tx) error) error {
	return s.write.transact(ctx, func(t tx) error {
		if err := f(t); err != nil {
			return err
		}
		_, err := t.exec(ctx, putMeta, metaSettings, []byte(rand.Text()))
		return err
	})
}

// one is ErrNotFound where a statement has changed nothing.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, bridge.ErrNotFound)
	}
	return nil
}

const putMeta = `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`

func (s *Store) setMeta(ctx context.Context, key string, value []byte) error {
	_, err := s.write.exec(ctx, putMeta, key, value)
	return err
}

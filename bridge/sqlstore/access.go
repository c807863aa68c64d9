package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
)

// newSecret is 26 characters of base32, 130 random bits, in lower case for URLs and for typing on a phone.
func newSecret() string { return strings.ToLower(rand.Text()) }

func (s *Store) AddPassword(ctx context.Context, user, label string, at time.Time) (bridge.Password, string, error) {
	p := bridge.Password{User: user, Label: label, Created: at}
	secret := newSecret()
	err := s.write.row(ctx, `INSERT INTO password (user, label, hash, created) VALUES (?, ?, ?, ?) RETURNING id`,
		user, label, s.key.digest("password", secret), at.Unix()).Scan(&p.ID)
	if err != nil {
		return p, "", fmt.Errorf("add password: %w", err)
	}
	return p, secret, nil
}

func (s *Store) Passwords(ctx context.Context, user string) ([]bridge.Password, error) {
	rows, err := s.read.query(ctx, `SELECT id, user, label, created FROM password WHERE user = ? OR ? = '' ORDER BY user, id`, user, user)
	list, err := collect(rows, err, func(r *sql.Rows) (p bridge.Password, err error) {
		err = r.Scan(&p.ID, &p.User, &p.Label, unixTime{&p.Created})
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list passwords: %w", err)
	}
	return list, nil
}

func (s *Store) RevokePassword(ctx context.Context, user string, id int64) error {
	return s.changeOne(ctx, `DELETE FROM password WHERE user = ? AND id = ?`, user, id)
}

func (s *Store) changeOne(ctx context.Context, query string, args ...any) error {
	res, err := s.write.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, bridge.ErrNotFound)
	}
	return nil
}

type passwordKey struct{ user, hash string }

func (s *Store) CheckPassword(ctx context.Context, user, password string) (label string, ok bool, err error) {
	// The hash is the key of the look-up, so its time tells nothing that helps to guess a password.
	hash := s.key.digest("password", password)
	label, err = cached(ctx, s, passwordKey{user, string(hash)}, func() (label string, err error) {
		err = s.read.row(ctx, `SELECT label FROM password WHERE hash = ? AND user = ?`, hash, user).Scan(&label)
		return label, notFound(err)
	})
	if errors.Is(err, bridge.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("check password: %w", err)
	}
	return label, true, nil
}

// feedJSON are the columns of a feed that are JSON.
func feedJSON(f bridge.Feed) (cals, options string, err error) {
	if f.Calendars == nil {
		f.Calendars = []bridge.CalendarID{}
	}
	c, err := json.Marshal(f.Calendars)
	if err != nil {
		return "", "", err
	}
	o, err := json.Marshal(f.Options)
	return string(c), string(o), err
}

func (s *Store) AddFeed(ctx context.Context, f bridge.Feed) (bridge.Feed, string, error) {
	cals, options, err := feedJSON(f)
	if err != nil {
		return f, "", err
	}
	secret := newSecret()
	f.Salt = s.key.digest("feed", secret)
	err = s.write.row(ctx, `INSERT INTO feed (user, name, hash, calendars, detail, options, created) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		f.User, f.Name, f.Salt, cals, f.Detail, options, f.Created.Unix()).Scan(&f.ID)
	if err != nil {
		return f, "", fmt.Errorf("add feed: %w", err)
	}
	return f, secret, nil
}

func (s *Store) ChangeFeed(ctx context.Context, f bridge.Feed) error {
	cals, options, err := feedJSON(f)
	if err != nil {
		return err
	}
	err = s.changeOne(ctx, `UPDATE feed SET name = ?, calendars = ?, detail = ?, options = ?, changed = ? WHERE user = ? AND id = ?`,
		f.Name, cals, f.Detail, options, unix(f.Changed), f.User, f.ID)
	if err != nil {
		return fmt.Errorf("change feed: %w", err)
	}
	return nil
}

const feedColumns = `id, user, name, calendars, detail, options, created, changed, hash`

func scanFeed(row scanner) (f bridge.Feed, err error) {
	var cals, options []byte
	if err = row.Scan(&f.ID, &f.User, &f.Name, &cals, &f.Detail, &options, unixTime{&f.Created}, unixTime{&f.Changed}, &f.Salt); err != nil {
		return f, err
	}
	return f, errors.Join(json.Unmarshal(cals, &f.Calendars), json.Unmarshal(options, &f.Options))
}

func (s *Store) Feeds(ctx context.Context, user string) ([]bridge.Feed, error) {
	rows, err := s.read.query(ctx, `SELECT `+feedColumns+` FROM feed WHERE user = ? OR ? = '' ORDER BY user, id`, user, user)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Feed, error) { return scanFeed(r) })
	if err != nil {
		return nil, fmt.Errorf("list feeds: %w", err)
	}
	return list, nil
}

func (s *Store) RotateFeed(ctx context.Context, user string, id bridge.FeedID) (string, error) {
	secret := newSecret()
	err := s.changeOne(ctx, `UPDATE feed SET hash = ? WHERE user = ? AND id = ?`, s.key.digest("feed", secret), user, id)
	if err != nil {
		return "", fmt.Errorf("rotate feed: %w", err)
	}
	return secret, nil
}

func (s *Store) RemoveFeed(ctx context.Context, user string, id bridge.FeedID) error {
	return s.changeOne(ctx, `DELETE FROM feed WHERE user = ? AND id = ?`, user, id)
}

func (s *Store) FeedBySecret(ctx context.Context, secret string) (bridge.Feed, error) {
	f, err := scanFeed(s.read.row(ctx, `SELECT `+feedColumns+` FROM feed WHERE hash = ?`, s.key.digest("feed", secret)))
	if err != nil {
		return f, fmt.Errorf("find feed: %w", notFound(err))
	}
	return f, nil
}

package sqlstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
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
	rows, err := s.read.query(ctx, `SELECT id, user, label, created, used, client FROM password WHERE user = ? OR ? = '' ORDER BY user, id`, user, user)
	list, err := collect(rows, err, func(r *sql.Rows) (p bridge.Password, err error) {
		err = r.Scan(&p.ID, &p.User, &p.Label, unixTime{&p.Created}, unixTime{&p.Used}, &p.Client)
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

type passwordKey struct {
	user string
	hash [sha256.Size]byte
}

// passwordRow is what a request needs of an app password.
type passwordRow struct {
	id    int64
	label string
}

// ofNoLeaver is a condition on rows of a user: the person has not left the organization. It holds on every machine from the moment
// that it is known.
const ofNoLeaver = ` AND NOT EXISTS (SELECT 1 FROM account WHERE account.name = user AND account.departed IS NOT NULL)`

func (s *Store) CheckPassword(ctx context.Context, user, password string) (label string, ok bool, err error) {
	// The hash is the key of the look-up, so its time tells nothing that helps to guess a password.
	hash := s.key.digest("password", password)
	row, err := cached(ctx, s.cache, &s.cache.passwords, passwordKey{user, [sha256.Size]byte(hash)}, func() (row passwordRow, err error) {
		if row, ok := s.passwordForPoll(ctx, hash, user); ok {
			return row, nil
		}
		err = s.read.row(ctx, `SELECT id, label FROM password WHERE hash = ? AND user = ?`+ofNoLeaver, hash, user).Scan(&row.id, &row.label)
		return row, notFound(err)
	})
	if errors.Is(err, bridge.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("check password: %w", err)
	}
	s.uses.note(ctx, "password", row.id)
	return row.label, true, nil
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
	err = s.write.row(ctx, `INSERT INTO feed (user, name, hash, calendars, detail, options, created, kept, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		f.User, f.Name, f.Salt, cals, f.Detail, options, f.Created.Unix(), f.Kept, s.keptSecret(f.Kept, secret)).Scan(&f.ID)
	if err != nil {
		return f, "", fmt.Errorf("add feed: %w", err)
	}
	f.Readable = f.Kept
	return f, secret, nil
}

func (s *Store) ChangeFeed(ctx context.Context, f bridge.Feed) error {
	cals, options, err := feedJSON(f)
	if err != nil {
		return err
	}
	err = s.changeOne(ctx, `UPDATE feed SET name = ?1, calendars = ?2, detail = ?3, options = ?4, changed = ?5, kept = ?6, sealed = CASE WHEN ?7 = 1 THEN sealed END WHERE user = ?8 AND id = ?9`,
		f.Name, cals, f.Detail, options, unix(f.Changed), f.Kept, f.Kept, f.User, f.ID)
	if err != nil {
		return fmt.Errorf("change feed: %w", err)
	}
	return nil
}

const feedColumns = `id, user, name, calendars, detail, options, created, changed, hash, used, client, kept, sealed IS NOT NULL`

func scanFeed(row scanner) (f bridge.Feed, err error) {
	var cals, options []byte
	if err = row.Scan(&f.ID, &f.User, &f.Name, &cals, &f.Detail, &options, unixTime{&f.Created}, unixTime{&f.Changed}, &f.Salt, unixTime{&f.Used}, &f.Client, &f.Kept, &f.Readable); err != nil {
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

// keptSecret is the secret of a feed as it is kept to be read again, NULL where it is not. It is bound to its own hash.
func (s *Store) keptSecret(keep bool, secret string) []byte {
	if !keep {
		return nil
	}
	return s.key.sealed([]byte(secret), feedSeal(s.key.digest("feed", secret)))
}

func feedSeal(hash []byte) string { return "feed/" + hex.EncodeToString(hash) }

func (s *Store) FeedSecret(ctx context.Context, user string, id bridge.FeedID) (string, error) {
	var hash, box []byte
	err := notFound(s.read.row(ctx, `SELECT hash, sealed FROM feed WHERE user = ? AND id = ? AND sealed IS NOT NULL`, user, id).Scan(&hash, &box))
	var secret []byte
	if err == nil {
		secret, err = s.key.open(box, feedSeal(hash))
	}
	if err != nil {
		return "", fmt.Errorf("read feed address: %w", err)
	}
	return string(secret), nil
}

func (s *Store) RotateFeed(ctx context.Context, user string, id bridge.FeedID) (string, error) {
	secret := newSecret()
	err := s.changeOne(ctx, `UPDATE feed SET hash = ?, sealed = CASE WHEN kept = 1 THEN coalesce(?, sealed) END WHERE user = ? AND id = ?`,
		s.key.digest("feed", secret), s.keptSecret(true, secret), user, id)
	if err != nil {
		return "", fmt.Errorf("rotate feed: %w", err)
	}
	return secret, nil
}

func (s *Store) RemoveFeed(ctx context.Context, user string, id bridge.FeedID) error {
	return s.changeOne(ctx, `DELETE FROM feed WHERE user = ? AND id = ?`, user, id)
}

func (s *Store) FeedBySecret(ctx context.Context, secret string) (bridge.Feed, error) {
	f, err := scanFeed(s.read.row(ctx, `SELECT `+feedColumns+` FROM feed WHERE hash = ?`+ofNoLeaver, s.key.digest("feed", secret)))
	if err != nil {
		return f, fmt.Errorf("find feed: %w", notFound(err))
	}
	s.uses.note(ctx, "feed", int64(f.ID))
	return f, nil
}

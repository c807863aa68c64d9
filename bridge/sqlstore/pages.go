package sqlstore

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
)

// Keys of the meta table.
const (
	metaAdministrator = "administrator"
	metaRegistration  = "registration"
	metaNetwork       = "network/" // and the hash of a network
)

func (s *Store) meta(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := s.read.row(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&value)
	return value, notFound(err)
}

func (s *Store) Administrator(ctx context.Context) (string, error) {
	hash, err := s.meta(ctx, metaAdministrator)
	if err != nil {
		return "", fmt.Errorf("administrator: %w", err)
	}
	return string(hash), nil
}

// metaSetupCode is where the code that sets the first administrator is, sealed.
const metaSetupCode = "setup_code"

func (s *Store) SetupCode(ctx context.Context, fresh string) (string, error) {
	box := s.key.sealed([]byte(fresh), metaSetupCode)
	_, err := s.write.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`, metaSetupCode, box)
	var kept, code []byte
	if err == nil {
		kept, err = s.meta(ctx, metaSetupCode)
	}
	if err == nil {
		code, err = s.key.open(kept, metaSetupCode)
	}
	if errors.Is(err, bridge.ErrWrongKey) { // of a key that was lost
		code = []byte(fresh)
		_, err = s.write.exec(ctx, `UPDATE meta SET value = ? WHERE key = ?`, box, metaSetupCode)
	}
	if err != nil {
		return "", fmt.Errorf("setup code: %w", err)
	}
	return string(code), nil
}

func (s *Store) SetAdministrator(ctx context.Context, hash string, first bool) error {
	conflict := `DO UPDATE SET value = excluded.value`
	if first {
		conflict = `DO NOTHING`
	}
	err := s.write.transact(ctx, func(t tx) error {
		res, err := t.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) `+conflict, metaAdministrator, []byte(hash))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, bridge.ErrExists)
		}
		if _, err := t.exec(ctx, `DELETE FROM meta WHERE key = ?`, metaSetupCode); err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM session WHERE person_id IS NULL`)
		return err
	})
	if err != nil {
		return fmt.Errorf("set administrator: %w", err)
	}
	return nil
}

func (s *Store) Registration(ctx context.Context) (r bridge.Registration, err error) {
	value, err := s.meta(ctx, metaRegistration)
	if errors.Is(err, bridge.ErrNotFound) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &r)
	}
	if err != nil {
		return r, fmt.Errorf("app registration: %w", err)
	}
	return r, nil
}

const sessionColumns = `id, coalesce(person_id, 0), role, agent, created, seen, expires`

func scanSession(row scanner) (v bridge.Session, err error) {
	err = row.Scan(&v.ID, &v.Person, &v.Role, &v.Agent, unixTime{&v.Created}, unixTime{&v.Seen}, unixTime{&v.Expires})
	return v, err
}

func (s *Store) AddSession(ctx context.Context, v bridge.Session) (bridge.Session, string, error) {
	secret := newSecret()
	err := s.write.row(ctx, `INSERT INTO session (hash, person_id, role, agent, created, seen, expires) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		s.key.digest("session", secret), ofPerson(v.Person), v.Role, v.Agent, v.Created.Unix(), v.Seen.Unix(), v.Expires.Unix()).Scan(&v.ID)
	if err != nil {
		return v, "", fmt.Errorf("add session: %w", err)
	}
	return v, secret, nil
}

func (s *Store) SessionBySecret(ctx context.Context, secret string, now time.Time) (bridge.Session, error) {
	v, err := scanSession(s.read.row(ctx, `SELECT `+sessionColumns+` FROM session WHERE hash = ? AND expires > ?`,
		s.key.digest("session", secret), now.Unix()))
	if err != nil {
		return v, fmt.Errorf("find session: %w", notFound(err))
	}
	return v, nil
}

func (s *Store) ProlongSession(ctx context.Context, id int64, seen, expires time.Time) error {
	_, err := s.write.exec(ctx, `UPDATE session SET seen = ?, expires = ? WHERE id = ?`, seen.Unix(), expires.Unix(), id)
	if err != nil {
		return fmt.Errorf("prolong session: %w", err)
	}
	return nil
}

// ofPerson is a person as a row refers to them: NULL for nobody.
func ofPerson(id bridge.PersonID) sql.NullInt64 {
	return sql.NullInt64{Int64: int64(id), Valid: id != 0}
}

func (s *Store) Sessions(ctx context.Context, of bridge.PersonID, now time.Time) ([]bridge.Session, error) {
	rows, err := s.read.query(ctx, `SELECT `+sessionColumns+` FROM session WHERE coalesce(person_id, 0) = ? AND expires > ? ORDER BY seen DESC, id DESC`, of, now.Unix())
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Session, error) { return scanSession(r) })
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

func (s *Store) EndSessions(ctx context.Context, of bridge.PersonID, now time.Time, ids ...int64) error {
	err := s.write.transact(ctx, func(t tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, `DELETE FROM session WHERE id = ? AND coalesce(person_id, 0) = ?`, id, of); err != nil {
				return err
			}
		}
		if len(ids) == 0 {
			if _, err := t.exec(ctx, `DELETE FROM session WHERE coalesce(person_id, 0) = ?`, of); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `DELETE FROM session WHERE expires <= ?`, now.Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}

func (s *Store) NewBrowser() string {
	id := newSecret()
	return id + s.browserProof(id)
}

func (s *Store) Browser(mark string) (string, bool) {
	if len(mark) != 2*len(newSecret()) {
		return "", false
	}
	id, proof := mark[:len(mark)/2], mark[len(mark)/2:]
	return id, hmac.Equal([]byte(proof), []byte(s.browserProof(id)))
}

// browserProof is as long as the id.
func (s *Store) browserProof(id string) string {
	return hex.EncodeToString(s.key.digest("browser", id))[:len(id)]
}

const maxNetworks = 64

func (s *Store) KnowNetwork(ctx context.Context, network string, at time.Time) error {
	err := s.write.transact(ctx, func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
			s.networkKey(network), fmt.Appendf(nil, "%020d", at.Unix()))
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM meta WHERE key LIKE 'network/%' AND key NOT IN (
			SELECT key FROM meta WHERE key LIKE 'network/%' ORDER BY value DESC, key LIMIT ?)`, maxNetworks)
		return err
	})
	if err != nil {
		return fmt.Errorf("remember network: %w", err)
	}
	return nil
}

func (s *Store) NetworkKnown(ctx context.Context, network string) (bool, error) {
	_, err := s.meta(ctx, s.networkKey(network))
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return false, fmt.Errorf("find network: %w", err)
	}
	return err == nil, nil
}

func (s *Store) networkKey(network string) string {
	return metaNetwork + hex.EncodeToString(s.key.digest("network", network))
}

func (s *Store) AddAccount(ctx context.Context, name, mailbox string) (bridge.Account, error) {
	// An account that has left the configuration is taken over with what it has.
	err := s.setting(ctx, func(t tx) error {
		err := one(t.exec(ctx, `
			INSERT INTO account (name, state, origin, mailbox) VALUES (?, '{"code":"new"}', 'page', ?)
			ON CONFLICT (name) DO UPDATE SET origin = excluded.origin, mailbox = excluded.mailbox WHERE account.origin = ''`, name, mailbox))
		if errors.Is(err, bridge.ErrNotFound) {
			return bridge.ErrExists
		}
		return err
	})
	if err != nil {
		return bridge.Account{}, fmt.Errorf("add account %s: %w", name, err)
	}
	return s.Account(ctx, name)
}

func (s *Store) AddedAccounts(ctx context.Context) ([]bridge.Account, error) {
	rows, err := s.read.query(ctx, selectAccount+` WHERE origin = 'page' ORDER BY name`)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Account, error) { return scanAccount(r) })
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return list, nil
}

// Accounts lists all accounts by name, those that have left the configuration too.
func (s *Store) Accounts(ctx context.Context) ([]bridge.Account, error) {
	rows, err := s.read.query(ctx, selectAccount+` ORDER BY name`)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Account, error) { return scanAccount(r) })
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return list, nil
}

func (s *Store) RemoveAccount(ctx context.Context, name string) error {
	err := s.setting(ctx, func(t tx) error {
		var id int64
		if err := t.row(ctx, `DELETE FROM account WHERE name = ? AND origin = 'page' RETURNING id`, name).Scan(&id); err != nil {
			return notFound(err)
		}
		return removeRest(ctx, t, id, name)
	})
	if err != nil {
		return fmt.Errorf("remove account %s: %w", name, err)
	}
	return nil
}

// removeRest removes what is of an account and does not go with its row.
func removeRest(ctx context.Context, t tx, id int64, name string) error {
	if _, err := t.exec(ctx, `DELETE FROM meta WHERE key LIKE ?`, fmt.Sprintf("account/%d/%%", id)); err != nil {
		return err
	}
	for _, table := range []string{"password", "feed", "property", "ticket"} {
		if _, err := t.exec(ctx, `DELETE FROM `+table+` WHERE user = ?`, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) AddTicket(ctx context.Context, v bridge.Ticket) (string, error) {
	secret := newSecret()
	_, err := s.write.exec(ctx, `INSERT INTO ticket (hash, user, label, expires) VALUES (?, ?, ?, ?)`,
		s.key.digest("ticket", secret), v.User, v.Label, v.Expires.Unix())
	if err != nil {
		return "", fmt.Errorf("add ticket: %w", err)
	}
	return secret, nil
}

func (s *Store) TakeTicket(ctx context.Context, secret string, now time.Time) (v bridge.Ticket, err error) {
	err = s.write.transact(ctx, func(t tx) error {
		if _, err := t.exec(ctx, `DELETE FROM ticket WHERE expires <= ?`, now.Unix()); err != nil {
			return err
		}
		return t.row(ctx, `DELETE FROM ticket WHERE hash = ? RETURNING user, label, expires`, s.key.digest("ticket", secret)).
			Scan(&v.User, &v.Label, unixTime{&v.Expires})
	})
	if err != nil {
		return v, fmt.Errorf("take ticket: %w", notFound(err))
	}
	return v, nil
}

func (s *Store) EventLosses(ctx context.Context, id bridge.CalendarID, limit int) ([]bridge.EventLoss, error) {
	list, err := s.eventLosses(ctx, `loss_count > 0 ORDER BY first_start DESC NULLS LAST, series.id LIMIT ?`, id, limit)
	return list[:min(len(list), limit)], err
}

func (s *Store) ObjectLosses(ctx context.Context, o bridge.Object) ([]bridge.EventLoss, error) {
	return s.eventLosses(ctx, `loss_count > 0 AND series.id = ?`, o.Calendar, o.Series)
}

// eventLosses lists the losses of those series of a calendar that a condition selects.
func (s *Store) eventLosses(ctx context.Context, which string, args ...any) ([]bridge.EventLoss, error) {
	type row struct {
		bridge.EventLoss
		series string
		losses []byte
	}
	// The title and the time are those of the series; a loss of one occurrence is found by them as well.
	rows, err := s.read.query(ctx, `
		SELECT series.id, losses, coalesce(event.subject, ''), first_start
		FROM series LEFT JOIN event ON event.calendar_id = series.calendar_id AND event.id = series.id
		WHERE series.calendar_id = ? AND `+which, args...)
	list, err := collect(rows, err, func(r *sql.Rows) (v row, err error) {
		err = r.Scan(&v.series, &v.losses, &v.Subject, unixTime{&v.Start})
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("list losses: %w", err)
	}
	var all []bridge.EventLoss
	for _, v := range list {
		var of []bridge.EventLoss
		if err := json.Unmarshal(v.losses, &of); err != nil {
			return nil, fmt.Errorf("losses of series %s: %w", v.series, err)
		}
		for _, l := range of {
			l.Subject, l.Start = strings.TrimSpace(v.Subject), v.Start
			all = append(all, l)
		}
	}
	return all, nil
}

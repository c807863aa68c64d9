package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"outbridge/bridge"
)

const personColumns = `id, name, tenant, object_id, hash <> '', invited, created`

func scanPerson(row scanner) (p bridge.Person, err error) {
	err = row.Scan(&p.ID, &p.Name, &p.Tenant, &p.ObjectID, &p.Password, &p.Invited, unixTime{&p.Created})
	return p, err
}

func (s *Store) Person(ctx context.Context, id bridge.PersonID) (bridge.Person, error) {
	p, err := scanPerson(s.read.row(ctx, `SELECT `+personColumns+` FROM person WHERE id = ?`, id))
	if err != nil {
		return p, fmt.Errorf("person: %w", notFound(err))
	}
	return p, nil
}

func (s *Store) PersonByIdentity(ctx context.Context, tenant, objectID string) (bridge.Person, error) {
	// Nobody is found by an identity that they do not have.
	p, err := scanPerson(s.read.row(ctx, `SELECT `+personColumns+` FROM person WHERE tenant = ? AND object_id = ? AND object_id <> ''`,
		strings.ToLower(tenant), strings.ToLower(objectID)))
	if err != nil {
		return p, fmt.Errorf("person: %w", notFound(err))
	}
	return p, nil
}

func (s *Store) PersonByName(ctx context.Context, name string) (bridge.Person, string, error) {
	p, err := scanPerson(s.read.row(ctx, `SELECT `+personColumns+` FROM person WHERE name = ?`, name))
	var hash string
	if err == nil {
		err = s.read.row(ctx, `SELECT hash FROM person WHERE id = ?`, p.ID).Scan(&hash)
	}
	if err != nil {
		return p, "", fmt.Errorf("person: %w", notFound(err))
	}
	return p, hash, nil
}

func (s *Store) People(ctx context.Context) ([]bridge.Person, error) {
	rows, err := s.read.query(ctx, `SELECT `+personColumns+` FROM person ORDER BY name`)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Person, error) { return scanPerson(r) })
	if err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	return list, nil
}

func (s *Store) AddPerson(ctx context.Context, p bridge.Person, hash string) (bridge.Person, error) {
	err := s.write.transact(ctx, func(t tx) (err error) {
		p, err = addPerson(ctx, t, p, hash)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("add person: %w", err)
	}
	return p, nil
}

func addPerson(ctx context.Context, t tx, p bridge.Person, hash string) (bridge.Person, error) {
	p.Tenant, p.ObjectID, p.Password = strings.ToLower(p.Tenant), strings.ToLower(p.ObjectID), hash != ""
	err := t.row(ctx, `INSERT INTO person (name, tenant, object_id, hash, invited, created) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		p.Name, p.Tenant, p.ObjectID, hash, oneIf(p.Invited), p.Created.Unix()).Scan(&p.ID)
	if errors.Is(err, sql.ErrNoRows) {
		err = bridge.ErrExists
	}
	return p, err
}

func (s *Store) SetPersonPassword(ctx context.Context, id bridge.PersonID, hash string) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.row(ctx, `UPDATE person SET hash = ? WHERE id = ? RETURNING id`, hash, id).Scan(&id); err != nil {
			return notFound(err)
		}
		_, err := t.exec(ctx, `DELETE FROM session WHERE person_id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("set password of a person: %w", err)
	}
	return nil
}

func (s *Store) RemovePerson(ctx context.Context, id bridge.PersonID) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := holdPerson(ctx, t, id); err != nil {
			return err
		}
		var own int
		err := t.row(ctx, `SELECT count(*) FROM account_owner o JOIN account a ON a.id = o.account_id WHERE o.person_id = ? AND o.given = 0 AND a.object_id = ''`, id).Scan(&own)
		if err == nil && own > 0 {
			return bridge.ErrExists
		}
		if err == nil {
			_, err = t.exec(ctx, `DELETE FROM person WHERE id = ?`, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove person: %w", err)
	}
	return nil
}

// holdPerson keeps the row of a person until the transaction ends, so that nobody is removed while an account becomes theirs: it would be
// nobody's then, and the administrator's to read.
func holdPerson(ctx context.Context, t tx, id bridge.PersonID) error {
	return notFound(t.row(ctx, `UPDATE person SET invited = invited WHERE id = ? RETURNING id`, id).Scan(&id))
}

func (s *Store) OwnerOf(ctx context.Context, account string) (o bridge.Owner, err error) {
	// An account that says whose it is belongs to them alone, and to nobody who is here once they have left.
	err = s.read.row(ctx, `SELECT CASE WHEN a.object_id = '' THEN coalesce(o.person_id, 0) WHEN a.departed IS NULL THEN coalesce(p.id, 0) ELSE 0 END,
			a.object_id = '' AND coalesce(o.given, 0) = 1, a.object_id <> '' OR o.person_id IS NOT NULL
		FROM account a LEFT JOIN account_owner o ON o.account_id = a.id
			LEFT JOIN person p ON p.tenant = a.tenant AND p.object_id = a.object_id AND p.object_id <> ''
		WHERE a.name = ?`, account).Scan(&o.Person, &o.Given, &o.Owned)
	if err = notFound(err); err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return o, fmt.Errorf("owner of account %s: %w", account, err)
	}
	return o, nil
}

func (s *Store) OwnedBy(ctx context.Context, id bridge.PersonID) ([]string, error) {
	rows, err := s.read.query(ctx, `SELECT a.name AS name FROM account_owner o JOIN account a ON a.id = o.account_id WHERE o.person_id = ? AND a.object_id = ''
		UNION SELECT a.name FROM person p JOIN account a ON a.tenant = p.tenant AND a.object_id = p.object_id
		WHERE p.id = ? AND a.object_id <> '' AND a.departed IS NULL ORDER BY name`, id, id)
	list, err := collect(rows, err, func(r *sql.Rows) (name string, err error) { return name, r.Scan(&name) })
	if err != nil {
		return nil, fmt.Errorf("accounts of a person: %w", err)
	}
	return list, nil
}

func (s *Store) Owned(ctx context.Context) (map[bridge.PersonID][]string, error) {
	rows, err := s.read.query(ctx, `SELECT o.person_id AS person, a.name AS name FROM account_owner o JOIN account a ON a.id = o.account_id WHERE a.object_id = ''
		UNION SELECT p.id, a.name FROM person p JOIN account a ON a.tenant = p.tenant AND a.object_id = p.object_id
		WHERE a.object_id <> '' AND a.departed IS NULL ORDER BY name`)
	all := map[bridge.PersonID][]string{}
	_, err = collect(rows, err, func(r *sql.Rows) (none struct{}, err error) {
		var id bridge.PersonID
		var name string
		if err = r.Scan(&id, &name); err == nil {
			all[id] = append(all[id], name)
		}
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("accounts of all people: %w", err)
	}
	return all, nil
}

func (s *Store) SetOwner(ctx context.Context, account string, id bridge.PersonID, given bool) error {
	err := s.write.transact(ctx, func(t tx) error { return setOwner(ctx, t, account, id, given) })
	if err != nil {
		return fmt.Errorf("set owner of account %s: %w", account, err)
	}
	return nil
}

func setOwner(ctx context.Context, t tx, account string, id bridge.PersonID, given bool) error {
	var row int64
	var theirs bool
	if err := t.row(ctx, `SELECT id, object_id <> '' FROM account WHERE name = ?`, account).Scan(&row, &theirs); err != nil {
		return notFound(err)
	}
	if theirs {
		return bridge.ErrExists
	}
	if err := holdPerson(ctx, t, id); err != nil {
		return err
	}
	err := t.row(ctx, `INSERT INTO account_owner (account_id, person_id, given) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING account_id`,
		row, id, oneIf(given)).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		err = bridge.ErrExists
	}
	return err
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

const invitationColumns = `id, name, account, created, expires`

func scanInvitation(row scanner) (i bridge.Invitation, err error) {
	err = row.Scan(&i.ID, &i.Name, &i.Account, unixTime{&i.Created}, unixTime{&i.Expires})
	return i, err
}

func (s *Store) AddInvitation(ctx context.Context, i bridge.Invitation) (bridge.Invitation, string, error) {
	secret := newSecret()
	err := s.write.transact(ctx, func(t tx) error {
		if _, err := t.exec(ctx, `DELETE FROM invitation WHERE expires <= ?`, i.Created.Unix()); err != nil {
			return err
		}
		return t.row(ctx, `INSERT INTO invitation (hash, name, account, created, expires) VALUES (?, ?, ?, ?, ?) RETURNING id`,
			s.key.digest("invitation", secret), i.Name, i.Account, i.Created.Unix(), i.Expires.Unix()).Scan(&i.ID)
	})
	if err != nil {
		return i, "", fmt.Errorf("add invitation: %w", err)
	}
	return i, secret, nil
}

func (s *Store) Invitations(ctx context.Context, now time.Time) ([]bridge.Invitation, error) {
	rows, err := s.read.query(ctx, `SELECT `+invitationColumns+` FROM invitation WHERE expires > ? ORDER BY created, id`, now.Unix())
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Invitation, error) { return scanInvitation(r) })
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return list, nil
}

func (s *Store) Invitation(ctx context.Context, secret string, now time.Time) (bridge.Invitation, error) {
	i, err := scanInvitation(s.read.row(ctx, `SELECT `+invitationColumns+` FROM invitation WHERE hash = ? AND expires > ?`,
		s.key.digest("invitation", secret), now.Unix()))
	if err != nil {
		return i, fmt.Errorf("find invitation: %w", notFound(err))
	}
	return i, nil
}

func (s *Store) RevokeInvitation(ctx context.Context, id int64) error {
	err := s.write.row(ctx, `DELETE FROM invitation WHERE id = ? RETURNING id`, id).Scan(&id)
	if err != nil {
		return fmt.Errorf("revoke invitation: %w", notFound(err))
	}
	return nil
}

func (s *Store) AcceptInvitation(ctx context.Context, secret string, p bridge.Person, hash string, now time.Time) (bridge.Person, bridge.Invitation, error) {
	var i bridge.Invitation
	err := s.write.transact(ctx, func(t tx) (err error) {
		i, err = scanInvitation(t.row(ctx, `DELETE FROM invitation WHERE hash = ? AND expires > ? RETURNING `+invitationColumns,
			s.key.digest("invitation", secret), now.Unix()))
		if err != nil {
			return notFound(err)
		}
		p.Invited = true
		if p, err = addPerson(ctx, t, p, hash); err != nil || i.Account == "" {
			return err
		}
		// What nobody has signed in yet will be the person's mailbox, and not the administrator's to have back.
		var signedIn bool
		if err := t.row(ctx, `SELECT token_version > 0 OR mailbox <> '' FROM account WHERE name = ?`, i.Account).Scan(&signedIn); err != nil {
			return notFound(err)
		}
		return setOwner(ctx, t, i.Account, p.ID, signedIn)
	})
	if err != nil {
		return p, i, fmt.Errorf("accept invitation: %w", err)
	}
	return p, i, nil
}

func (s *Store) AddRecord(ctx context.Context, r bridge.Record) error {
	err := s.write.transact(ctx, func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO record (at, what, who, role, network, whom, detail, browser) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.At.Unix(), r.What, r.Who, r.Role, r.Network, r.Whom, r.Detail, r.Browser)
		if err == nil {
			_, err = t.exec(ctx, `DELETE FROM record WHERE at < ?`, r.At.Add(-bridge.RecordLife).Unix())
		}
		if err == nil && r.What == bridge.ActSignInRefused {
			_, err = t.exec(ctx, `DELETE FROM record WHERE what = ? AND id <= (
				SELECT id FROM record WHERE what = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`, r.What, r.What, bridge.MaxRefused)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("add record: %w", err)
	}
	return nil
}

func (s *Store) Records(ctx context.Context, before int64, limit int) ([]bridge.Record, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	rows, err := s.read.query(ctx, `SELECT id, at, what, who, role, network, whom, detail, browser FROM record
		WHERE id < ? ORDER BY id DESC LIMIT ?`, before, limit)
	list, err := collect(rows, err, func(row *sql.Rows) (r bridge.Record, err error) {
		err = row.Scan(&r.ID, unixTime{&r.At}, &r.What, &r.Who, &r.Role, &r.Network, &r.Whom, &r.Detail, &r.Browser)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	return list, nil
}

package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

const (
	// intentFacts are the columns of an intent that do not grow with what is written.
	intentFacts = `id, account_id, coalesce(calendar_id, 0), calendar_name, name, uid, summary, series, operation, user, password, client,
		body_hash, step, begun, transaction_id, state, refusal, mails, created, changed`
	intentColumns = intentFacts + `, octets, base, plan, results`
)

func scanIntent(row scanner, whole bool) (i bridge.Intent, err error) {
	var refusal, plan, results string
	into := []any{&i.ID, &i.Account, &i.Calendar, &i.In, &i.Name, &i.UID, &i.Summary, &i.Series, &i.Operation, &i.User, &i.Password, &i.Client,
		&i.BodyHash, &i.Step, &i.Begun, &i.Transaction, &i.State, &refusal, &i.Mails, unixTime{&i.Created}, unixTime{&i.Changed}}
	if whole {
		into = append(into, &i.Octets, &i.Base, &plan, &results)
	}
	if err = row.Scan(into...); err != nil {
		return i, err
	}
	if refusal != "" {
		i.Refusal = new(convert.Refusal)
		err = json.Unmarshal([]byte(refusal), i.Refusal)
	}
	if plan != "" {
		err = errors.Join(err, json.Unmarshal([]byte(plan), &i.Plan))
	}
	if results != "" {
		err = errors.Join(err, json.Unmarshal([]byte(results), &i.Results))
	}
	return i, err
}

// intentJSON are the parts of an intent that are kept as JSON.
func intentJSON(i bridge.Intent) (plan, results, refusal string, err error) {
	p, planErr := json.Marshal(i.Plan)
	r, resultsErr := json.Marshal(i.Results)
	if i.Refusal != nil {
		b, refusalErr := json.Marshal(i.Refusal)
		refusal, err = string(b), refusalErr
	}
	return string(p), string(r), refusal, errors.Join(err, planErr, resultsErr)
}

func (s *Store) AddIntent(ctx context.Context, i bridge.Intent) (bridge.Intent, error) {
	plan, results, refusal, err := intentJSON(i)
	if err != nil {
		return i, fmt.Errorf("add intent: %w", err)
	}
	err = s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, i.Calendar); err != nil {
			return err
		}
		if i.State == bridge.IntentOpen {
			open, err := scanIntent(t.row(ctx, `
				SELECT `+intentColumns+` FROM intent WHERE id = coalesce(
					(SELECT id FROM intent WHERE calendar_id = ?1 AND name = ?2 AND state = 'open'),
					(SELECT id FROM intent WHERE calendar_id = ?1 AND series = ?3 AND state = 'open' AND series <> ''))`,
				i.Calendar, i.Name, i.Series), true)
			if err == nil {
				i = open
				return bridge.ErrExists
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		err := notFound(t.row(ctx, `
			INSERT INTO intent (account_id, calendar_id, calendar_name, name, uid, summary, series, operation, user, password, client,
				body_hash, octets, base, plan, step, begun, results, transaction_id, state, refusal, mails, created, changed)
			SELECT account_id, id, name, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22
			FROM calendar WHERE id = ?1 RETURNING id, account_id, calendar_name`,
			i.Calendar, i.Name, i.UID, i.Summary, i.Series, i.Operation, i.User, i.Password, i.Client,
			i.BodyHash, i.Octets, i.Base, plan, i.Step, i.Begun, results, i.Transaction, i.State, refusal, i.Mails, i.Created.Unix(), i.Changed.Unix()).
			Scan(&i.ID, &i.Account, &i.In))
		if t.isUnique(err, "intent") {
			return errAgain // SaveIntent has given another one that series, and it is found now
		}
		if err != nil {
			return err
		}
		for digest, octets := range i.Files {
			if _, err := t.exec(ctx, `INSERT INTO intent_file (intent_id, digest, octets) VALUES (?, ?, ?)`, i.ID, digest, octets); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return i, fmt.Errorf("add intent: %w", err)
	}
	return i, nil
}

func (s *Store) SaveIntent(ctx context.Context, i bridge.Intent) error {
	plan, results, refusal, err := intentJSON(i)
	if err != nil {
		return fmt.Errorf("save intent: %w", err)
	}
	err = s.write.transact(ctx, func(t tx) error {
		res, err := t.exec(ctx, `
			UPDATE intent SET name = ?, uid = ?, summary = ?, series = ?, octets = ?, base = ?, plan = ?, step = ?, begun = ?, results = ?,
				transaction_id = ?, state = ?, refusal = ?, mails = ?, changed = ? WHERE id = ?`,
			i.Name, i.UID, i.Summary, i.Series, i.Octets, i.Base, plan, i.Step, i.Begun, results,
			i.Transaction, i.State, refusal, i.Mails, i.Changed.Unix(), i.ID)
		if err != nil {
			if t.isUnique(err, "intent") {
				return bridge.ErrExists
			}
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, bridge.ErrNotFound)
		}
		if i.State != bridge.IntentOpen {
			_, err = t.exec(ctx, `DELETE FROM intent_file WHERE intent_id = ?`, i.ID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("save intent %d: %w", i.ID, err)
	}
	return nil
}

func (s *Store) OpenIntents(ctx context.Context, id bridge.AccountID) ([]bridge.Intent, error) {
	rows, err := s.read.query(ctx, `SELECT `+intentColumns+` FROM intent WHERE account_id = ? AND state = 'open' ORDER BY id`, id)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Intent, error) { return scanIntent(r, true) })
	if err != nil {
		return nil, fmt.Errorf("list open intents: %w", err)
	}
	return list, nil
}

func (s *Store) Intents(ctx context.Context, id bridge.AccountID, limit int) ([]bridge.Intent, error) {
	query, args := `SELECT `+intentFacts+` FROM intent WHERE account_id = ? ORDER BY id DESC LIMIT ?`, []any{id, limit}
	if id == 0 {
		query, args = `SELECT `+intentFacts+` FROM intent ORDER BY id DESC LIMIT ?`, args[1:]
	}
	rows, err := s.read.query(ctx, query, args...)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Intent, error) { return scanIntent(r, false) })
	if err != nil {
		return nil, fmt.Errorf("list intents: %w", err)
	}
	return list, nil
}

func (s *Store) SameIntent(ctx context.Context, id bridge.CalendarID, name, bodyHash string, since time.Time) (bridge.Intent, error) {
	i, err := scanIntent(s.read.row(ctx, `
		SELECT `+intentColumns+` FROM intent WHERE calendar_id = ? AND name = ? AND body_hash = ? AND created >= ? ORDER BY id DESC LIMIT 1`,
		id, name, bodyHash, since.Unix()), true)
	if err != nil {
		return i, fmt.Errorf("find intent: %w", notFound(err))
	}
	return i, nil
}

func (s *Store) MailsSince(ctx context.Context, id bridge.AccountID, since time.Time) (operations, recipients int, err error) {
	err = s.read.row(ctx, `
		SELECT count(*), coalesce(sum(mails), 0) FROM intent INDEXED BY intent_changed
		WHERE changed >= ? AND account_id = ? AND mails > 0`, since.Unix(), id).Scan(&operations, &recipients)
	if err != nil {
		return 0, 0, fmt.Errorf("count mails: %w", err)
	}
	return operations, recipients, nil
}

func (s *Store) ForgetIntents(ctx context.Context, octetsBefore, before time.Time) error {
	err := s.write.transact(ctx, func(t tx) error {
		for _, do := range []struct {
			query string
			until int64
		}{
			{`DELETE FROM intent WHERE changed < ? AND state <> 'open'`, before.Unix()},
			{`UPDATE intent SET octets = NULL, base = NULL, plan = '' WHERE changed < ? AND state <> 'open' AND plan <> ''`, octetsBefore.Unix()},
			{`DELETE FROM version WHERE replaced < ?`, octetsBefore.Add(-bridge.VersionAge).Unix()},
			{`DELETE FROM fence WHERE at < ?`, octetsBefore.Add(-bridge.FenceAge).UnixNano()},
		} {
			if _, err := t.exec(ctx, do.query, do.until); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget intents: %w", err)
	}
	return nil
}

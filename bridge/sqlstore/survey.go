package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"outbridge/bridge"
)

func (s *Store) Surveyed(ctx context.Context, after bridge.AccountID, limit int) ([]bridge.Surveyed, error) {
	rows, err := s.read.query(ctx, selectAccount+` WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
	list, err := collect(rows, err, func(r *sql.Rows) (v bridge.Surveyed, err error) {
		v.Account, err = scanAccount(r)
		return v, err
	})
	if err != nil || len(list) == 0 {
		return list, wrap("survey accounts", err)
	}
	at := map[bridge.AccountID]*bridge.Surveyed{}
	for i := range list {
		at[list[i].ID] = &list[i]
	}
	first, last := list[0].ID, list[len(list)-1].ID
	rows, err = s.read.query(ctx, `SELECT account.id, signed_in, sign_in_life, since FROM account LEFT JOIN write_hold ON account_id = account.id WHERE account.id BETWEEN ? AND ?`, first, last)
	_, err = collect(rows, err, func(r *sql.Rows) (none struct{}, err error) {
		var id bridge.AccountID
		var v bridge.Surveyed
		var life int64
		if err = r.Scan(&id, unixTime{&v.SignedIn}, &life, unixTime{&v.Held}); err != nil {
			return none, err
		}
		if a := at[id]; a != nil {
			a.SignedIn, a.SignInLife, a.Held = v.SignedIn, time.Duration(life)*time.Second, v.Held
		}
		return none, nil
	})
	if err != nil {
		return nil, wrap("survey sign-ins", err)
	}
	rows, err = s.read.query(ctx, `SELECT `+calendarColumns+` FROM calendar WHERE account_id BETWEEN ? AND ? ORDER BY account_id, position, id`, first, last)
	_, err = collect(rows, err, func(r *sql.Rows) (none struct{}, err error) {
		c, err := scanCalendar(r)
		if a := at[c.Account]; err == nil && a != nil {
			a.Calendars = append(a.Calendars, c)
		}
		return none, err
	})
	return list, wrap("survey calendars", err)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (s *Store) TroubledIntents(ctx context.Context, since time.Time, limit int) ([]bridge.Intent, error) {
	scan := func(r *sql.Rows) (bridge.Intent, error) { return scanIntent(r, false) }
	rows, err := s.read.query(ctx, `SELECT `+intentFacts+` FROM intent INDEXED BY intent_open WHERE state = 'open' ORDER BY id DESC LIMIT ?`, limit)
	open, err := collect(rows, err, scan)
	if err != nil {
		return nil, wrap("list open intents", err)
	}
	rows, err = s.read.query(ctx, `
		SELECT `+intentFacts+` FROM intent INDEXED BY intent_changed
		WHERE changed >= ? AND state IN (?, ?, ?) AND NOT EXISTS (
			SELECT 1 FROM intent AS later WHERE later.account_id = intent.account_id AND later.id > intent.id
				AND later.calendar_name = intent.calendar_name AND later.name = intent.name)
		ORDER BY id DESC LIMIT ?`, since.Unix(), bridge.IntentRefused, bridge.IntentFailed, bridge.IntentUnknown, limit)
	list, err := collect(rows, err, scan)
	list = append(list, open...)
	slices.SortFunc(list, func(a, b bridge.Intent) int { return cmp.Compare(b.ID, a.ID) })
	return list[:min(len(list), limit)], wrap("list intents in trouble", err)
}

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"outbridge/bridge"
)

// figuresKept is how long a count holds of a calendar that shows nothing new: losses may change without that.
const figuresKept = 24 * time.Hour

func (s *Store) CountFigures(ctx context.Context, now time.Time, limit int) (int, error) {
	// One statement sees one state of the database, so that a count is of its rev.
	res, err := s.write.exec(ctx, `
		INSERT INTO figure (calendar_id, rev, counted, objects, losses)
		SELECT c.id, c.rev, CAST(?1 AS BIGINT), (SELECT count(*) FROM object WHERE calendar_id = c.id AND deleted = 0),
			(SELECT coalesce(sum(loss_count), 0) FROM series WHERE calendar_id = c.id)
		FROM (SELECT calendar.id, calendar.rev FROM calendar LEFT JOIN figure ON calendar_id = calendar.id
			WHERE figure.rev IS NULL OR figure.rev <> calendar.rev OR counted < ?2 ORDER BY calendar.id LIMIT ?3) AS c
		WHERE true
		ON CONFLICT (calendar_id) DO UPDATE SET rev = excluded.rev, counted = excluded.counted, objects = excluded.objects, losses = excluded.losses`,
		now.Unix(), now.Add(-figuresKept).Unix(), limit)
	if err != nil {
		return 0, fmt.Errorf("count figures: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func (s *Store) Figures(ctx context.Context) ([]bridge.AccountFigures, error) {
	fail := func(err error) ([]bridge.AccountFigures, error) { return nil, fmt.Errorf("figures: %w", err) }
	at := map[bridge.AccountID]int{}
	rows, err := s.read.query(ctx, `
		SELECT id, name, state, state_token, (SELECT count(*) FROM intent WHERE account_id = account.id AND state = '`+bridge.IntentOpen+`') FROM account ORDER BY name`)
	n := 0
	list, err := collect(rows, err, func(r *sql.Rows) (f bridge.AccountFigures, err error) {
		var id bridge.AccountID
		var state string
		var version int64
		if err = r.Scan(&id, &f.Account, &state, &version, &f.Waiting); err != nil {
			return f, err
		}
		f.State, err = readState(state)
		f.State.TokenVersion = version
		at[id] = n
		n++
		return f, err
	})
	if err != nil {
		return fail(err)
	}
	rows, err = s.read.query(ctx, `
		SELECT account_id, id, name, good, fault <> '', pending, figure.objects, figure.losses FROM calendar LEFT JOIN figure ON calendar_id = id ORDER BY account_id, name`)
	_, err = collect(rows, err, func(r *sql.Rows) (none struct{}, err error) {
		var f bridge.CalendarFigures
		var account bridge.AccountID
		var c bridge.Calendar
		var objects, losses sql.NullInt64
		if err = r.Scan(&account, &f.ID, &f.Name, unixTime{&f.Good}, &f.Failed, &c.Pending, &objects, &losses); err != nil {
			return none, err
		}
		if f.Incomplete = c.Incomplete(); objects.Valid {
			f.Counts = &bridge.ShownCounts{Objects: int(objects.Int64), Losses: int(losses.Int64)}
		}
		if i, ok := at[account]; ok { // else it is newer than the list of accounts
			list[i].Calendars = append(list[i].Calendars, f)
		}
		return none, nil
	})
	if err != nil {
		return fail(err)
	}
	return list, nil
}

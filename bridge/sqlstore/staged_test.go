package sqlstore

import (
	"strings"
	"testing"

	"outbridge/bridge/sqlstore/pgtest"
)

// TestStagedPlans: what is planned just after a vacuum has found nothing staged goes by an index, since it is used when there is much.
func TestStagedPlans(t *testing.T) {
	t.Parallel()
	s := openDatabase(t, pgtest.URL(t), freshKey())
	c := calendar(t, s)
	for _, query := range []string{
		`INSERT INTO staged (calendar_id, name, series, uid, etag, sequence, stamp, first_start, deleted, size, data)
			SELECT id, 'name' || n, 'series' || n, 'uid' || n, '', 0, 0, 0, 0, 0, repeat('x', 1000)::bytea FROM calendar, generate_series(1, 200) n`,
		`DELETE FROM staged`, `VACUUM (ANALYZE) staged`,
	} {
		if _, err := s.write.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	for _, column := range []string{"uid", "name", "series"} {
		rows, err := s.read.Query(`EXPLAIN SELECT 1 FROM staged WHERE calendar_id = $1 AND `+column+` = $2`, c.ID, "x")
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if rows.Close(); !strings.Contains(plan.String(), "staged_") || strings.Contains(plan.String(), "Seq Scan") {
			t.Errorf("by %s: %s", column, &plan)
		}
	}
}

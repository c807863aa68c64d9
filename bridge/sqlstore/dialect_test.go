package sqlstore

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query, sqlite, postgres string
		args                    []int
	}{
		{`SELECT a FROM t WHERE b = ? AND c = ?`, `SELECT a FROM t WHERE b = ? AND c = ?`, `SELECT a FROM t WHERE b = $1 AND c = $2`, []int{0, 1}},
		{`UPDATE t SET a = ?3, b = ?3 WHERE c = ?1`, `UPDATE t SET a = ?3, b = ?3 WHERE c = ?1`, `UPDATE t SET a = $1, b = $1 WHERE c = $2`, []int{2, 0}},
		{`a = ?2 AND b = ?`, `a = ?2 AND b = ?`, `a = $1 AND b = $2`, []int{1, 2}},
		{`a = ?1 AND b IN list(?2) LIMIT ?4`, `a = ?1 AND b IN (SELECT value FROM json_each(?2)) LIMIT ?4`, `a = $1 AND b = ANY ($2::text[]) LIMIT $3`, []int{0, 1, 3}},
		{`(a IN list(?) OR b IN list(?))`, `(a IN (SELECT value FROM json_each(?)) OR b IN (SELECT value FROM json_each(?)))`, `(a = ANY ($1::text[]) OR b = ANY ($2::text[]))`, []int{0, 1}},
		{`SELECT user, p.user, users FROM t`, `SELECT user, p.user, users FROM t`, `SELECT "user", p."user", users FROM t`, nil},
		{`a = 'user?' || "user" || ?`, `a = 'user?' || "user" || ?`, `a = 'user?' || "user" || $1`, []int{0}},
		{`FROM series INDEXED BY series_stage WHERE a = 1`, `FROM series INDEXED BY series_stage WHERE a = 1`, `FROM series  WHERE a = 1`, nil},
		{`SELECT a FROM t WHERE id = ? FOR NO KEY UPDATE`, `SELECT a FROM t WHERE id = ?`, `SELECT a FROM t WHERE id = $1 FOR NO KEY UPDATE`, []int{0}},
		{`instr(lower(a), ?) > 0 /* it's ? */`, `instr(lower(a), ?) > 0 /* it's ? */`, `strpos(lower(a), $1) > 0 `, []int{0}},
	} {
		if got := forSQLite(tt.query); got != tt.sqlite {
			t.Errorf("for SQLite: %s", got)
		}
		got := forPostgres(tt.query)
		if got.text != tt.postgres {
			t.Errorf("for PostgreSQL: %s", got.text)
		}
		if diff := cmp.Diff(tt.args, got.args); diff != "" {
			t.Errorf("%s: %s", tt.query, diff)
		}
	}
}

package sqlstore

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"outbridge/bridge"
)

func TestBriefs(t *testing.T) { forEach(t, testBriefs) }

func testBriefs(t *testing.T, s *Store) {
	ctx := t.Context()
	later := now.Add(time.Minute)
	keep := func(kind, key, value string) {
		t.Helper()
		if err := s.KeepBrief(ctx, kind, key, []byte(value), now, later); err != nil {
			t.Fatal(err)
		}
	}
	keep("one", "key", "old")
	keep("one", "key", "new")
	keep("other", "key", "of the other")
	if v := must(s.Brief(ctx, "one", "key", now))(t); string(v) != "new" {
		t.Errorf("%q", v)
	}
	for name, err := range map[string]error{
		"expired":         second(s.Brief(ctx, "one", "key", later)),
		"taken too late":  second(s.TakeBrief(ctx, "one", "key", later)),
		"another key":     second(s.Brief(ctx, "one", "other", now)),
		"another kind":    second(s.Brief(ctx, "none", "key", now)),
		"dropped is gone": errors.Join(s.DropBrief(ctx, "other", "key"), second(s.Brief(ctx, "other", "key", now))),
	} {
		if !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.DropBrief(ctx, "other", "key"); err != nil {
		t.Errorf("dropped twice: %v", err)
	}
	got := make(chan []byte, 8)
	var takers sync.WaitGroup
	for range cap(got) {
		takers.Go(func() {
			if v, err := s.TakeBrief(ctx, "one", "key", now); err == nil {
				got <- v
			} else if !errors.Is(err, bridge.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	takers.Wait()
	if len(got) != 1 {
		t.Errorf("%d took the same", len(got))
	}
}

// What is kept shows neither its key nor its value, and no other row opens with it.
func TestBriefsAreSealed(t *testing.T) { forEach(t, testBriefsAreSealed) }

func testBriefsAreSealed(t *testing.T, s *Store) {
	ctx := t.Context()
	for _, key := range []string{"first-secret", "second-secret"} {
		if err := s.KeepBrief(ctx, "kind", key, []byte("value of "+key), now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.read.query(ctx, `SELECT hash, sealed FROM brief`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var hash, sealed []byte
		if err := rows.Scan(&hash, &sealed); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(hash, []byte("secret")) || bytes.Contains(sealed, []byte("value")) {
			t.Error("the row can be read")
		}
	}
	if _, err := s.write.exec(ctx, `UPDATE brief SET sealed = (SELECT sealed FROM brief WHERE hash = ?)`, s.briefKey("kind", "first-secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Brief(ctx, "kind", "second-secret", now); !errors.Is(err, bridge.ErrWrongKey) {
		t.Errorf("a value of another key: %v", err)
	}
}

func TestBriefsAreBounded(t *testing.T) { forEach(t, testBriefsAreBounded) }

func testBriefsAreBounded(t *testing.T, s *Store) {
	ctx := t.Context()
	full := make([][]any, bridge.MaxBriefs)
	for i := range full {
		full[i] = []any{fmt.Append(nil, "h", i), []byte{}, now.Add(time.Minute).Unix()}
	}
	err := s.write.transact(ctx, func(t tx) error {
		_, err := t.execMany(ctx, `INSERT INTO brief (kind, hash, sealed, expires) VALUES ('full', ?, ?, ?)`, full)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	keep := func(kind string, at time.Time) error {
		return s.KeepBrief(ctx, kind, "key", nil, at, at.Add(time.Minute))
	}
	if err := keep("full", now); !errors.Is(err, bridge.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if err := keep("empty", now); err != nil {
		t.Errorf("of another kind: %v", err)
	}
	if err := keep("full", now.Add(time.Minute)); err != nil {
		t.Errorf("when the others have expired: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

package sqlstore

import (
	"errors"
	"testing"

	"outbridge/bridge"
)

// TestKeyIsKnown: a key that is not the database's is noticed where nobody has signed in, as with app-only access: its passwords and
// feeds would be unknown there, and clients told that they are gone.
func TestKeyIsKnown(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, database string) {
		own, other := freshKey(), freshKey()
		s := openDatabase(t, database, own)
		stranger := openDatabase(t, database, other)
		wrong := func(what string, s *Store) {
			t.Helper()
			if err := s.CheckKey(t.Context()); !errors.Is(err, bridge.ErrWrongKey) {
				t.Errorf("%s: %v", what, err)
			}
		}
		right := func(what string, s *Store) {
			t.Helper()
			if err := s.CheckKey(t.Context()); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.PushKey(t.Context(), []byte("secret")); err != nil {
			t.Fatal(err)
		}
		wrong("a database of an older version", stranger)
		right("the first", s)
		wrong("another", stranger)
		right("the first again", s)
		if err := stranger.TakeKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		right("it is taken for a lost one", stranger)
		wrong("that was lost", s)
	})
}

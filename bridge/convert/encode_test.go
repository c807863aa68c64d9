package convert

import (
	"bytes"
	"testing"

	"github.com/emersion/go-ical"
)

// decode reads what Encode wrote with another's reader.
func decode(t testing.TB, b []byte) *ical.Calendar {
	t.Helper()
	cal, err := ical.NewDecoder(bytes.NewReader(b)).Decode()
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return cal
}

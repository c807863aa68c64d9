package graphsim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// A ref names one event, occurrence or exception. Its two ids follow from it: the immutable one, and the
// classic one, which changes when the event is moved.
type ref struct {
	cal   *Calendar // where it was when the ref was made
	n     int       // number of the event in its mailbox, from 1
	moves int       // how often it was moved before
	gen   int       // how often the series was rescheduled before; occurrences and exceptions only
	orig  time.Time // the original start of an occurrence or exception; zero for other events
}

// digits of the numbers inside ids. Neighbours differ in case, or in "_" and "-", or in "+" and "/" only.
const digits = "aA_-+/.0bBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ123456789"

// number writes n in width digits.
func number(n, width int) string {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = digits[n%len(digits)]
		n /= len(digits)
	}
	return string(b)
}

func parseNumber(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		d := strings.IndexByte(digits, s[i])
		if d < 0 {
			return 0, false
		}
		n = n*len(digits) + d
	}
	return n, true
}

// Parts of ids. What real ids hold at these places are lengths and types of an entry id.
const (
	classicStart      = "AAMkA"
	classicEvent      = "BGAAAAAA"
	classicOccurrence = "FR"
	immutableStart    = "AAkALgAAAAAA"
	immutableEvent    = "DQAA"
	immutableInstance = "R"
	tagLen            = 24
	ticksLen          = 15
)

// tag marks the ids of a mailbox.
func tag(address string) string {
	sum := sha256.Sum256([]byte("mailbox " + strings.ToLower(address)))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:tagLen]
}

func filler(address string) string {
	a, b := sha256.Sum256([]byte("store "+address)), sha256.Sum256([]byte("folder "+address))
	return base64.RawURLEncoding.EncodeToString(append(a[:], b[:]...))[:80]
}

func calendarID(m *Mailbox, n int) graph.CalendarID {
	return graph.CalendarID(classicStart + m.tag + "AuAAAAAA" + m.filler + "AQ" + number(n, 4) + "AAA=")
}

// ticks are the 100-nanosecond steps since the year 1, as ids of occurrences hold them: behind their length, and "AAgI" until the year 2056.
func ticks(t time.Time) string {
	b := [11]byte{1: 8}
	binary.BigEndian.PutUint64(b[2:], uint64(t.Unix()*1e7+621355968000000000))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (r ref) id(immutable bool) graph.EventID {
	m := r.cal.mailbox
	tail := number(r.n-1, 4)
	if immutable {
		padding := ""
		if (r.n-1)/2%3 == 1 {
			padding = "=="
		}
		if r.orig.IsZero() {
			return graph.EventID(immutableStart + m.tag + immutableEvent + m.filler[:24] + "AA" + tail + padding)
		}
		return graph.EventID(immutableStart + m.tag + immutableInstance + ticks(r.orig) + number(r.gen, 2) + m.filler[:12] + "AA" + tail + padding)
	}
	place := m.filler + number(r.cal.n, 3) + number(r.moves, 2)
	if r.orig.IsZero() {
		return graph.EventID(classicStart + m.tag + classicEvent + place + "AAENAAC" + tail + "AAA=")
	}
	return graph.EventID(classicStart + m.tag + classicOccurrence + ticks(r.orig) + number(r.gen, 2) + "AAEYAAAA" + place + "AABDQAA" + tail + "AAEA==")
}

// A parsedID is what an id says before anything is looked up.
type parsedID struct {
	tag       string
	n         int
	orig      time.Time // of an occurrence's or exception's id
	immutable bool
}

// parseID takes an id of an event apart. It reports false for what no mailbox can have given out.
func parseID(id string) (parsedID, bool) {
	var p parsedID
	var instance bool
	rest := id
	switch {
	case strings.HasPrefix(id, immutableStart):
		p.immutable = true
		rest = strings.TrimRight(rest[len(immutableStart):], "=")
	case strings.HasPrefix(id, classicStart):
		rest = rest[len(classicStart):]
	default:
		return p, false
	}
	if len(rest) < tagLen+len(immutableInstance)+ticksLen+4 {
		return p, false
	}
	p.tag, rest = rest[:tagLen], rest[tagLen:]
	mark := ""
	switch {
	case p.immutable && strings.HasPrefix(rest, immutableEvent), !p.immutable && strings.HasPrefix(rest, classicEvent):
	case p.immutable && strings.HasPrefix(rest, immutableInstance):
		instance, mark = true, immutableInstance
	case !p.immutable && strings.HasPrefix(rest, classicOccurrence):
		instance, mark = true, classicOccurrence
	default:
		return p, false
	}
	if instance {
		b, err := base64.RawURLEncoding.DecodeString(rest[len(mark) : len(mark)+ticksLen])
		if err != nil {
			return p, false
		}
		n := int64(binary.BigEndian.Uint64(b[2:])) - 621355968000000000
		p.orig = time.Unix(n/1e7, 0).UTC()
	}
	if !p.immutable {
		end := "AAA="
		if instance {
			end = "AAEA=="
		}
		var ok bool
		if rest, ok = strings.CutSuffix(rest, end); !ok {
			return p, false
		}
	}
	n, ok := parseNumber(rest[len(rest)-4:])
	p.n = n + 1
	return p, ok
}

// occurrenceID is the OID of an occurrence: the id of its master and its original date in the series' zone.
func occurrenceID(master graph.EventID, day time.Time) string {
	return "OID." + string(master) + "." + day.Format(time.DateOnly)
}

// globalObjectID is the iCalUId of an event: [MS-OXOCAL] 2.2.1.27 in hex, with the date of an occurrence in
// digits 33–40, zero for every other event.
func globalObjectID(m *Mailbox, n int, created, day time.Time) string {
	b, _ := hex.DecodeString("040000008200E00074C5B7101A82E008")
	if day.IsZero() {
		b = append(b, 0, 0, 0, 0)
	} else {
		b = append(b, byte(day.Year()>>8), byte(day.Year()), byte(day.Month()), byte(day.Day()))
	}
	const from1601 = 116444736000000000
	b = binary.LittleEndian.AppendUint64(b, uint64(created.UnixNano()/100+from1601))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 16)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s event %d", m.first, n))
	b = append(b, sum[:16]...)
	return strings.ToUpper(hex.EncodeToString(b))
}

// changeKey makes the change key of a version.
func changeKey(m *Mailbox, version uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s version %d", m.first, version))
	b := binary.BigEndian.AppendUint32(sum[:16:16], uint32(version))
	return base64.StdEncoding.EncodeToString(append(b, 0, 0))
}

// guid makes a GUID from a name, always the same.
func guid(name string) string {
	sum := sha256.Sum256([]byte(name))
	x := hex.EncodeToString(sum[:16])
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-a" + x[17:20] + "-" + x[20:32]
}

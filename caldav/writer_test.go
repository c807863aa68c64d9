package caldav_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"outbridge/caldav"
	"outbridge/caldav/ics"
)

// writes is what a memory has for writing: it is a caldav.WriteBackend that keeps events in its own spelling, as one does
// that has them from elsewhere, knows an object by a name that a client guessed for it, and has one object of each UID.
type writes struct {
	readOnly map[string]bool   // names of objects that take no writes
	aliases  map[string]string // names that clients have for objects, by "calendar/name"
	refuse   error             // what every write returns
	asSent   bool              // octets are kept as they are sent
	last     any               // the request of the last write, unless forget
	forget   bool

	addresses []string
	boxes     bool // there are an inbox and an outbox
	busy      map[string]caldav.Busy
	asked     caldav.BusyQuery

	files map[string]file // by id
}

type file struct {
	name, kind string
	octets     []byte
}

var (
	_ caldav.WriteBackend      = (*memory)(nil)
	_ caldav.ScheduleBackend   = (*memory)(nil)
	_ caldav.AttachmentBackend = (*memory)(nil)
)

var (
	organizer = regexp.MustCompile(`(?m)^ORGANIZER`)
	answers   = regexp.MustCompile(`;PARTSTAT=[A-Z-]+|;RSVP=[A-Z]+`)
)

// scheduleTag is of what an organizer decides: not of answers, nor of alarms.
func scheduleTag(data string) string {
	if !organizer.MatchString(data) {
		return ""
	}
	hash := sha256.New()
	for l := range ics.Lines(ics.Without([]byte(data), "VALARM")) {
		if !bytes.HasPrefix(l.Name(), []byte("X-")) {
			hash.Write(answers.ReplaceAll(l.Text(), nil))
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}

func (m *memory) Addresses(context.Context, caldav.Principal) ([]string, error) {
	return m.addresses, nil
}

// writable is the fixture with what there is for writing: the calendar private mails and keeps files.
func writable() *memory {
	m := fixture()
	m.writable()
	return m
}

func (m *memory) writable() {
	c := m.find("private")
	c.Schedules, c.Attachments = true, true
	m.boxes = true
	m.addresses = []string{"alice@example.com", "alias@example.org"}
	m.busy = map[string]caldav.Busy{
		"alice@example.com": {},
		"bob@example.com": {Periods: []caldav.BusyPeriod{
			{Start: time.Date(2026, 8, 11, 12, 0, 0, 0, time.UTC), End: time.Date(2026, 8, 11, 13, 0, 0, 0, time.UTC), Type: caldav.Tentatively},
			{Start: time.Date(2026, 8, 9, 22, 0, 0, 0, time.UTC), End: time.Date(2026, 8, 10, 9, 0, 0, 0, time.UTC)},
			{Start: time.Date(2026, 8, 20, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC), Type: caldav.Away},
		}},
	}
}

// object finds one by its name or an alias.
func (m *memory) object(calendar, name string) (caldav.Object, bool) {
	if len(m.aliases) > 0 {
		name = cmp.Or(m.aliases[calendar+"/"+name], name)
	}
	o, ok := m.find(calendar).objects[name]
	return o, ok && !o.Deleted
}

// begins is what every write begins with; the caller holds the lock. Object is nil where there is none.
func (m *memory) begins(c caldav.Calendar, name string, r any, match caldav.Match) (*caldav.Object, error) {
	if err := m.begin("write"); err != nil {
		return nil, err
	}
	if !m.forget {
		m.last = r
	}
	if m.refuse != nil {
		return nil, m.refuse
	}
	var now *caldav.Object
	if o, ok := m.object(c.Name, name); ok {
		now = &o
	}
	if now != nil && now.ReadOnly {
		return nil, &caldav.Refused{Sentence: "This event cannot be changed."}
	}
	if !match.Holds(now) {
		return nil, fmt.Errorf("write %s: %w", name, caldav.ErrPrecondition)
	}
	return now, nil
}

// uidOf is the UID of an object.
func uidOf(data []byte) string {
	cal, err := ics.Decode(data)
	if err != nil {
		return ""
	}
	for _, e := range ics.Children(cal.Component, "VEVENT") {
		if p := e.Props.Get("UID"); p != nil {
			return p.Value
		}
	}
	return ""
}

func (m *memory) withUID(uid string) (calendar string, o caldav.Object, ok bool) {
	for _, c := range m.calendars {
		for _, o := range c.objects {
			if !o.Deleted && uidOf(o.Data) == uid {
				return c.Name, o, true
			}
		}
	}
	return "", o, false
}

func (m *memory) Put(_ context.Context, c caldav.Calendar, name string, r caldav.PutRequest) (caldav.Written, error) {
	m.mu.Lock()
	now, err := m.begins(c, name, r, r.Match)
	if err != nil {
		m.mu.Unlock()
		return caldav.Written{}, err
	}
	if now != nil {
		name = now.Name
	} else if calendar, o, ok := m.withUID(r.UID); ok && calendar != c.Name {
		m.mu.Unlock()
		return caldav.Written{}, &caldav.Refused{Condition: caldav.NoUIDConflict, Sentence: "The event is in another calendar.", Calendar: calendar, Object: o.Name}
	} else if ok {
		if m.aliases == nil {
			m.aliases = map[string]string{}
		}
		m.aliases[c.Name+"/"+name] = o.Name
		now, name = &o, o.Name
	}
	m.mu.Unlock()
	data := r.Octets
	if !m.asSent {
		r.Data.Props.SetText("PRODID", "-//memory//EN")
		if data, err = ics.Append(nil, r.Data.Component); err != nil {
			return caldav.Written{}, &caldav.Refused{Condition: caldav.ValidCalendarData, Sentence: err.Error()}
		}
	}
	return caldav.Written{Object: m.publish(c.Name, name, string(data)), Created: now == nil}, nil
}

func (m *memory) Delete(_ context.Context, c caldav.Calendar, name string, r caldav.WriteRequest) error {
	m.mu.Lock()
	now, err := m.begins(c, name, r, r.Match)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if now == nil {
		return caldav.ErrNotFound
	}
	m.remove(c.Name, now.Name)
	return nil
}

func (m *memory) Move(_ context.Context, c caldav.Calendar, name string, to caldav.Destination, r caldav.WriteRequest) (caldav.Written, error) {
	return m.transfer(c, name, to, r, true)
}

func (m *memory) Copy(_ context.Context, c caldav.Calendar, name string, to caldav.Destination, r caldav.WriteRequest) (caldav.Written, error) {
	return m.transfer(c, name, to, r, false)
}

func (m *memory) transfer(c caldav.Calendar, name string, to caldav.Destination, r caldav.WriteRequest, moves bool) (caldav.Written, error) {
	m.mu.Lock()
	now, err := m.begins(c, name, r, r.Match)
	there, taken := m.object(to.Calendar.Name, to.Name)
	m.mu.Unlock()
	switch {
	case err != nil:
		return caldav.Written{}, err
	case now == nil:
		return caldav.Written{}, caldav.ErrNotFound
	case taken && !to.Overwrite:
		return caldav.Written{}, caldav.ErrPrecondition
	case taken && there.ReadOnly:
		return caldav.Written{}, caldav.ErrForbidden
	case !moves && to.Calendar.Name == c.Name:
		return caldav.Written{}, &caldav.Refused{Condition: caldav.NoUIDConflict, Sentence: "A calendar has an event once.", Object: name}
	}
	if moves {
		m.remove(c.Name, now.Name)
	}
	return caldav.Written{Object: m.publish(to.Calendar.Name, to.Name, string(now.Data)), Created: !taken}, nil
}

func (m *memory) Scheduling(context.Context, caldav.Principal) (caldav.Scheduling, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.boxes {
		return caldav.Scheduling{}, m.fail
	}
	return caldav.Scheduling{Boxes: true, Default: "private"}, m.fail
}

func (m *memory) FreeBusy(_ context.Context, _ caldav.Principal, q caldav.BusyQuery) ([]caldav.Busy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = q
	var l []caldav.Busy
	for _, r := range q.Recipients {
		b, ok := m.busy[r]
		if !ok {
			b.Status = caldav.BusyUnknownUser
		}
		l = append(l, b)
	}
	return l, m.fail
}

func (m *memory) AttachmentLimits(context.Context, caldav.Principal) (caldav.AttachmentLimits, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.calendars {
		if c.Attachments {
			return caldav.AttachmentLimits{Octets: 25 << 20, Files: 3}, m.fail
		}
	}
	return caldav.AttachmentLimits{}, m.fail
}

func (m *memory) OpenAttachment(_ context.Context, _ caldav.Principal, id string) (caldav.AttachmentFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[id]
	if !ok {
		return caldav.AttachmentFile{}, caldav.ErrNotFound
	}
	return caldav.AttachmentFile{Name: f.name, Type: f.kind, Size: int64(len(f.octets)), Body: io.NopCloser(bytes.NewReader(f.octets))}, nil
}

// attachment is the line of a file in an event.
func attachment(id string, f file) string {
	return fmt.Sprintf("ATTACH;MANAGED-ID=%s;FMTTYPE=%s;FILENAME=%s;SIZE=%d:http://example.com%s\r\n", id, f.kind, f.name, len(f.octets), caldav.AttachmentPath(id, f.name))
}

var attachments = regexp.MustCompile(`(?m)^ATTACH;MANAGED-ID=([^;]+);.*\r\n`)

// attach changes the files of an object: old goes, nil stays.
func (m *memory) attach(c caldav.Calendar, name string, r caldav.WriteRequest, request any, old string, add *file) (caldav.Written, string, error) {
	m.mu.Lock()
	defer func() { m.mu.Unlock() }()
	now, err := m.begins(c, name, request, r.Match)
	if err != nil {
		return caldav.Written{}, "", err
	}
	if now == nil {
		return caldav.Written{}, "", caldav.ErrNotFound
	}
	data := string(now.Data)
	if old != "" {
		if !strings.Contains(data, "MANAGED-ID="+old+";") {
			return caldav.Written{}, "", &caldav.Refused{Condition: caldav.ValidManagedID, Sentence: "The event has no such file."}
		}
		data = attachments.ReplaceAllStringFunc(data, func(line string) string {
			if attachments.FindStringSubmatch(line)[1] == old {
				return ""
			}
			return line
		})
		delete(m.files, old)
	}
	id := ""
	if add != nil {
		if len(attachments.FindAllString(data, -1)) == 3 {
			return caldav.Written{}, "", &caldav.Refused{Condition: caldav.MaxAttachmentsPerResource, Sentence: "An event may have three files."}
		}
		if m.files == nil {
			m.files = map[string]file{}
		}
		for n := 1; ; n++ {
			if id = fmt.Sprintf("f%d", n); !slices.Contains(slices.Collect(maps.Keys(m.files)), id) {
				break
			}
		}
		m.files[id] = *add
		data = strings.Replace(data, "END:VEVENT", attachment(id, *add)+"END:VEVENT", 1)
	}
	m.mu.Unlock()
	o := m.publish(c.Name, now.Name, data)
	m.mu.Lock()
	return caldav.Written{Object: o}, id, nil
}

func (m *memory) AddAttachment(_ context.Context, c caldav.Calendar, name string, rids []string, r caldav.AttachmentRequest) (caldav.Attached, error) {
	done, id, err := m.attach(c, name, r.WriteRequest, r, "", &file{r.Name, r.Type, r.Octets})
	return caldav.Attached{Written: done, ManagedID: id, ID: id}, err
}

func (m *memory) UpdateAttachment(_ context.Context, c caldav.Calendar, name, managedID string, r caldav.AttachmentRequest) (caldav.Attached, error) {
	done, id, err := m.attach(c, name, r.WriteRequest, r, managedID, &file{r.Name, r.Type, r.Octets})
	return caldav.Attached{Written: done, ManagedID: id, ID: id}, err
}

func (m *memory) RemoveAttachment(_ context.Context, c caldav.Calendar, name string, rids []string, managedID string, r caldav.WriteRequest) (caldav.Written, error) {
	done, _, err := m.attach(c, name, r, r, managedID, nil)
	return done, err
}

package notice_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/notice"
	"outbridge/bridge/web"
)

// surveyed is what a Surveyor finds now, by key.
func (w *world) surveyed(s *notice.Surveyor) (present map[string]bridge.Notice, unsure map[string]bool) {
	w.Helper()
	found, err := s.Survey(w.Context(), w.now)
	w.must(err)
	present = map[string]bridge.Notice{}
	for _, n := range found.Present {
		present[n.Key] = n
	}
	return present, found.Unsure
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	a, err := w.store.EnsureAccount(ctx, "alice")
	w.must(err)
	_, err = w.store.SetCalendars(ctx, a.ID, []bridge.Calendar{{GraphID: "work", Name: "work", DisplayName: "Work", Default: true, Epoch: "x", Modified: time.Now()}})
	w.must(err)
	cals, err := w.store.Calendars(ctx, a.ID)
	w.must(err)
	work := cals[0]
	w.now = time.Now().Truncate(time.Second)
	state := func(code string, f bridge.Fault) {
		t.Helper()
		w.must(w.store.SetState(ctx, a.ID, bridge.State{Code: code, Fault: f, Since: w.now}))
	}
	good := func(ago time.Duration) {
		t.Helper()
		w.must(w.store.SetGood(ctx, work.ID, 0, "", w.now.Add(-ago)))
	}
	var disk struct {
		free             uint64
		low, full, known bool
	}
	disk.known = true
	var expiring []bridge.Notice
	pulse := bridge.Pulse{}
	s := &notice.Surveyor{Store: w.store, Accounts: func() []string { return []string{"alice", "unmet"} }, Pulse: func(string) bridge.Pulse { return pulse },
		StaleAfter: func() time.Duration { return 6 * time.Hour }, Expiring: func() ([]bridge.Notice, error) { return expiring, nil },
		Disk: func() (uint64, bool, bool, bool) { return disk.free, disk.low, disk.full, disk.known }}
	expect := func(when string, want ...string) map[string]bridge.Notice {
		t.Helper()
		present, _ := w.surveyed(s)
		if got := slices.Sorted(maps.Keys(present)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		for _, n := range present {
			for _, over := range []bool{false, true} {
				title, text := web.NoticeWords(web.English, bridge.NoticeMessage{News: []bridge.News{{Notice: n, Over: over}}}, "https://calendar.example.com")
				if !strings.HasPrefix(title, "outbridge: ") || len(title) < 20 || len(text) < 20 || strings.Contains(text, "Lunch") || strings.Contains(text, "0001") {
					t.Errorf("%s: %q\n%s", n.Key, title, text)
				}
			}
		}
		return present
	}

	state(bridge.StateOK, bridge.Fault{})
	good(time.Minute)
	expect("all is well")
	state(bridge.StateSignIn, bridge.Fault{Reason: "never-signed-in", Action: bridge.ActionSignIn})
	expect("nobody has signed in yet")
	state(bridge.StateSignIn, bridge.Fault{Reason: "sign-in-frequency", Action: bridge.ActionSignIn, Duration: 7 * 24 * time.Hour})
	good(7 * time.Hour)
	expect("the sign-in has ended", "sign-in/alice")
	state(bridge.StateUnavailable, bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait})
	good(time.Hour)
	if present, unsure := w.surveyed(s); len(present) != 0 || !unsure["sign-in/alice"] {
		t.Errorf("Microsoft is away: %v, %v", present, unsure)
	}

	// How long a sign-in lasts was learnt when it had ended.
	state(bridge.StateOK, bridge.Fault{})
	w.must(w.store.SetSignedIn(ctx, a.ID, w.now.Add(-5*24*time.Hour)))
	expect("two days are left")
	w.must(w.store.SetSignedIn(ctx, a.ID, w.now.Add(-7*24*time.Hour+20*time.Hour)))
	for _, n := range expect("20 hours are left", "sign-in-ends/alice/"+unixText(w.now.Add(20*time.Hour))) {
		if !n.At.Equal(w.now.Add(20 * time.Hour)) {
			t.Errorf("it ends at %v", n.At)
		}
	}
	w.must(w.store.SetSignedIn(ctx, a.ID, w.now))
	expect("signed in again")

	good(6 * time.Hour)
	expect("old", "stale/alice/1")
	pulse.Calendars = map[bridge.CalendarID]time.Time{work.ID: w.now}
	expect("idle rounds are not stored")
	pulse, s.StaleAfter = bridge.Pulse{}, func() time.Duration { return 0 }
	expect("never stale")

	intent := func(name, state string, age time.Duration) {
		t.Helper()
		_, err := w.store.AddIntent(ctx, bridge.Intent{Account: a.ID, Calendar: work.ID, Name: name, UID: name, Summary: "Lunch", Operation: bridge.IntentPut,
			State: state, Created: w.now.Add(-age), Changed: w.now.Add(-age)})
		w.must(err)
	}
	intent("a.ics", bridge.IntentRefused, 25*time.Hour)
	intent("b.ics", bridge.IntentRefused, 23*time.Hour)
	intent("c.ics", bridge.IntentRefused, 2*time.Hour)
	intent("c.ics", bridge.IntentDone, time.Hour)
	intent("d.ics", bridge.IntentUnknown, time.Hour)
	intent("e.ics", bridge.IntentFailed, time.Hour)
	intent("f.ics", bridge.IntentOpen, time.Minute)
	writes := []string{"write/alice/failed/work/e.ics", "write/alice/refused/work/b.ics", "write/alice/unknown/work/d.ics"}
	if got := expect("changes", writes...); got[writes[0]].Calendar != "Work" {
		t.Errorf("%+v", got[writes[0]])
	}
	intent("g.ics", bridge.IntentOpen, 11*time.Minute)
	expect("one waits", append([]string{"waiting/alice"}, writes...)...)
	w.must(w.store.SetWriteHold(ctx, a.ID, bridge.WriteHold{Since: w.now}))
	expect("stopped", append([]string{"held/alice", "waiting/alice"}, writes...)...)

	s.Accounts = func() []string { return nil }
	expiring = []bridge.Notice{{Kind: bridge.NoticeCredential, Detail: "certificate", At: w.now.Add(31 * 24 * time.Hour)},
		{Kind: bridge.NoticeCredential, Detail: "client secret", At: w.now.Add(29 * 24 * time.Hour)},
		{Kind: bridge.NoticeCertificate, Detail: "calendar.example.com", At: w.now.Add(8 * 24 * time.Hour)}}
	expect("a secret expires", "credential/client secret/"+unixText(expiring[1].At))
	expiring = expiring[2:]
	expiring[0].At = w.now.Add(-time.Hour)
	expect("a certificate has expired", "certificate/calendar.example.com/"+unixText(expiring[0].At))
	expiring = []bridge.Notice{{Kind: bridge.NoticeRenewal, Detail: "calendar.example.com", At: w.now.Add(14 * 24 * time.Hour)}}
	expect("a certificate is not renewed", "renewal/calendar.example.com/"+unixText(expiring[0].At))
	expiring = nil
	disk.low, disk.free = true, 100<<20
	expect("little room", "disk-low")
	disk.full = true
	expect("no room", "disk-full")
	disk.known = false
	expect("nobody knows")
}

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// TestSurveyOrganization: members that have the same trouble are one trouble, those without a mailbox are none, and the directory's own is
// told of.
func TestSurveyOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.now = time.Now().Truncate(time.Second)
	var join []bridge.Member
	var names []string
	for i := range 5 {
		names = append(names, "user"+strconv.Itoa(i))
		join = append(join, bridge.Member{Name: names[i], Tenant: "t", ObjectID: names[i], Mailbox: names[i] + "@contoso.com"})
	}
	w.must(w.store.ChangeMembers(ctx, bridge.MemberChanges{Join: join}))
	for i, name := range names {
		a, err := w.store.Account(ctx, name)
		w.must(err)
		f := bridge.Fault{Reason: "secret-expired", Action: bridge.ActionConfigure}
		if i > 2 {
			f.Reason = bridge.ReasonMailboxMissing
		}
		w.must(w.store.SetState(ctx, a.ID, bridge.State{Code: bridge.StateConfiguration, Fault: f, Since: w.now}))
	}
	w.must(w.store.SetDirectoryStatus(ctx, bridge.DirectoryStatus{Fault: bridge.Fault{Reason: bridge.ReasonDirectoryDenied, Action: bridge.ActionAsk},
		Doubt: &bridge.Doubt{Since: w.now, Gone: 4}}))
	enabled := true
	s := &notice.Surveyor{Store: w.store, Accounts: func() []string { return names }, Pulse: func(string) bridge.Pulse { return bridge.Pulse{} },
		Expiring: func() ([]bridge.Notice, error) { return nil, nil }, Disk: func() (uint64, bool, bool, bool) { return 0, false, false, true },
		Organization: func() bool { return enabled }}
	present, _ := w.surveyed(s)
	if got, want := slices.Sorted(maps.Keys(present)), []string{"directory", "doubt", "members/secret-expired"}; !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	for key, want := range map[string][2]string{
		"members/secret-expired": {"3 members of the organization are not synced", "The client secret has expired."},
		"directory":              {"directory cannot be read", "User.Read.All"},
		"doubt":                  {"is not believed", "It would end 4 accounts."},
	} {
		title, text := web.NoticeWords(web.English, bridge.NoticeMessage{News: []bridge.News{{Notice: present[key]}}}, "https://calendar.example.com")
		if !strings.Contains(title, want[0]) || !strings.Contains(text, want[1]) {
			t.Errorf("%s: %q\n%s", key, title, text)
		}
	}
	enabled = false
	if present, _ := w.surveyed(s); present["doubt"].Kind != "" {
		t.Error("a doubt about an organization that is not served")
	}
}

package convert

import (
	"strings"
	"testing"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

func fileObject(t testing.TB, lines ...string) *ical.Calendar {
	t.Helper()
	text := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTART:20261124T090000Z\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	cal, err := ics.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

// TestTakeFiles has files as programs send them: their names, types and octets.
func TestTakeFiles(t *testing.T) {
	for line, want := range map[string]struct{ name, kind, octets string }{
		"ATTACH;VALUE=BINARY;ENCODING=BASE64;FMTTYPE=text/plain;FILENAME=a.txt:YWJj":                          {"a.txt", "text/plain", "abc"},
		"ATTACH;VALUE=BINARY;ENCODING=BASE64;X-EVOLUTION-CALDAV-ATTACHMENT-NAME=\"b: 2.txt\":YWI=":            {"b: 2.txt", "", "ab"},
		"ATTACH;ENCODING=base64;X-LABEL=\"C:\\Users\\a\\c.bin\":YQ==":                                         {"c.bin", "", "a"},
		"ATTACH;ENCODING=BASE64;VALUE=BINARY;FMTTYPE=\"image/png\";FILENAME=../../etc/passwd:YQ":              {"passwd", "image/png", "a"},
		"ATTACH;FILENAME=d.txt:data:text/plain;base64,YWJj":                                                   {"d.txt", "text/plain", "abc"},
		"ATTACH;FILENAME=e.txt:data:text/plain,a%20b":                                                         {"e.txt", "text/plain", "a b"},
		"ATTACH;VALUE=BINARY;ENCODING=BASE64;FMTTYPE=image/png:YWJj":                                          {"attachment.png", "image/png", "abc"},
		"ATTACH;VALUE=BINARY;ENCODING=BASE64;FILENAME=f.txt:":                                                 {"f.txt", "", ""},
		"ATTACH;X-OUTBRIDGE-DIGEST=00;X-OUTBRIDGE-OCTETS=99;VALUE=BINARY;ENCODING=BASE64;FILENAME=g.txt:YWJj": {"g.txt", "", "abc"},
		"ATTACH;VALUE=BINARY;ENCODING=BASE64;FILENAME=" + strings.Repeat("long", 100) + ".txt:YWJj":           {strings.Repeat("long", 50), "", "abc"},
	} {
		cal := fileObject(t, line, "ATTACH:https://files.example/x")
		files, err := TakeFiles(cal)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		plan, _, err := FromICS(Edit{New: cal, Series: Series{MailboxZone: "UTC", Attachments: map[graph.EventID]Attached{}}})
		if err != nil || len(plan.Steps) != 2 || plan.Steps[1].Op != OpAttach {
			t.Errorf("%s: %+v, %v", line, plan.Steps, err)
			continue
		}
		a := plan.Steps[1].Attachment
		if a.Name != want.name || a.Type != want.kind || string(files[a.Digest]) != want.octets || a.Size != len(want.octets) || len(files) != 1 {
			t.Errorf("%s: %+v, %q", line, a, files)
		}
	}
	for _, line := range []string{"ATTACH;VALUE=BINARY;ENCODING=BASE64:###", "ATTACH;X-OUTBRIDGE-DIGEST=00:https://files.example/x", "ATTACH:data:text/plain;base64,!"} {
		if _, err := TakeFiles(fileObject(t, line)); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}

func FuzzTakeFiles(f *testing.F) {
	for _, seed := range []string{"ATTACH;ENCODING=BASE64;VALUE=BINARY:YWJj", "ATTACH:data:;base64,", "ATTACH:data:a/b,%", "ATTACH;FMTTYPE=x:data:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cal, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTART:20261124T090000Z\r\n" + line + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
		if err != nil {
			return
		}
		files, err := TakeFiles(cal)
		if err != nil {
			return
		}
		for digest := range files {
			if len(digest) != 64 {
				t.Error(digest)
			}
		}
		again, err := TakeFiles(cal)
		if err != nil && len(files) > 0 {
			t.Errorf("%v, %v", again, err)
		}
	})
}

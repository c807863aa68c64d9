package caldav_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"outbridge/caldav"
)

func multigetBody(hrefs ...string) string {
	var b strings.Builder
	b.WriteString(`<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/></D:prop>`)
	for _, h := range hrefs {
		b.WriteString("<D:href>" + h + "</D:href>")
	}
	b.WriteString("</C:calendar-multiget>")
	return b.String()
}

func TestMultiget(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	for _, c := range []struct {
		hrefs []string
		want  []string
	}{
		{nil, []string{}},
		{[]string{workPath + "single.ics"}, []string{"single.ics"}},
		{[]string{workPath + "single.ics", workPath + "single.ics", workPath + "%73ingle.ics"}, []string{"single.ics"}},
		{[]string{" \n" + workPath + "single.ics\n"}, []string{"single.ics"}},
		{[]string{s.url + workPath + "single.ics", "https://other.example" + workPath + "past.ics"}, []string{"past.ics", "single.ics"}},
		{[]string{"/dav/calendars/%61lice/work/w%65ekly.ics"}, []string{"weekly.ics"}},
		{[]string{workPath + "none.ics", workPath + "past.ics"}, []string{"none.ics 404", "past.ics"}},
		{[]string{"/dav/calendars/alice/private/dentist.ics"}, []string{"dentist.ics 404"}},
		{[]string{"/dav/calendars/bob/work/single.ics", "/a&amp;b", workPath + "../work/x"}, []string{"a&b 404", "single.ics 404", "x 404"}},
	} {
		ms := s.do("REPORT", workPath, multigetBody(c.hrefs...)).multistatus(t)
		if got := ms.hrefs(); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.hrefs, got, c.want)
		}
	}
}

func TestMultigetMany(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	for _, n := range []int{1, 10, 100, 5000} {
		var hrefs []string
		for i := range n {
			name := fmt.Sprintf("o%04d.ics", i)
			hrefs = append(hrefs, workPath+name)
			if i%7 != 3 {
				m.publish("work", name, event("UID:"+name))
			}
		}
		s := serve(t, m)
		ms := s.do("REPORT", workPath, multigetBody(hrefs...)).multistatus(t)
		if len(ms.Responses) != n {
			t.Fatalf("%d of %d answered", len(ms.Responses), n)
		}
		for _, r := range ms.Responses {
			data, ok := r.get("urn:ietf:params:xml:ns:caldav", "calendar-data")
			if ok == (r.Status != "") || ok && !strings.Contains(data.Text, r.Href[len(workPath):]) {
				t.Fatalf("%s: %s %q", r.Href, r.Status, data.Text)
			}
		}
	}
}

// endless is a backend whose calendar has as many objects as asked for, none of them in memory.
type endless struct {
	memory
	count int
	size  int
}

func (e *endless) Objects(ctx context.Context, _ caldav.Calendar, _ caldav.Query) iter.Seq2[caldav.Object, error] {
	data := []byte(event("UID:x\nDESCRIPTION:" + strings.Repeat("x", e.size)))
	return func(yield func(caldav.Object, error) bool) {
		for i := range e.count {
			if !yield(caldav.Object{Name: fmt.Sprintf("%d.ics", i), ETag: "e", Data: data, Size: len(data)}, nil) {
				return
			}
		}
	}
}

// An answer of 200 MB takes no memory to speak of.
func TestStreaming(t *testing.T) {
	e := &endless{count: 20000, size: 10000}
	e.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	s := serve(t, e)
	req, _ := http.NewRequest("REPORT", s.url+workPath, strings.NewReader(
		`<sync-collection xmlns="DAV:"><sync-token/><prop><getetag/><calendar-data xmlns="urn:ietf:params:xml:ns:caldav"/></prop></sync-collection>`))
	req.SetBasicAuth("alice", "secret")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var peak, before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := bufio.NewReaderSize(resp.Body, 1<<20)
	var total int64
	for step := 0; ; step++ {
		n, err := io.CopyN(io.Discard, r, 10<<20)
		total += n
		runtime.GC()
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		if now.HeapAlloc > peak.HeapAlloc {
			peak = now
		}
		if err != nil {
			break
		}
	}
	if total < 200e6 {
		t.Errorf("%d octets", total)
	}
	if grown := int64(peak.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d octets", grown)
	}
}

// A client that goes away stops the work.
func TestClientGone(t *testing.T) {
	e := &endless{count: math.MaxInt, size: 100}
	e.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	s := serve(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "PROPFIND", s.url+workPath, nil)
	req.SetBasicAuth("alice", "secret")
	req.Header.Set("Depth", "1")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<20)
	cancel()
	resp.Body.Close() // the server's Close, at the end of the test, waits for the handler
}

// One character that XML cannot carry would make the whole answer unreadable, for every client.
func TestUnprintable(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "A\x1fB"})
	m.publish("work", "x.ics", "a\x00b\x0bc\xffd\xed\xa0\x80e\uFFFEf\uFFFFg\u00e4\U0001F600]]>&amp;<\t\r\n\ufeff")
	s := serve(t, m)
	ms := s.do("REPORT", workPath, multigetBody(workPath+"x.ics")).multistatus(t)
	data, _ := ms.Responses[0].get("urn:ietf:params:xml:ns:caldav", "calendar-data")
	if want := "a\uFFFDb\uFFFDc\uFFFDd\uFFFD\uFFFD\uFFFDe\uFFFDf\uFFFDg\u00e4\U0001F600]]>&amp;<\t\r\n\ufeff"; data.Text != want {
		t.Errorf("%q, want %q", data.Text, want)
	}
	name, _ := s.do("PROPFIND", workPath, "", "Depth: 0").multistatus(t).Responses[0].get("DAV:", "displayname")
	if name.Text != "A\uFFFDB" {
		t.Errorf("%q", name.Text)
	}
}

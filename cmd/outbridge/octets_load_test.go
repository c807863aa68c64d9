//go:build load

package main_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"outbridge/bridge/graph/graphsim"
)

// A program's requests for a calendar, and how many objects it asks for at a time.
type program struct {
	name    string
	list    string // body of what lists the objects
	depth   string
	idle    string // body of the poll of an idle calendar; %s is the token, or the present CTag's PROPFIND
	props   string // of a multiget
	at      int    // hrefs in one; 0: all in one
	codings []string
}

const (
	davNames = `xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"`
	vevents  = `<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"%s</C:comp-filter></C:comp-filter></C:filter>`
	byQuery  = `<C:calendar-query ` + davNames + `><prop><getetag/></prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20000101T000000Z"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`
	byList   = `<propfind xmlns="DAV:"><prop><getcontenttype/><resourcetype/><getetag/></prop></propfind>`
	bySync   = `<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getcontenttype/><getetag/></prop></sync-collection>`
	idleSync = `<sync-collection xmlns="DAV:"><sync-token>%s</sync-token><sync-level>1</sync-level><prop><getcontenttype/><getetag/></prop></sync-collection>`
	idleTag  = `<propfind xmlns="DAV:" xmlns:CS="http://calendarserver.org/ns/"><prop><CS:getctag/><sync-token/></prop></propfind>`
)

// TestCompareOctets lets the same programs read the same objects from outbridge and from Radicale, and counts what comes over
// the connection, headers and all: of a first sync, of a poll while nothing has changed, and of a poll after one event has
// changed, with reading it. It fails where a program costs more with outbridge.
func TestCompareOctets(t *testing.T) {
	const objects = 1000
	var outlook *graphsim.Calendar
	w := newLoadWorld(t, func(cal *graphsim.Calendar) {
		outlook = cal
		fillMailbox(cal, objects*19/20, objects/20)
	})
	w.tool("sync")
	var pass struct{ Password string }
	w.json(&pass, "password", "add", "alice")
	w.start()
	ours := newCalDAVClient(t, w.serve.Process.Pid, "http://"+w.address+"/dav/calendars/alice/calendar/", "alice", pass.Password)
	served := ours.objects()
	radicale := startRadicale(t, served)
	changes := 0
	// change edits an event in Outlook, and puts what it has become into Radicale.
	change := func() (name string) {
		t.Helper()
		changes++
		subject := fmt.Sprintf("Changed %d", changes)
		if err := outlook.Change(outlook.Events()[0], func(e *graphsim.Event) { e.Subject = subject }); err != nil {
			t.Fatal(err)
		}
		w.tool("sync")
		for n, data := range ours.objects() {
			if !bytes.Equal(data, served[n]) {
				name, served[n] = n, data
			}
		}
		if !bytes.Contains(served[name], []byte(subject)) {
			t.Fatalf("%q is not served", subject)
		}
		radicale.fetch(radicale.request("PUT", radicale.calendar+name, "", string(served[name])), http.StatusCreated)
		return name
	}
	fmt.Printf("\n%d objects; octets of the answers, headers and all, and of them with Radicale\n\n| program, its coding | idle poll | one event changed | first sync | requests |\n| --- | --- | --- | --- | --- |\n", objects)
	coded, plain := "gzip, deflate", ""
	for _, p := range []program{
		{name: "Thunderbird", list: bySync, depth: "1", idle: idleSync, props: "<getetag/><C:calendar-data/>", at: 100, codings: []string{"gzip, deflate, br, zstd", plain}},
		{name: "DAVx⁵", list: byQuery, depth: "1", idle: idleTag, props: `<getcontenttype/><getetag/><C:schedule-tag/><C:calendar-data content-type="text/calendar" version="2.0"/>`, at: 30, codings: []string{"gzip", plain}},
		{name: "Apple", list: byList, depth: "1", idle: idleSync, props: "<getetag/><C:calendar-data/><C:schedule-tag/>", at: 50, codings: []string{coded, plain}},
		{name: "Evolution", list: byQuery, depth: "1", idle: idleTag, props: "<getetag/><C:calendar-data/>", at: 100, codings: []string{coded, plain}},
		{name: "KDE", list: `<C:calendar-query ` + davNames + `><prop><getetag/><resourcetype/></prop>` + fmt.Sprintf(vevents, ">") + `</C:calendar-query>`, depth: "1", idle: idleTag, props: "<displayname/><getetag/><C:calendar-data/>", at: 100, codings: []string{coded, plain}},
		{name: "vdirsyncer", list: byList, depth: "1", idle: byList, props: "<getetag/><C:calendar-data/>", codings: []string{coded, plain}},
		{name: "CalDav Synchronizer", list: byQuery, depth: "1", idle: byQuery, props: "<getetag/><displayname/><C:calendar-data/>", at: 100, codings: []string{coded, plain}},
		{name: "one at a time", list: byList, depth: "1", idle: idleSync, props: "<getetag/><C:calendar-data/>", at: 1, codings: []string{coded, plain}},
	} {
		for _, coding := range p.codings {
			var cell [2]octets
			var after [2]func(string) int64
			for i, c := range []*caldavClient{ours, radicale} {
				cell[i], after[i] = c.costs(p, coding)
			}
			name := change()
			for i := range cell {
				cell[i].changed = after[i](name)
			}
			us, them := cell[0], cell[1]
			if coding == plain {
				coding = "none"
			}
			fmt.Printf("| %s, %s | %d, %d | %d, %d | %d, %d: %+.1f %% | %d, %d |\n", p.name, coding, us.idle, them.idle, us.changed, them.changed, us.first, them.first,
				100*(float64(us.first)/float64(them.first)-1), us.requests, them.requests)
			if us.idle > them.idle || us.changed > them.changed || us.first > them.first || us.requests > them.requests {
				t.Errorf("%s, %s: %+v, with Radicale %+v", p.name, coding, us, them)
			}
		}
	}
}

// octets are those of a program's answers.
type octets struct {
	first, requests int64 // of a first sync, and in how many requests
	idle            int64 // of a poll while nothing has changed
	changed         int64 // of a poll after one event has changed, with reading it
}

// costs has a program do a first sync and a poll. After an object has changed, after is what the program then reads.
func (c *caldavClient) costs(p program, coding string) (cost octets, after func(name string) int64) {
	var read atomic.Int64
	tr := &http.Transport{DisableCompression: true, MaxConnsPerHost: 1, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return countedConn{conn, &read}, err
	}}
	c.t.Cleanup(tr.CloseIdleConnections)
	one := *c
	one.http = &http.Client{Transport: tr}
	ask := func(method, depth, body string) []byte {
		r := one.request(method, c.calendar, depth, body)
		if coding != "" {
			r.Header.Set("Accept-Encoding", coding)
		}
		cost.requests++
		res, err := one.http.Do(r)
		if err != nil {
			c.t.Fatal(err)
		}
		defer res.Body.Close()
		in := io.Reader(res.Body)
		if res.Header.Get("Content-Encoding") == "gzip" {
			if in, err = gzip.NewReader(res.Body); err != nil {
				c.t.Fatal(err)
			}
		}
		b, err := io.ReadAll(in)
		if err != nil || res.StatusCode != 207 {
			c.t.Fatalf("%s: %s, %v: %.300s", c.calendar, res.Status, err, b)
		}
		return b
	}
	// listed are the objects that are in an answer.
	listed := func(depth, body string) (hrefs []string) {
		method := "REPORT"
		if strings.HasPrefix(body, "<propfind") {
			method = "PROPFIND"
		}
		for _, m := range hrefOf.FindAllSubmatch(ask(method, depth, body), -1) {
			hrefs = append(hrefs, string(m[1]))
		}
		return hrefs
	}
	data := func(hrefs []string) {
		b := ask("REPORT", "1", `<C:calendar-multiget `+davNames+`><prop>`+p.props+`</prop><href>`+strings.Join(hrefs, "</href><href>")+`</href></C:calendar-multiget>`)
		if n := bytes.Count(b, []byte("BEGIN:VCALENDAR")); n != len(hrefs) {
			c.t.Fatalf("%d objects of %d", n, len(hrefs))
		}
	}
	hrefs := listed(p.depth, p.list)
	at := p.at
	if at == 0 {
		at = len(hrefs)
	}
	for chunk := range slices.Chunk(hrefs, at) {
		data(chunk)
	}
	cost.first = read.Load()
	first := cost.requests
	poll, depth := p.idle, "0"
	if strings.Contains(poll, "%s") {
		poll, depth = fmt.Sprintf(poll, html.EscapeString(one.token())), "1"
	} else if poll == p.list {
		depth = p.depth
	}
	before := read.Load()
	listed(depth, poll)
	cost.idle = read.Load() - before
	cost.requests = first
	return cost, func(name string) int64 {
		before := read.Load()
		changed := listed(depth, poll)
		if depth == "0" {
			changed = listed(p.depth, p.list)
		}
		changed = slices.DeleteFunc(changed, func(href string) bool { return !strings.HasSuffix(href, "/"+name) })
		if len(changed) != 1 {
			c.t.Fatalf("%s: the poll does not name %s", p.name, name)
		}
		data(changed)
		return read.Load() - before
	}
}

// countedConn counts what is read.
type countedConn struct {
	net.Conn
	octets *atomic.Int64
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.octets.Add(int64(n))
	return n, err
}

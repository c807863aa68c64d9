//go:build load

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/sqlstore/pgtest"
)

// upgradedFrom is the program that TestMachinesUpgraded begins with, of a schema that this one goes on beside. Empty: this one.
var upgradedFrom = cmp.Or(os.Getenv("UPGRADED_FROM"), "outbridge")

// TestMachinesUpgraded exchanges machines one after the other while clients read and write: each request succeeds, at the latest when it is
// sent once more, after the time that the answer names, and afterwards every machine serves what Outlook has.
func TestMachinesUpgraded(t *testing.T) {
	accounts := []string{"alice", "bob", "carol"}
	m := newMachinesOf(t, upgradedFrom, pgtest.URL(t), 3, accounts...)
	for i, name := range accounts {
		m.seen(name, fmt.Sprintf("Event %d of %s", i+1, name), m.of...)
	}
	c := &upgradeClients{machines: m}
	for _, s := range m.of {
		c.urls = append(c.urls, s.url)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() { c.run(ctx, i, accounts[i%len(accounts)]) })
	}
	renew := func(i int, program string) {
		begin := time.Now()
		m.of[i].end(syscall.SIGTERM)
		m.of[i].process = startProgram(t, program, m.of[i].dir, "serve")
		m.of[i].url = m.of[i].waitFor(`msg=serving listen=(\S+)`)[0]
		c.mu.Lock()
		c.urls[i] = m.of[i].url
		c.mu.Unlock()
		t.Logf("machine %d is %s after %s: %d requests, %d sent once more", i, program, time.Since(begin).Round(time.Millisecond), c.asked.Load(), c.again.Load())
		for _, name := range accounts {
			m.seen(name, m.create(name), m.of...)
		}
	}
	renew(0, "outbridge")
	renew(1, upgradedFrom) // one that starts again beside a newer one
	renew(1, "outbridge")
	renew(2, "outbridge")
	stop()
	all.Wait()
	m.check()
	t.Logf("%d requests, %d of them writes, %d sent once more", c.asked.Load(), c.writes.Load(), c.again.Load())
	for _, s := range m.of {
		for name := range m.boxes {
			path := calendarPath(name)
			eventually(t, "a machine does not serve what was written of "+name, func() bool {
				_, list := m.dav(s, "PROPFIND", name, path, "")
				return strings.Count(list, ".ics</") == len(m.boxes[name].Calendar().Instances(time.Now().AddDate(0, -1, 0), time.Now().AddDate(0, 1, 0)))
			})
		}
	}
}

// upgradeClients ask machines in turn.
type upgradeClients struct {
	*machines
	asked, writes, again atomic.Int64

	mu   sync.Mutex
	urls []string
}

func (c *upgradeClients) url(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.urls[n%len(c.urls)]
}

// run is one client: every other request writes.
func (c *upgradeClients) run(ctx context.Context, client int, account string) {
	for n := 0; ctx.Err() == nil; n++ {
		method, path := "REPORT", calendarPath(account)
		body := `<sync-collection xmlns="DAV:"><sync-token></sync-token><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>`
		if n%2 == 1 {
			method, path = "PUT", fmt.Sprintf("%sn-%d-%d.ics", path, client, n)
			body = fmt.Sprintf("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:n-%d-%d\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:%s\r\nDURATION:PT1H\r\nSUMMARY:Note\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
				client, n, time.Now().UTC().AddDate(0, 0, 3).Format("20060102T150405Z"))
			c.writes.Add(1)
		}
		c.asked.Add(1)
		if first, after, ok := c.try(client+n, method, account, path, body); !ok {
			c.again.Add(1)
			c.Logf("sent once more after %s: %s %s", after, method, first)
			time.Sleep(after)
			if second, _, ok := c.try(client+n+1, method, account, path, body); !ok {
				c.Errorf("%s %s failed twice: %s; %s", method, path, first, second)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// try sends a request. after is when it may be sent once more.
func (c *upgradeClients) try(n int, method, account, path, body string) (said string, after time.Duration, ok bool) {
	req, err := http.NewRequest(method, c.url(n)+path, strings.NewReader(body))
	if err != nil {
		return err.Error(), 0, false
	}
	req.SetBasicAuth(account, c.password[account])
	req.Header.Set("Depth", "1")
	req.Header.Set("Content-Type", map[string]string{"PUT": "text/calendar", "REPORT": "application/xml"}[method])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error(), 0, false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error(), 0, false
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return fmt.Sprintf("%s %.300s", resp.Status, text), time.Duration(seconds) * time.Second, resp.StatusCode < 300
}

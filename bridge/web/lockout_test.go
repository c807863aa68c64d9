package web_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"outbridge/bridge/web"
)

// from is somebody at an address.
func (d *desk) from(address string) *person {
	p := d.somebody()
	p.at(address)
	return p
}

// at moves a person and the browser to another address.
func (p *person) at(address string) {
	p.header.Set("Test-Peer", net.JoinHostPort(address, "4711"))
	p.header.Set("Test-TLS", "yes")
	p.header.Set("Sec-Fetch-Site", "same-origin")
}

// besiege guesses from so many addresses that no stranger has a turn left.
func (d *desk) besiege(path string, pairs ...string) {
	d.Helper()
	for i := range 30 {
		p := d.from(fmt.Sprintf("198.51.100.%d", i+1))
		for range 5 {
			p.post(path, pairs...)
		}
	}
	if got := d.from("203.0.113.250").post(path, pairs...); got.StatusCode != http.StatusTooManyRequests {
		d.Fatalf("a stranger still has a turn: %s", got.Status)
	}
}

// restart is the same site in a new process.
func (d *desk) restart() {
	h := d.handler
	d.handler = &web.Handler{Store: h.Store, Feeds: h.Feeds, PublicURL: h.PublicURL, Accounts: h.Accounts, Now: h.Now, Log: h.Log}
	d.edge.Next = d.handler.Handler()
}

// TestBesieged: while strangers guess from many addresses, whoever has signed in before gets in: from the address, by the
// browser at another one, and after the process was restarted. They can change the password as well.
func TestBesieged(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		d := newDesk(t)
		d.setPassword(adminPassword)
		home, phone := d.from("192.0.2.7"), d.from("2001:db8:1:2::7")
		for _, p := range []*person{home, phone} {
			if got := p.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
				t.Fatal(got.Status)
			}
		}
		phone.post("/sign-out")
		if restart {
			d.restart()
		}
		d.besiege("/sign-in", "password", "guess guess")

		if got := d.from("192.0.2.7").post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
			t.Errorf("restart %t: another browser at the address: %s", restart, got.Status)
		}
		if got := d.from("2001:db8:1:2::99").post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
			t.Errorf("restart %t: another device in the network: %s", restart, got.Status)
		}
		phone.at("203.0.113.9")
		if got := phone.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
			t.Errorf("restart %t: the browser at another address: %s", restart, got.Status)
		}
		home.at("203.0.113.10")
		if got := home.post("/settings/password", "current", adminPassword, "password", "some other words", "repeat", "some other words"); got.StatusCode != 303 {
			t.Errorf("restart %t: the password is not changed: %s\n%s", restart, got.Status, got.body)
		}
		home.post("/sign-out")
		if got := home.post("/sign-in", "password", "some other words"); got.StatusCode != 303 {
			t.Errorf("restart %t: with the new password: %s", restart, got.Status)
		}
		// The turns of a browser have an end, and are its own.
		last := 0
		for range 6 {
			phone.post("/sign-out")
			last = phone.post("/sign-in", "password", "guess guess").StatusCode
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("restart %t: the sixth guess of a browser: %d", restart, last)
		}
		if got := d.from("192.0.2.7").post("/sign-in", "password", "some other words"); got.StatusCode != 303 {
			t.Errorf("restart %t: the address, after that: %s", restart, got.Status)
		}
	}
}

// TestBesiegedAtHome: strangers at an address that the administrator has used before use up its turns, but not those of
// the browser.
func TestBesiegedAtHome(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.setPassword(adminPassword)
	owner := d.from("192.0.2.7")
	owner.post("/sign-in", "password", adminPassword)
	owner.post("/sign-out")
	stranger := d.from("192.0.2.7")
	for _, forged := range []string{"", "x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		stranger.header.Set("Cookie", "__Host-"+cookieOf(d, "outbridge-browser")+"="+forged)
		for range 4 {
			stranger.post("/sign-in", "password", "guess guess")
		}
	}
	if got := stranger.post("/sign-in", "password", adminPassword); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a stranger with a forged mark: %s", got.Status)
	}
	if got := owner.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		t.Errorf("the owner: %s", got.Status)
	}
}

// TestBesiegedSetup: the right setup code is taken however many others are tried.
func TestBesiegedSetup(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	wrong := []string{"code", "AAAAA-AAAAA", "password", adminPassword, "repeat", adminPassword}
	d.besiege("/setup", wrong...)
	owner := d.from("203.0.113.250")
	if got := owner.post("/setup", "code", setupCode, "password", adminPassword, "repeat", adminPassword); got.StatusCode != 303 || len(got.Cookies()) == 0 {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	owner.post("/sign-out")
	d.later(time.Second)
	if got := owner.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		t.Errorf("the next sign-in: %s", got.Status)
	}
}

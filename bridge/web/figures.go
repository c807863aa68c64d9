package web

import (
	"time"

	"outbridge/bridge"

	"github.com/prometheus/client_golang/prometheus"
)

// Tell sets how all accounts and their calendars are, on the one machine that does so for all.
func (m *Metrics) Tell(list []bridge.AccountFigures) {
	m.mu.Lock()
	var gone []string
	there := make(map[string]bool, len(list))
	for _, a := range list {
		there[a.Account] = true
	}
	for account := range m.told {
		if !there[account] {
			gone = append(gone, account)
		}
	}
	m.told = there
	m.mu.Unlock()
	for _, account := range gone {
		m.drop(account)
	}
	for _, a := range list {
		m.setState(a.Account, a.State)
		m.writesWait.WithLabelValues(a.Account).Set(float64(a.Waiting))
		var names []string
		for _, c := range a.Calendars {
			names = append(names, c.Name)
			m.setCalendar(a.Account, c)
		}
		m.dropOthers(a.Account, names)
	}
}

// Silence drops what Tell has told: another machine tells it.
func (m *Metrics) Silence() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = nil
	clear(m.known)
	for _, v := range m.figures() {
		v.Reset()
	}
}

// figures are the gauges of how accounts and calendars are, and those of calendars alone.
func (m *Metrics) figures() []*prometheus.GaugeVec {
	return append([]*prometheus.GaugeVec{m.state, m.writesWait}, m.ofCalendars()...)
}

func (m *Metrics) ofCalendars() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{m.lastSuccess, m.failed, m.incomplete, m.objects, m.losses}
}

func (m *Metrics) setState(account string, s bridge.State) {
	for _, code := range stateCodes {
		m.state.WithLabelValues(account, code).Set(flag(code == s.Code))
	}
}

func (m *Metrics) setCalendar(account string, f bridge.CalendarFigures) {
	m.failed.WithLabelValues(account, f.Name).Set(flag(f.Failed))
	m.incomplete.WithLabelValues(account, f.Name).Set(flag(f.Incomplete))
	if !f.Good.IsZero() {
		m.lastSuccess.WithLabelValues(account, f.Name).Set(float64(f.Good.Unix()))
	}
	if f.Counts != nil {
		m.objects.WithLabelValues(account, f.Name).Set(float64(f.Counts.Objects))
		m.losses.WithLabelValues(account, f.Name).Set(float64(f.Counts.Losses))
	}
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// calendars is dropOthers after a round. One that failed before it knew its calendars drops none.
func (m *Metrics) calendars(account string, names []string) (fresh map[string]bool) {
	if len(names) == 0 {
		return nil
	}
	return m.dropOthers(account, names)
}

// dropOthers drops the gauges of an account's removed calendars, and reports which calendars are new.
func (m *Metrics) dropOthers(account string, names []string) (fresh map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh, now := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		now[name] = true
		fresh[name] = !m.known[account][name]
	}
	for name := range m.known[account] {
		if !now[name] {
			for _, v := range m.ofCalendars() {
				v.DeleteLabelValues(account, name)
			}
		}
	}
	m.known[account] = now
	return fresh
}

// Forget drops the gauges of an account that has been removed.
func (m *Metrics) Forget(account string) {
	if m == nil {
		return
	}
	m.drop(account)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.last, account)
	m.tokenExpires.DeletePartialMatch(prometheus.Labels{"account": account})
}

func (m *Metrics) drop(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, account)
	for _, v := range m.figures() {
		v.DeletePartialMatch(prometheus.Labels{"account": account})
	}
}

// Elsewhere drops what is told of an account's access token where another machine has synced the account well since this one has: no
// round of it may come back, and the token would seem not to be renewed. good is the end of an account's last good round on any machine.
func (m *Metrics) Elsewhere(good func(account string) time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for account, last := range m.last {
		if good(account).After(last) {
			delete(m.last, account)
			m.tokenExpires.DeletePartialMatch(prometheus.Labels{"account": account})
		}
	}
}

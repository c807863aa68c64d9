package round

import (
	"context"
	"errors"
	"maps"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// settingsAge is how old the mailbox's settings may be before they are asked for again.
const settingsAge = time.Hour

// settings are the mailbox's own settings: asked for now and then, else as they are stored. Without the permission
// the bridge does without them.
func (r *Runner) settings(ctx context.Context, m Mailbox, a bridge.Account) (s bridge.Settings, requests int64, err error) {
	if !r.Settings {
		return bridge.Settings{}, 0, nil
	}
	account := r.memory.account(m.Name)
	if account.since(&account.settings, r.now()) < settingsAge {
		return a.Settings, 0, nil
	}
	account.set(&account.settings, r.now())
	counted, n := graph.CountRequests(ctx)
	s = a.Settings
	// Not every cloud has both, so each is taken without the other.
	zone, zoneErr := m.Graph.MailboxZone(counted)
	if zoneErr == nil {
		s.Zone = zone
	}
	list, listErr := m.Graph.Categories(counted)
	if listErr == nil {
		s.Colors = map[string]string{}
		for _, c := range list {
			if hex := convert.PresetColor(c.Color); hex != "" {
				s.Colors[c.DisplayName] = hex
			}
		}
	}
	if err := errors.Join(zoneErr, listErr); err != nil {
		r.log().Warn("not all of the mailbox's settings can be read; those known are used", "account", m.Name, "err", err)
	}
	if s.Zone != a.Settings.Zone || !maps.Equal(s.Colors, a.Settings.Colors) {
		return s, n.Load(), r.Store.SetSettings(ctx, a.ID, s)
	}
	return s, n.Load(), nil
}

package round

import (
	"context"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// kept is what clients have written of some series beside Outlook.
type kept struct {
	names    map[graph.EventID]bridge.Name
	overlays map[graph.EventID]convert.Overlay
	attached map[graph.EventID]map[graph.EventID]bridge.Attached
}

type keptOf struct {
	name     bridge.Name
	overlay  convert.Overlay
	attached map[graph.EventID]bridge.Attached
}

// kept finds it. A calendar that nobody has written to costs nothing.
func (d *Deriver) kept(ctx context.Context, series []graph.EventID) (k kept, err error) {
	if k.attached, err = d.attached(ctx, series); err != nil || !d.cal.Written {
		return k, err
	}
	list, err := d.store.Names(ctx, d.cal.ID, series...)
	if err != nil {
		return k, err
	}
	k.names = make(map[graph.EventID]bridge.Name, len(list))
	for _, n := range list {
		if !n.Alias {
			k.names[n.Series] = n
		}
	}
	k.overlays, err = d.store.Overlays(ctx, d.cal.ID, series)
	return k, err
}

func (k kept) of(series graph.EventID) keptOf {
	return keptOf{k.names[series], k.overlays[series], k.attached[series]}
}

func (k keptOf) into(s *convert.Series) { s.UID, s.Overlay = k.name.UID, k.overlay }

// mails reports whether Outlook mails what clients change of an event. Of an invitation by somebody else that is the answer, of a
// meeting of one's own invitations and cancellations. Where it does, a client must leave the mail to the server (RFC 6638 §7.1) and
// may ask for an answer; where it does not, the client must do neither, for a change that would mail is refused.
func mails(p bridge.Policy, e graph.Event) bool {
	switch p.Invitations {
	case bridge.InvitationsOutlook:
		return p.Write
	case bridge.InvitationsReplies:
		return p.Write && !e.IsOrganizer
	}
	return false
}

// isName reports whether text can be the last segment of an object's path.
func isName(text string) bool {
	return text != "" && text != "." && text != ".." && len(text) <= 255 && !strings.ContainsAny(text, "/\x00")
}

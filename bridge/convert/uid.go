package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// globalID begins every iCalUId that Exchange made itself ([MS-OXOCAL] 2.2.1.27). The eight digits that follow are the
// date of the instance (year, month, day), zero for a series or a single event; then comes what names the series.
const globalID = "040000008200E00074C5B7101A82E008"

// UID is the UID of the object that e belongs to: the same for a master and all its occurrences ([MS-OXOCAL]
// 2.2.1.28). It is the iCalUId without its instance date; where Graph has none, it is derived from the id of the
// master or of e, and where an event carries no id either (one that was redacted), from all that it says.
func UID(e graph.Event) string {
	uid := strings.TrimSpace(e.ICalUID)
	if _, ok := instanceDate(uid); ok {
		return uid[:32] + "00000000" + uid[40:]
	}
	switch {
	case !ics.Blank(uid):
		return uid
	case e.SeriesMasterID != "":
		return derivedUID("id", []byte(e.SeriesMasterID))
	case e.ID != "":
		return derivedUID("id", []byte(e.ID))
	case len(e.Raw) > 0:
		return derivedUID("event", e.Raw)
	}
	b, _ := json.Marshal(e) // an event that no JSON was read for; its types cannot fail to marshal
	return derivedUID("event", b)
}

// sayUID tells where the UID came from.
func (c *conversion) sayUID() {
	why := "it is the iCalUId as it stands"
	switch date, exchange := instanceDate(strings.TrimSpace(c.Event.ICalUID)); {
	case c.UID != "":
		why = "it is that of the client that has made the event"
	case exchange && !date.IsZero():
		why = "it is the iCalUId with its instance date set to zero, as the series has it"
	case exchange:
		why = "it is the iCalUId, which Exchange made"
	case !ics.Blank(c.Event.ICalUID):
	case c.Event.SeriesMasterID != "":
		why = "there is no iCalUId, so it is made from the seriesMasterId"
	case c.Event.ID != "":
		why = "there is no iCalUId, so it is made from the id"
	default:
		why = "there is neither an iCalUId nor an id, so it is made from all that the event says"
	}
	c.say("UID", c.uid, "; ", why)
}

func derivedUID(kind string, b []byte) string {
	sum := sha256.Sum256(append([]byte(kind+"\x00"), b...))
	return "outbridge-" + hex.EncodeToString(sum[:20])
}

// instanceDate is the date in an iCalUId: zero for a series. ok is false for one that Exchange did not make.
func instanceDate(uid string) (t time.Time, ok bool) {
	if len(uid) < 40 || !strings.EqualFold(uid[:32], globalID) {
		return time.Time{}, false
	}
	b, err := hex.DecodeString(uid[32:40])
	if err != nil {
		return time.Time{}, false
	}
	y, m, d := int(b[0])<<8|int(b[1]), time.Month(b[2]), int(b[3])
	if y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return time.Time{}, true
	}
	return date(y, m, d), true
}

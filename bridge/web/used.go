package web

import (
	"regexp"
	"strings"
	"time"
)

// calendarPrograms are names of clients, by what their User-Agent has of them.
var calendarPrograms = []struct {
	has  string
	name Text
}{
	{"Thunderbird", Plain("Thunderbird")}, {"DAVx5", Plain("DAVx⁵")}, {"DAVdroid", Plain("DAVx⁵")}, {"ICSx5", Plain("ICSx⁵")}, {"dataaccessd", "Calendar on iPhone or iPad"},
	{"iOS/", "Calendar on iPhone or iPad"}, {"CalendarAgent", "Calendar on a Mac"}, {"macOS/", "Calendar on a Mac"}, {"Mac_OS_X", "Calendar on a Mac"},
	{"Mac OS X/", "Calendar on a Mac"}, {"Evolution", "Evolution or GNOME Calendar"}, {"evolution", "Evolution or GNOME Calendar"}, {"KIO/", Plain("KDE")}, {"kioworker", Plain("KDE")},
	{"vdirsyncer", Plain("vdirsyncer")}, {"pimsync", Plain("pimsync")}, {"CalDavSynchronizer", Plain("CalDav Synchronizer")}, {"HomeAssistant", Plain("Home Assistant")},
	{"Google-Calendar-Importer", "Google Calendar"}, {"GoogleBot", Plain("Google")}, {"Microsoft.Exchange", "Outlook on the web"}, {"Microsoft Exchange", "Outlook on the web"},
	{"Microsoft Office", Plain("Outlook")}, {"python-requests", "a Python program"}, {"curl/", Plain("curl")}, {"Wget", Plain("wget")}, {"outbridge", Plain("outbridge doctor")},
}

var productName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}`)

// programOf is the name of a client by its User-Agent, "" where that tells none.
func programOf(agent string) Text {
	for _, p := range calendarPrograms {
		if strings.Contains(agent, p.has) {
			return p.name
		}
	}
	if name := browser(agent); name != unknownBrowser {
		return name
	}
	if name := strings.TrimSpace(productName.FindString(agent)); name != "" {
		return Plain(name)
	}
	return ""
}

// usedText says when something was last used, and by what.
func usedText(now, used time.Time, client string) Text {
	if used.IsZero() {
		return "It has not been used yet."
	}
	if p := programOf(client); p != "" {
		return With("It was last used {when}, by {program}.", usedAgo(now, used), p)
	}
	return With("It was last used {when}.", usedAgo(now, used))
}

// usedAgo does not tell more than is known, which is the hour.
func usedAgo(now, used time.Time) Text {
	switch {
	case used.IsZero():
		return "never"
	case now.Sub(used) < time.Hour:
		return "within the hour"
	}
	return ago(now, used)
}

package web

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"

	"outbridge/bridge"
)

// NoticeWords are the title and the text of a message about trouble; address is public_url. Names in it come from Outlook, so
// they are kept to one line.
func NoticeWords(m bridge.NoticeMessage, address string) (title, text string) {
	var lines []string
	began, over := 0, 0
	for _, n := range m.News {
		head, body := noticeWords(n, strings.TrimSuffix(address, "/"))
		if title == "" {
			title = head
		}
		if n.Over {
			over++
		} else {
			began++
		}
		if len(m.News) > 1 { // else it is in the title
			body = oneLine(head) + "\n" + body
		}
		lines = append(lines, body)
	}
	switch n := len(m.News) + m.More; {
	case n > 1 && began == 0:
		title = fmt.Sprintf("%d problems are over", n)
	case n > 1 && over == 0:
		title = fmt.Sprintf("%d new problems", n)
	case n > 1:
		title = fmt.Sprintf("%s, %d over", count(n-over, "new problem", "new problems"), over)
	}
	text = strings.Join(lines, "\n\n")
	if m.More > 0 {
		text += fmt.Sprintf("\n\nAnd %d more.", m.More)
	}
	if address != "" && !strings.Contains(text, "://") {
		text += "\n\n" + strings.TrimSuffix(address, "/") + "/"
	}
	return "outbridge: " + oneLine(title), text
}

// noticeWords are a head line and what there is to say and to do about one trouble.
func noticeWords(n bridge.News, address string) (head, body string) {
	account, calendar := n.Account, `"`+oneLine(n.Calendar)+`"`
	w := WordsFor(n.Fault)
	page := address + accountPath(n.Account)
	day := n.At.Local().Format("2 January 2006, 15:04")
	switch n.Kind {
	case bridge.NoticeSignIn:
		head = account + " is no longer synced"
		switch {
		case n.Fault.Action == bridge.ActionSignIn:
			head = account + " needs a new sign-in"
		case n.Over:
			head = account + " was not synced"
		}
		fix := w
		fix.AfterSignIn = strings.TrimPrefix(w.AfterSignIn, " again")
		body = strings.TrimSpace(oneLine(w.Sentence)+" "+fix.Action(n.Fault, "sign in again")) + "\n" + page + "/sign-in"
		if !n.Fault.Action.SignsIn() {
			body = strings.TrimSuffix(body, "/sign-in")
		}
	case bridge.NoticeSignInEnds:
		head = "the sign-in of " + account + " ends soon"
		body = "The organization ends it at " + day + ". Sign in again before, so that no change is missed.\n" + page + "/sign-in"
	case bridge.NoticeStale:
		head = "calendar " + calendar + " of " + account + " is out of date"
		body = "It has never been synced."
		if !n.At.IsZero() {
			body = "Its last good sync was at " + day + ", and calendar apps are shown what was there then."
		}
		if w.Sentence != "" {
			body += " " + oneLine(w.Sentence)
		}
		body += "\n" + page
	case bridge.NoticeCredential:
		head = "the app's " + n.Detail + " expires on " + n.At.Format("2 January 2006")
		fix := map[string]string{
			"certificate":   "Make a new one, upload it in the app registration next to the old one, and put it and its key into certificate_file.",
			"client secret": "Make a new one in the app registration, and put its value into client_secret_file and its date into client_secret_expires.",
		}[n.Detail]
		body = "From then on nothing is synced. " + fix
	case bridge.NoticeCertificate:
		head = "the certificate of this bridge expires on " + n.At.Format("2 January 2006")
		body = "From then on calendar apps cannot connect. Renew it: cert_file and key_file in [tls] name its files."
	case bridge.NoticeRenewal:
		head = "the certificate of " + n.Detail + " is not renewed"
		body = "It expires on " + n.At.Format("2 January 2006") + ", and then calendar apps cannot connect. The bridge tries to renew it, and its log says why that fails: mostly, port 443 or 80 cannot be reached from the internet, or the name leads elsewhere."
	case bridge.NoticeRefused:
		head = "a change in " + calendar + " of " + account + " was refused"
		body = "A calendar app has changed something that was not taken over to Outlook. The list of changes says why.\n" + page + "/changes"
	case bridge.NoticeFailed:
		head = "a change in " + calendar + " of " + account + " failed"
		body = "A change of a calendar app could not be carried out in Outlook, or only in part. The list of changes says why.\n" + page + "/changes"
	case bridge.NoticeUnknown:
		head = "a change in " + calendar + " of " + account + " was perhaps made"
		body = "Outlook's answer to a change of a calendar app was lost. It may have mailed people, so it is not tried again: look at the event in Outlook.\n" + page + "/changes"
	case bridge.NoticeWaiting:
		head = count(n.Count, "change", "changes") + " of " + account + " not yet in Outlook"
		body = "What calendar apps have changed waits since " + day + ". It is tried again with each sync.\n" + page + "/changes"
	case bridge.NoticeHeld:
		head = "changes of " + account + " are stopped"
		body = "Since " + day + " no change of a calendar app is carried out, because too many of them would have mailed people. Look at the list of changes, and go on from there.\n" + page + "/changes"
	case bridge.NoticeDiskLow:
		head = "the disk is almost full"
		body = fmt.Sprintf("%d MiB are free where the database is. Make room: on a full disk nothing is synced.", n.Count)
	case bridge.NoticeDiskFull:
		head = "the disk is full"
		body = "Nothing can be synced until there is room where the database is. Calendars and feeds are still served as they were."
	case bridge.NoticeTest:
		return "a test message", "Notifications arrive here. You are told once when there is trouble, and once when it is over."
	default:
		head = string(n.Kind)
	}
	if n.Over {
		return "over: " + head, "This is over, " + lasted(n) + "."
	}
	return head, body
}

// lasted is how long a trouble was there.
func lasted(n bridge.News) string {
	if n.Told.IsZero() {
		return "since " + n.Since.Local().Format("15:04")
	}
	return "it began at " + n.Since.Local().Format("2 January 2006, 15:04")
}

// oneLine keeps what others have named from adding lines of their own.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// services are what targets of notifications are called.
var services = map[string]string{"smtp": "Email", "generic": "Webhook", "ntfy": "ntfy", "googlechat": "Google Chat", "hangouts": "Google Chat",
	"opsgenie": "OpsGenie", "pagerduty": "PagerDuty", "rocketchat": "Rocket.Chat", "wecom": "WeCom", "ifttt": "IFTTT", "teams": "Microsoft Teams"}

// TargetName is what a target is called, without its secrets.
func TargetName(t bridge.NoticeTarget) string {
	name := cmp.Or(services[t.Service], strings.ToUpper(t.Service[:min(1, len(t.Service))])+t.Service[min(1, len(t.Service)):])
	switch {
	case t.Where == "":
		return name
	case t.Service == "smtp":
		return name + " to " + t.Where
	}
	return name + " at " + t.Where
}

// FailureWords say why a message could not be delivered; "" where it was.
func FailureWords(f bridge.NoticeFailure) string {
	code := ""
	if f.Status != 0 {
		code = fmt.Sprintf(" (%d)", f.Status)
	}
	switch f.Reason {
	case "":
		return ""
	case "refused":
		return "The other side has refused the message" + code + "."
	case "sign-in":
		return "The other side does not accept the user, password or token" + code + "."
	case "unreachable":
		return "Nobody answers at this address."
	case "no-host":
		return "There is no such host."
	case "timeout":
		return "The other side does not answer in time."
	case "certificate":
		return "The certificate of the other side is not valid, or it does not speak TLS."
	}
	return "The message could not be sent" + code + "."
}

// isStale reports whether a calendar that was last good then is out of date. after is the limit; 0: there is none.
func isStale(now, good time.Time, after time.Duration) bool {
	return after > 0 && !good.IsZero() && now.Sub(good) >= after
}

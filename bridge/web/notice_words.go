package web

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"

	"outbridge/bridge"
)

// NoticeWords are the title and the text of a message about trouble, in a language; address is public_url. Names in it come from
// Outlook, so they are kept to one line.
func NoticeWords(l *Language, m bridge.NoticeMessage, address string) (title, text string) {
	address = strings.TrimSuffix(address, "/")
	var lines []string
	began, over := 0, 0
	for _, n := range m.News {
		head, body := l.noticeWords(n, address)
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
		title = l.N(n, "{n} problem is over", "{n} problems are over")
	case n > 1 && over == 0:
		title = l.N(n, "{n} new problem", "{n} new problems")
	case n > 1:
		title = l.N(n-over, "{n} new problem, {over} over", "{n} new problems, {over} over", over)
	}
	text = strings.Join(lines, "\n\n")
	if m.More > 0 {
		text += "\n\n" + l.N(m.More, "And {n} more.", "And {n} more.")
	}
	if address != "" && !strings.Contains(text, "://") {
		text += "\n\n" + address + "/"
	}
	return "outbridge: " + oneLine(title), text
}

// noticeWords are a head line and what there is to say and to do about one trouble.
func (l *Language) noticeWords(n bridge.News, address string) (head, body string) {
	account, calendar := n.Account, oneLine(n.Calendar)
	w := wordingFor(n.Fault)
	page := address + accountPath(n.Account)
	day := l.Time(n.At.Local(), "2 January 2006, 15:04")
	date := l.Time(n.At, "2 January 2006")
	says := func(sentences ...Text) string {
		var all []string
		for _, s := range sentences {
			if s != "" {
				all = append(all, oneLine(l.Text(s)))
			}
		}
		return strings.Join(all, " ")
	}
	switch n.Kind {
	case bridge.NoticeSignIn:
		head = l.Text("{account} is no longer synced", account)
		switch {
		case n.Fault.Action == bridge.ActionSignIn:
			head = l.Text("{account} needs a new sign-in", account)
		case n.Over:
			head = l.Text("{account} was not synced", account)
		}
		body = says(w.Sentence, w.action(n.Fault)) + "\n" + page
		if n.Fault.Action.SignsIn() {
			body += "/sign-in"
		}
	case bridge.NoticeSignInEnds:
		head = l.Text("the sign-in of {account} ends soon", account)
		body = l.Text("The organization ends it at {time}. Sign in again before, so that no change is missed.", day) + "\n" + page + "/sign-in"
	case bridge.NoticeStale:
		head = l.Text("calendar \"{calendar}\" of {account} is out of date", calendar, account)
		var since Text = "It has never been synced."
		if !n.At.IsZero() {
			since = With("Its last good sync was at {time}, and calendar apps are shown what was there then.", day)
		}
		body = says(since, w.Sentence) + "\n" + page
	case bridge.NoticeCredential:
		switch n.Detail {
		case "certificate":
			head = l.Text("the app's certificate expires on {date}", date)
			body = says("From then on nothing is synced.", "Make a new one, upload it in the app registration next to the old one, and put it and its key into certificate_file.")
		case "client secret":
			head = l.Text("the app's client secret expires on {date}", date)
			body = says("From then on nothing is synced.", "Make a new one in the app registration, and put its value into client_secret_file and its date into client_secret_expires.")
		}
	case bridge.NoticeCertificate:
		head = l.Text("the certificate of this bridge expires on {date}", date)
		body = l.Text("From then on calendar apps cannot connect. Renew it: cert_file and key_file in [tls] name its files.")
	case bridge.NoticeRenewal:
		head = l.Text("the certificate of {name} is not renewed", n.Detail)
		body = l.Text("It expires on {date}, and then calendar apps cannot connect. The bridge tries to renew it, and its log says why that fails: mostly, port 443 or 80 cannot be reached from the internet, or the name leads elsewhere.", date)
	case bridge.NoticeRefused:
		head = l.Text("a change in \"{calendar}\" of {account} was refused", calendar, account)
		body = l.Text("A calendar app has changed something that was not taken over to Outlook. The list of changes says why.") + "\n" + page + "/changes"
	case bridge.NoticeFailed:
		head = l.Text("a change in \"{calendar}\" of {account} failed", calendar, account)
		body = l.Text("A change of a calendar app could not be carried out in Outlook, or only in part. The list of changes says why.") + "\n" + page + "/changes"
	case bridge.NoticeUnknown:
		head = l.Text("a change in \"{calendar}\" of {account} was perhaps made", calendar, account)
		body = l.Text("Outlook's answer to a change of a calendar app was lost. It may have mailed people, so it is not tried again: look at the event in Outlook.") + "\n" + page + "/changes"
	case bridge.NoticeWaiting:
		head = l.N(n.Count, "{n} change of {account} not yet in Outlook", "{n} changes of {account} not yet in Outlook", account)
		body = l.Text("What calendar apps have changed waits since {time}. It is tried again with each sync.", day) + "\n" + page + "/changes"
	case bridge.NoticeHeld:
		head = l.Text("changes of {account} are stopped", account)
		body = l.Text("Since {time} no change of a calendar app is carried out, because too many of them would have mailed people. Look at the list of changes, and go on from there.", day) + "\n" + page + "/changes"
	case bridge.NoticeMembers:
		head = l.N(n.Count, "{n} member of the organization is not synced", "{n} members of the organization are not synced")
		body = says(w.Sentence, w.action(n.Fault))
	case bridge.NoticeDirectory:
		head = l.Text("the organization's directory cannot be read")
		body = says(w.Sentence, w.action(n.Fault))
	case bridge.NoticeDoubt:
		head = l.Text("the directory's answer is not believed")
		body = l.N(n.Count, "It would end {n} account. Everybody is served as before. If it is right, run `outbridge members confirm`.",
			"It would end {n} accounts. Everybody is served as before. If it is right, run `outbridge members confirm`.")
	case bridge.NoticeDiskLow:
		head = l.Text("the disk is almost full")
		body = l.Text("{n} MiB are free where the database is. Make room: on a full disk nothing is synced.", n.Count)
	case bridge.NoticeDiskFull:
		head = l.Text("the disk is full")
		body = l.Text("Nothing can be synced until there is room where the database is. Calendars and feeds are still served as they were.")
	case bridge.NoticeTest:
		return l.Text("a test message"), l.Text("Notifications arrive here. You are told once when there is trouble, and once when it is over.")
	default:
		head = string(n.Kind)
	}
	if n.Over {
		return l.Text("over: {problem}", head), l.lasted(n)
	}
	return head, body
}

// lasted is how long a trouble was there that is over.
func (l *Language) lasted(n bridge.News) string {
	since := n.Since.Local()
	if n.Told.IsZero() {
		return l.Text("This is over, since {time}.", l.Time(since, "15:04"))
	}
	return l.Text("This is over; it began on {time}.", l.Time(since, "2 January 2006, 15:04"))
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
var services = map[string]Text{"smtp": "Email", "generic": "Webhook", "ntfy": Plain("ntfy"), "googlechat": Plain("Google Chat"), "hangouts": Plain("Google Chat"),
	"opsgenie": Plain("OpsGenie"), "pagerduty": Plain("PagerDuty"), "rocketchat": Plain("Rocket.Chat"), "wecom": Plain("WeCom"), "ifttt": Plain("IFTTT"), "teams": Plain("Microsoft Teams")}

// TargetName is what a target is called, without its secrets, in English.
func TargetName(t bridge.NoticeTarget) string { return targetName(t).String() }

func targetName(t bridge.NoticeTarget) Text {
	name := cmp.Or(services[t.Service], Plain(strings.ToUpper(t.Service[:min(1, len(t.Service))])+t.Service[min(1, len(t.Service)):]))
	switch {
	case t.Where == "":
		return name
	case t.Service == "smtp":
		return With("{service} to {address}", name, t.Where)
	}
	return With("{service} at {address}", name, t.Where)
}

// FailureWords say why a message could not be delivered, in English; "" where it was.
func FailureWords(f bridge.NoticeFailure) string { return failureText(f).String() }

func failureText(f bridge.NoticeFailure) Text {
	code := ""
	if f.Status != 0 {
		code = fmt.Sprintf(" (%d)", f.Status)
	}
	switch f.Reason {
	case "":
		return ""
	case "refused":
		return With("The other side has refused the message{code}.", code)
	case "sign-in":
		return With("The other side does not accept the user, password or token{code}.", code)
	case "unreachable":
		return "Nobody answers at this address."
	case "no-host":
		return "There is no such host."
	case "timeout":
		return "The other side does not answer in time."
	case "certificate":
		return "The certificate of the other side is not valid, or it does not speak TLS."
	}
	return With("The message could not be sent{code}.", code)
}

// isStale reports whether a calendar that was last good then is out of date. after is the limit; 0: there is none.
func isStale(now, good time.Time, after time.Duration) bool {
	return after > 0 && !good.IsZero() && now.Sub(good) >= after
}

package web_test

import (
	"strings"
	"testing"

	"outbridge/bridge/web"
)

// A page is in the language that the browser likes best of those that there are, else in that of the bridge.
func TestLanguageOfPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for accept, want := range map[string]string{
		"": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.5": "de", "en-GB,de;q=0.9": "en", "fr,de;q=0.5": "de", "fr": "en", "de;q=0": "en", "*": "en", "not a header;;": "en",
		strings.Repeat("fr-FR;q=0.9,", 10_000) + "de": "en", "de," + strings.Repeat("x", 100_000): "de",
	} {
		page := d.get(d.url+"/", "Accept-Language", accept)
		if !strings.Contains(page.body, `<html lang="`+want+`">`) || page.Header.Get("Content-Language") != want || !strings.Contains(page.Header.Get("Vary"), "Accept-Language") {
			t.Errorf("Accept-Language %.60q: %s, vary %q", accept, page.Header.Get("Content-Language"), page.Header.Get("Vary"))
		}
	}
	page := d.get(d.url+"/nothing", "Accept-Language", "de")
	if page.StatusCode != 404 || !strings.Contains(page.body, "Unter dieser Adresse gibt es nichts.") {
		t.Errorf("%s\n%s", page.Status, page.body)
	}
}

// Who has chosen a language at the foot of a page keeps it, also against that of the browser.
func TestChosenLanguage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	page := d.get(d.url + "/?x=1&lang=de&done=saved")
	set := page.Header.Get("Set-Cookie")
	if !strings.Contains(page.body, "Diese Bridge läuft.") || !strings.Contains(set, cookieOf(d, "outbridge-language")+"=de") || !strings.Contains(set, "HttpOnly") {
		t.Fatalf("cookie %q\n%s", set, page.body)
	}
	if !strings.Contains(page.body, `href="/?lang=en&amp;x=1"`) {
		t.Errorf("no link to English that keeps the query:\n%s", page.body)
	}
	cookie, _, _ := strings.Cut(set, ";")
	if page := d.get(d.url+"/", "Accept-Language", "en", "Cookie", cookie); page.Header.Get("Content-Language") != "de" {
		t.Error("the choice is not kept")
	}
	for _, bad := range []string{"xx", "fr", "de%22%3E%3Cscript%3E", "../de"} {
		if page := d.get(d.url + "/?lang=" + bad); page.Header.Get("Set-Cookie") != "" || page.Header.Get("Content-Language") != "en" || strings.Contains(page.body, "<script>") {
			t.Errorf("lang=%s: %v", bad, page.Header)
		}
	}
	d.handler.Language = web.Languages()[1]
	if page := d.get(d.url+"/", "Accept-Language", "fr"); page.Header.Get("Content-Language") != "de" {
		t.Error("the language of the bridge is not taken")
	}
}

// What is put into a text is text, whatever it looks like.
func TestTextsEscape(t *testing.T) {
	t.Parallel()
	evil := `<script>"{n}"&</script>`
	for _, l := range web.Languages() {
		got := string(l.HTML("Sign in as <strong>{person}</strong>. The bridge can then read the calendars and nothing else.", evil))
		if !strings.Contains(got, `<strong>&lt;script&gt;&#34;{n}&#34;&amp;&lt;/script&gt;</strong>`) {
			t.Errorf("%s: %s", l.Tag, got)
		}
		if got := l.Text(web.With("{account} was not synced", web.Plain("{account}"))); !strings.HasPrefix(got, "{account} w") {
			t.Errorf("%s: %s", l.Tag, got)
		}
	}
	german, _ := web.FindLanguage("de-CH")
	for n, want := range map[int]string{0: "0 Termine, keine Abweichung.", 1: "1 Termin, keine Abweichung.", 1204: "1.204 Termine, keine Abweichung."} {
		got := german.N(n, "Compared {when}: {n} occurrence, all equal.", "Compared {when}: {n} occurrences, all equal.", "heute")
		if got != "Verglichen heute: "+want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for english, want := range map[string]string{
		`The status "workingElsewhere" is shown as busy.`:                                       "Der Status „workingElsewhere“ wird als beschäftigt angezeigt.",
		"Only 300 of the 500 attendees are carried over: the event would be larger than 1 MiB.": "Nur 300 der 500 Teilnehmer werden übernommen: Der Termin wäre sonst größer als 1 MiB.",
		`Outlook would send mail to 15 people because of this change, and invitations = "never" does not allow that; set invitations = "outlook" for this account, or change the meeting in Outlook.`: `Outlook würde wegen dieser Änderung E-Mails an 15 Personen senden, und invitations = "never" erlaubt das nicht; setzen Sie für dieses Konto invitations = "outlook", oder ändern Sie die Besprechung in Outlook.`,
		"A sentence that nobody knows.":                                                                          "A sentence that nobody knows.",
		`The time zone "A" is not known; the times are written in Europe/Berlin.`:                                "Die Zeitzone „A“ ist nicht bekannt; die Zeiten stehen in Europe/Berlin.",
		"The HTML of the body is left out, only its text is carried over: the event would be larger than 1 MiB.": "Das HTML der Beschreibung wird weggelassen, nur der Text wird übernommen: Der Termin wäre sonst größer als 1 MiB.",
	} {
		if got := german.Known(english); got != want {
			t.Errorf("%s", got)
		}
	}
}

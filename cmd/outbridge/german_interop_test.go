//go:build interop

package main

import (
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"outbridge/bridge/graph/graphsim"
)

// English words that no German text has. The pages' own texts are read, not what is typed or comes from Outlook.
var englishWords = regexp.MustCompile(`(?i)\b(the|and|with|you|your|is|are|this|that|not|which|from|of|for)\b[^\n]*`)

// TestPagesInGerman goes through the pages in a browser that asks for German.
func TestPagesInGerman(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.DemoMailbox()
	p, url, code := emptyBridge(t, sim)
	b := newBrowser(t, chromedp.Flag("accept-lang", "de-DE,de,en"))
	look := func(name string) {
		t.Helper()
		b.look(name)
		if lang := eval[string](b, `document.documentElement.lang`); lang != "de" {
			t.Errorf("%s is in %q", name, lang)
		}
		own := eval[string](b, `(() => {
			const own = document.body.cloneNode(true);
			own.querySelectorAll("code, pre, s, .agenda, .text, .calendar, [translate=no], .foot, .fault, #differences ~ *, details.guest, th[scope=row]").forEach(e => e.remove());
			return own.innerText;
		})()`)
		if english := englishWords.FindString(own); english != "" {
			t.Errorf("%s has English: %s", name, english)
		}
	}

	b.open(url + "/")
	b.shows("Diese Bridge läuft.")
	look("vorn")
	b.press("Einrichten")
	look("einrichten")
	b.fill("code", "AAAAA-AAAAA")
	b.fill("password", "correct horse battery")
	b.fill("repeat", "correct horse battery")
	b.press("Passwort festlegen")
	b.shows("Der Einrichtungscode ist falsch.")
	b.fill("code", code)
	b.fill("password", "correct horse battery")
	b.fill("repeat", "correct horse battery")
	b.press("Passwort festlegen")
	b.shows("Registrieren Sie zuerst eine App")
	look("zuerst")
	b.press("App-Registrierung eingeben")
	b.fill("client_id", "99999999-2222-3333-4444-555555555555")
	b.press("Speichern")
	b.shows("Die App ist in diesem Mandanten nicht bekannt. Microsoft sagt dazu: „")
	b.fill("client_id", testClientID)
	b.press("Speichern")
	b.shows("Konto hinzufügen")
	look("konto-neu")
	b.fill("name", "robin")
	b.press("Weiter")
	b.shows("Melden Sie sich als Inhaber des Postfachs an.")
	look("anmeldung-wahl")
	b.press("Code anfordern")
	b.shows("Warten auf Ihre Anmeldung")
	look("code")
	if err := sim.ApproveDevice(b.read("user-code"), box); err != nil {
		t.Fatal(err)
	}
	b.shows("Angemeldet. Die erste Synchronisierung hat begonnen.")
	b.shows("Auf dem Stand von Outlook", "Zuletzt synchronisiert")
	look("konto")
	b.open(url + "/")
	b.shows("Nächste Synchronisierung:")
	look("konten")

	b.open(url + "/calendars/robin?view=month")
	b.shows("Stand-up", "Heute", "Woche")
	b.look("kalender")
	b.open(url + "/calendars/robin/calendar?view=agenda")
	b.shows("Unterschiede zu Outlook", "Stand-up")
	b.look("agenda")
	b.open(url + "/calendars/robin?q=stand")
	b.shows("Kommende")
	b.look("suche")
	b.press("Stand-up")
	b.shows("So erhalten ihn Kalender-Apps", "Wiederholt sich")
	b.look("termin")
	b.press("Wie das zustande kam")
	b.shows("Der Text ist englisch.")
	b.look("herkunft")
	b.open(url + "/calendars/robin?q=nichts-davon")
	b.shows("Nichts Kommendes")
	b.open(url + "/accounts/robin/compare")
	look("vergleich")
	b.open(url + "/accounts/robin/history/calendar")
	b.shows("neu")
	b.look("verlauf")

	b.open(url + "/accounts/robin/passwords")
	b.fill("label", "Thunderbird auf dem Laptop")
	b.press("App-Passwort erstellen")
	b.shows("Neues App-Passwort")
	look("passwort")
	b.press("App-Passwort für Thunderbird auf dem Laptop widerrufen")
	b.shows("Es wurde noch nicht verwendet.")
	look("widerrufen")
	b.open(url + "/accounts/robin/feeds")
	look("abo-neu")
	b.press("Abonnement erstellen")
	b.shows("Adresse des Abonnements")
	look("abo")
	b.press("Abonnement Alle Kalender bearbeiten")
	look("abo-bearbeiten")
	b.open(url + "/accounts/robin/connect")
	b.unfoldAll()
	look("verbinden")
	for _, page := range []struct{ path, name, shows string }{
		{"/accounts/robin/options", "optionen", "Kalender anderer Personen"},
		{"/accounts/robin/changes", "aenderungen", "Was Kalender-Apps ändern dürfen"},
		{"/accounts/robin/sign-in", "erneut", "Als jemand anderes anmelden"},
		{"/accounts/robin/remove", "entfernen", "robin entfernen"},
		{"/settings", "einstellungen", "Angemeldete Browser"},
		{"/settings/sync", "synchronisierung", "Das ist in der Konfiguration festgelegt."},
		{"/people", "personen", "Jemanden einladen"},
		{"/record", "aufzeichnung", "Wer sich angemeldet hat"},
		{"/app", "app", "Clientgeheimnis oder Zertifikat"},
		{"/accounts/nobody", "fehler", "Diese Seite gibt es nicht"},
	} {
		b.open(url + page.path)
		b.shows(page.shows)
		b.unfoldAll()
		look(page.name)
	}

	// Another language, chosen at the foot of a page, stays.
	b.open(url + "/settings")
	b.press("English")
	b.shows("Signed-in browsers")
	b.open(url + "/")
	b.shows("Last good sync")
	b.press("Deutsch")
	b.shows("Zuletzt synchronisiert")
	b.press("Abmelden")
	b.open(url + "/sign-in")
	b.shows("Administratorpasswort")
	look("anmelden")
	p.end(syscall.SIGTERM)
}

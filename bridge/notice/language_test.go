package notice_test

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"outbridge/bridge"
)

// Each target is told in its language, with a subject that mail programs can read, also after a restart.
func TestLanguages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mails, topics inbox
	address := "smtp://bob:hunter2-secret@" + mailServer(t, &mails) + "/?from=bridge@example.com&to=me@example.org"
	for _, language := range []string{"", "de"} { // the same address again gets the other language
		if _, err := w.Add(w.Context(), address, language); err != nil {
			t.Fatal(err)
		}
	}
	w.add("ntfy://" + strings.TrimPrefix(ntfyServer(t, &topics).URL, "http://") + "/topic?scheme=http")
	w.start()
	w.found.Present = []bridge.Notice{{Key: "refused", Kind: bridge.NoticeRefused, Account: "alice", Calendar: "Bücher", Since: w.now}}
	w.looks(1)

	got := mails.take()
	if len(got) != 1 {
		t.Fatalf("%d mails: %q", len(got), got)
	}
	_, text, _ := strings.Cut(got[0], "RCPT TO:<me@example.org>\n")
	if head, _, _ := strings.Cut(text, "\n\n"); strings.ContainsFunc(head, func(r rune) bool { return r > '~' }) {
		t.Errorf("the head is not ASCII:\n%s", head)
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if want := "outbridge: eine Änderung in „Bücher“ von alice wurde abgelehnt"; err != nil || subject != want {
		t.Errorf("subject %q, %v, want %q", subject, err, want)
	}
	body, err := io.ReadAll(m.Body)
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body, err = io.ReadAll(quotedprintable.NewReader(strings.NewReader(string(body))))
	}
	if err != nil || !strings.Contains(string(body), "Den Grund nennt die Liste der Änderungen.") {
		t.Errorf("%v: %s", err, body)
	}
	if got := topics.take(); len(got) != 1 || !strings.Contains(got[0], `a change in "Bücher" of alice was refused`) {
		t.Errorf("told without a language: %q", got)
	}
}

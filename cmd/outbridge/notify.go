package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/notice"
	"outbridge/bridge/web"
)

// notifyProblems are those of [notify]. None repeats an address: they have passwords and tokens in them.
func (c *config) notifyProblems() (all []error) {
	var err error
	if c.staleAfter = 0; c.Notify.StaleAfter != "never" {
		if c.staleAfter, err = time.ParseDuration(c.Notify.StaleAfter); err != nil || c.staleAfter < 10*time.Minute {
			all = append(all, fmt.Errorf("notify.stale_after = %q: write a duration of at least ten minutes, like 6h, or never", c.Notify.StaleAfter))
		}
	}
	if _, ok := web.FindLanguage(c.Notify.Language); !ok && c.Notify.Language != "" {
		all = append(all, fmt.Errorf("notify.language = %q: choose one of %s", c.Notify.Language, languageTags()))
	}
	list, wrong := notifyAddresses("notify.urls", c.Notify.URLs)
	c.notifyURLs = list
	return append(all, wrong...)
}

// checkLanguage checks language.
func (c *config) checkLanguage() error {
	var ok bool
	if c.language, ok = web.FindLanguage(c.Language); !ok {
		return fmt.Errorf("language = %q: choose one of %s", c.Language, languageTags())
	}
	return nil
}

// languageTags are the languages that there are: "en, de".
func languageTags() string {
	var all []string
	for _, l := range web.Languages() {
		all = append(all, l.Tag)
	}
	return strings.Join(all, ", ")
}

// notifyAddresses are those of a list as they are kept, and what is wrong with the others.
func notifyAddresses(key string, list []string) (all []string, wrong []error) {
	for i, text := range list {
		normal, err := notice.Normal(text)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: number %d is no address that notifications can be sent to: see docs/operations.md for how to write it", key, i+1))
			continue
		}
		all = append(all, normal)
	}
	return all, wrong
}

// notifyTargets are the addresses of the configuration and of its file with them.
func (c *config) notifyTargets() ([]string, error) {
	list, wrong := c.notifyFile()
	return slices.Concat(c.notifyURLs, list), errors.Join(wrong...)
}

// notifyFile are the addresses in notify.urls_file, and what is wrong with it.
func (c *config) notifyFile() (list []string, wrong []error) {
	path := c.Notify.URLsFile
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = notForEverybody(path)
	}
	if err != nil {
		return nil, []error{fmt.Errorf("notify.urls_file: %w", err)}
	}
	var lines []string
	for scan := bufio.NewScanner(bytes.NewReader(b)); scan.Scan(); {
		if line := strings.TrimSpace(scan.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return notifyAddresses("notify.urls_file", lines)
}

// watcher tells people of trouble.
func (p *program) watcher(ctx context.Context) (*notice.Watcher, error) {
	targets, err := p.conf.notifyTargets()
	if err != nil {
		return nil, err
	}
	w := &notice.Watcher{Store: p.store, Log: p.log,
		Words: func(m bridge.NoticeMessage, language string) (title, text string) {
			l, ok := web.FindLanguage(language)
			if !ok {
				l = p.conf.language
			}
			return web.NoticeWords(l, m, p.conf.PublicURL)
		}}
	w.Configure(targets, p.conf.Notify.Language)
	return w, w.Load(ctx)
}

// staleAfter is the age from which on a calendar is out of date, as of the last reload.
func (p *program) staleAfter() time.Duration {
	if after := p.newStaleAfter.Load(); after != nil {
		return *after
	}
	return p.conf.staleAfter
}

// surveyor finds out what is wrong with a server whose accounts these are.
func (p *program) surveyor(accounts *webAccounts) *notice.Surveyor {
	return &notice.Surveyor{Store: p.store, Accounts: accounts.names, Pulse: p.pulse.pulse, StaleAfter: p.staleAfter,
		Expiring: p.conf.expiring, Organization: accounts.members.enabled,
		Disk: func() (free uint64, low, full, known bool) {
			d, err := p.conf.databaseDisk()
			return d.Free, d.low(p.conf.databaseSize()), d.full(), err == nil && !d.unknown
		},
	}
}

// names are those of all accounts.
func (a *webAccounts) names() (list []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.p.accounts {
		list = append(list, one.Name)
	}
	return list
}

// expiring are the certificates and the secret of which it is known when they expire.
func (c *config) expiring() (list []bridge.Notice, err error) {
	credential, err := c.Microsoft.credential(time.Now())
	if credential != nil {
		list = append(list, bridge.Notice{Kind: bridge.NoticeCredential, Detail: credential.Kind, At: credential.Expires})
	}
	if c.certificate != nil {
		if have, certErr := c.certificate.get(nil); certErr != nil {
			err = errors.Join(err, certErr)
		} else if have != nil && have.Leaf != nil {
			list = append(list, bridge.Notice{Kind: bridge.NoticeCertificate, Detail: have.Leaf.Subject.CommonName, At: have.Leaf.NotAfter})
		}
	}
	overdue, overdueErr := c.overdue(time.Now())
	return append(list, overdue...), errors.Join(err, overdueErr)
}

type notifyCmd struct {
	Test notifyTestCmd `cmd:"" help:"Send a test message to every address."`
}

type notifyTestCmd struct {
	configFlag
}

func (n *notifyTestCmd) Run(e *env) error {
	p, err := n.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	p.oneShot(e, 1)
	w, err := p.watcher(e.ctx)
	if err != nil {
		return err
	}
	targets, err := w.Targets(e.ctx)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("there is no address to notify: add one on the settings page, or as notify.urls in the configuration")
	}
	failed := 0
	for _, t := range targets {
		failure, err := w.Test(e.ctx, t.ID)
		if err != nil {
			return err
		}
		outcome := "sent"
		if sentence := web.FailureWords(failure); sentence != "" {
			outcome = "failed: " + sentence
			failed++
		}
		fmt.Fprintf(e.stdout, "%s: %s\n", web.TargetName(t), outcome)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d messages could not be sent", failed, len(targets))
	}
	return nil
}

// webNotices is web.Notices.
type webNotices struct{ *notice.Watcher }

func (n webNotices) Add(ctx context.Context, address, language string) (id string, err error) {
	id, err = n.Watcher.Add(ctx, address, language)
	switch {
	case errors.Is(err, bridge.ErrNoticeURL):
		return "", &web.Problem{Sentence: "Notifications cannot be sent to this address.", Action: "Write it as in one of the examples."}
	case errors.Is(err, bridge.ErrTooMany):
		return "", &web.Problem{Sentence: "There are too many addresses already.", Action: "Remove one first."}
	}
	return id, err
}

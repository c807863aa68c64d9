package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"outbridge/bridge/notice"
)

// reloader takes up changes of the configuration file while `serve` runs, at SIGHUP: accounts, log_level, [notify], the app's secret
// or certificate and the server's own certificate. Everything else it names, and leaves until the next start.
type reloader struct {
	load    func() (*config, error)
	hangups chan os.Signal
	was     *config // as it was loaded last
	secrets [sha256.Size]byte
	targets []string // of notifications, those of urls_file with them
}

// newReloader begins to listen to SIGHUP, which then no longer ends the process. was is the configuration as it was loaded.
func newReloader(was *config, load func() (*config, error)) *reloader {
	kept := *was
	r := &reloader{load: load, was: &kept, hangups: make(chan os.Signal, 1), secrets: was.Microsoft.secrets()}
	signal.Notify(r.hangups, syscall.SIGHUP)
	return r
}

// secrets is a sum of what is in the files of the app's secret or certificate. A file that cannot be read counts as empty: who
// needs it says so.
func (m *microsoftConfig) secrets() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, path := range []string{m.ClientSecretFile, m.CertificateFile, m.CertificateKeyFile} {
		var b []byte
		if path != "" {
			b, _ = os.ReadFile(path)
		}
		fmt.Fprintf(h, "%d:", len(b))
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// run reloads at each SIGHUP, until ctx ends.
func (r *reloader) run(ctx context.Context, p *program, accounts *webAccounts, watcher *notice.Watcher) error {
	r.targets, _ = r.was.notifyTargets() // which the watcher has
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.hangups:
		}
		next, err := r.load()
		if err != nil {
			p.log.ErrorContext(ctx, "the configuration cannot be reloaded; the running one stays in use", "err", err)
			continue
		}
		r.apply(ctx, p, accounts, watcher, next)
	}
}

func (r *reloader) apply(ctx context.Context, p *program, accounts *webAccounts, watcher *notice.Watcher, next *config) {
	var applied, restart []string
	for _, key := range changedKeys(reflect.ValueOf(*r.was), reflect.ValueOf(*next), "") {
		if key == "log_level" {
			p.level.Set(next.level)
			applied = append(applied, key)
		} else if key != "account" && !strings.HasPrefix(key, "notify.") && !strings.HasPrefix(key, "organization.") {
			restart = append(restart, key)
		}
	}
	if p.conf.certificate != nil {
		if changed, err := p.conf.certificate.again(); err != nil {
			p.log.ErrorContext(ctx, "cannot read the new certificate; serving the last one", "err", err)
		} else if changed {
			applied = append(applied, "tls.cert_file")
		}
	}
	told, err := r.applyNotify(p, watcher, next)
	applied = append(applied, told...)
	if err != nil {
		p.log.ErrorContext(ctx, "the addresses of notifications cannot be read; those in use stay", "err", err)
	}
	secrets := p.conf.Microsoft.secrets() // of the files in use
	list, err := accounts.reload(ctx, next.Accounts, secrets != r.secrets)
	applied = append(applied, list...)
	if err != nil {
		p.log.ErrorContext(ctx, "not all accounts could be taken up again", "err", err)
	}
	if !reflect.DeepEqual(r.was.Organization, next.Organization) {
		if err := accounts.reloadOrganization(ctx, next); err != nil {
			p.log.ErrorContext(ctx, "the organization's members cannot be taken up again", "err", err)
		}
		applied = append(applied, "organization")
	}
	// What needs a restart is told of at each reload until then.
	r.was.LogLevel, r.was.Accounts, r.was.Organization, r.secrets = next.LogLevel, next.Accounts, next.Organization, secrets
	if len(applied) == 0 {
		applied = []string{"nothing"}
	}
	if len(restart) > 0 {
		p.log.WarnContext(ctx, "configuration reloaded, but some changes need a restart", "applied", strings.Join(applied, ", "), "restart_for", strings.Join(restart, ", "))
		return
	}
	p.log.InfoContext(ctx, "configuration reloaded", "applied", strings.Join(applied, ", "))
}

// applyNotify takes up [notify], and tells which of its keys have changed. It fails where urls_file cannot be read.
func (r *reloader) applyNotify(p *program, watcher *notice.Watcher, next *config) (applied []string, err error) {
	targets, err := next.notifyTargets()
	if err != nil {
		return nil, err
	}
	if !slices.Equal(targets, r.targets) {
		applied = append(applied, "notify.urls")
	}
	if r.was.Notify.Language != next.Notify.Language {
		applied = append(applied, "notify.language")
	}
	if len(applied) > 0 {
		watcher.Configure(targets, next.Notify.Language)
		r.targets = targets
	}
	if r.was.Notify.StaleAfter != next.Notify.StaleAfter {
		p.newStaleAfter.Store(&next.staleAfter)
		applied = append(applied, "notify.stale_after")
	}
	if len(applied) > 0 {
		watcher.Wake()
	}
	r.was.Notify = next.Notify
	return applied, nil
}

// changedKeys are the keys of the configuration in which two structs differ.
func changedKeys(a, b reflect.Value, prefix string) (keys []string) {
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("toml")
		switch {
		case name == "":
		case a.Field(i).Kind() == reflect.Struct:
			keys = append(keys, changedKeys(a.Field(i), b.Field(i), prefix+name+".")...)
		case a.Field(i).Kind() == reflect.Slice && a.Field(i).Len() == 0 && b.Field(i).Len() == 0:
		case !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

// reload brings the accounts of the file to what it has now, and tells which it has added, changed or removed. Those of the pages
// stay. If all is set, every account begins with the credentials that are there now.
func (a *webAccounts) reload(ctx context.Context, next []accountConfig, all bool) (done []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if all {
		done = append(done, "the app's credentials")
		a.p.graph.gates = new(gates) // the old ones have a token of the other credentials
	}
	begin := func(one accountConfig) {
		if a.p.registration.ClientID == "" {
			return // they begin when the registration is entered
		}
		m, startErr := a.p.mailbox(ctx, one)
		if startErr != nil {
			err = fmt.Errorf("account %s: %w", one.Name, startErr)
			return
		}
		a.work.Add(m)
	}
	for _, old := range slices.Clone(a.p.accounts) {
		if old.member && !all {
			continue // of the organization: reloadOrganization sees to it
		}
		i := slices.IndexFunc(next, func(one accountConfig) bool { return one.Name == old.Name })
		switch {
		case i < 0 && !a.p.added[old.Name] && !old.member:
			a.work.Remove(old.Name)
			a.p.removeAccount(old.Name)
			done = append(done, "account "+old.Name+" removed")
		case i >= 0 && (a.p.added[old.Name] || !reflect.DeepEqual(old, next[i])):
			a.p.removeAccount(old.Name)
			a.p.putAccount(next[i])
			begin(next[i])
			done = append(done, "account "+old.Name+" changed")
		case all:
			begin(old)
		}
	}
	for _, one := range next {
		known, missing := a.p.account(one.Name)
		if missing == nil && known.member {
			err = fmt.Errorf("the account %s has the name of a member of the organization (%s): choose another name for it", one.Name, known.Mailbox)
		}
		if missing != nil {
			a.p.putAccount(one)
			begin(one)
			done = append(done, "account "+one.Name+" added")
		}
	}
	return done, err
}

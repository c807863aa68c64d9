package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"outbridge/bridge/sqlstore"
)

type initCmd struct {
	configFlag
	ClientID  string `help:"Application (client) ID of the app registration." name:"client-id" placeholder:"ID"`
	Tenant    string `help:"Who may sign in: common, organizations, consumers, or the organization's ID or domain." placeholder:"TENANT"`
	Account   string `help:"Name of the account, also the CalDAV user." placeholder:"NAME"`
	PublicURL string `help:"Address that clients will use, such as https://calendar.example.com." name:"public-url" placeholder:"URL"`
	Cloud     string `help:"Where the mailbox is: global, usgov, dod or china." default:"global"`
	Listen    string `help:"Address to serve at. Default: 127.0.0.1:8080." default:"127.0.0.1:8080" placeholder:"ADDR"`
	Proxy     string `help:"Address of the reverse proxy, if it is on another machine or in another container; true to trust every peer." name:"trusted-proxy" placeholder:"ADDR"`
	KeyOnly   bool   `help:"Only create the key that the configuration names, if it is missing." name:"key-only"`
	Lost      bool   `help:"With --key-only: have the database take this key, since the one that it was made with is lost. App passwords and feeds have to be created again." name:"lost"`
}

// Run asks for what no flag gives, and writes the configuration and the key. It never overwrites anything. Who does not answer, as
// where there is no terminal, gets the defaults.
func (i *initCmd) Run(e *env) error {
	if i.Lost && !i.KeyOnly {
		return errors.New("init: --lost goes with --key-only")
	}
	if i.KeyOnly {
		return i.makeKey(e)
	}
	i.Config = cmp.Or(i.Config, defaultFile)
	if _, err := os.Lstat(i.Config); err == nil {
		return fmt.Errorf("%s already exists and was not changed: edit it, or name another file with --config", i.Config)
	}
	if err := i.ask(e); err != nil {
		return err
	}
	var text strings.Builder
	if err := initTemplate.Execute(&text, i); err != nil {
		return err
	}
	c := defaultConfig()
	if err := parseConfig([]byte(text.String()), &c); err != nil {
		return err // from a flag: answers have been checked
	}
	if err := c.checkExposed(); err != nil {
		return err
	}
	if err := writeNew(i.Config, text.String()); err != nil {
		return err
	}
	loaded, err := i.load()
	if err != nil {
		return err
	}
	if _, err := sqlstore.ReadKey(loaded.KeyFile); err != nil {
		return err
	}
	flag := ""
	if i.Config != defaultFile {
		flag = " --config " + i.Config
	}
	fmt.Fprintf(e.stdout, "Wrote %s and %s. Keep a copy of the key.\n", i.Config, loaded.KeyFile)
	if i.ClientID == "" {
		_, err = fmt.Fprintf(e.stdout, "Next: outbridge serve%s, whose web pages guide you through the app registration; or put its ID into %s as client_id.\n", flag, i.Config)
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Next: outbridge login %s%s\nThen: outbridge serve%s\n", i.Account, flag, flag)
	return err
}

// makeKey creates the key of an existing configuration, for the installation of a package.
func (i *initCmd) makeKey(e *env) error {
	c, err := i.load()
	if err != nil {
		return err
	}
	_, err = os.Lstat(c.KeyFile)
	made := errors.Is(err, fs.ErrNotExist)
	if _, err := sqlstore.ReadKey(c.KeyFile); err != nil {
		return err
	}
	if made {
		fmt.Fprintf(e.stdout, "Wrote %s. Keep a copy of it.\n", c.KeyFile)
	}
	if i.Lost {
		return takeKey(e, c)
	}
	return nil
}

// takeKey has the database take a new key. Nobody may serve it meanwhile, with the key that is said to be lost.
func takeKey(e *env, c *config) error {
	switch has, err := c.hasDatabase(e.ctx); {
	case err != nil:
		return worded(fmt.Errorf("init: %w", err), "")
	case !has:
		return nil
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	defer unlock()
	p := newProgram(c, e)
	if err := p.openStore(e.ctx); err != nil {
		return err
	}
	defer p.store.Close()
	if err := p.nobodyServes(e.ctx); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if err := p.store.TakeKey(e.ctx); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s has taken the key. Sign in again with `outbridge login` where people have signed in, and create app passwords and feeds again.\n", sqlstore.WithoutPassword(c.Database))
	return nil
}

var (
	guid   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	tenant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)
)

// question is one of the three that init asks.
type question struct {
	value          *string
	flag           string
	text, fallback string
	check          func(string) string // what is wrong with an answer, or ""
}

func (i *initCmd) ask(e *env) error {
	in := bufio.NewReader(e.stdin)
	for _, q := range []question{
		{&i.ClientID, "--client-id", "Application (client) ID of your app registration (docs/admin.md describes how to create one; empty: later, on the web pages)", "", func(s string) string {
			if s == "" || guid.MatchString(s) {
				return ""
			}
			return "an Application (client) ID looks like 11111111-2222-3333-4444-555555555555"
		}},
		{&i.Tenant, "--tenant", "Who may sign in: common, or your organization's ID or domain", "common", func(s string) string {
			if tenant.MatchString(s) {
				return ""
			}
			return "a tenant is common, organizations, consumers, an ID, or a domain like contoso.com"
		}},
		{&i.Account, "--account", "Name of the account, also the CalDAV user", userName(), func(s string) string {
			if accountName.MatchString(s) {
				return ""
			}
			return "use lower-case letters, digits, dots, dashes and underscores"
		}},
	} {
		if err := q.settle(e.stdout, in); err != nil {
			return err
		}
	}
	return nil
}

// settle checks the flag, or asks until there is a good answer.
func (q question) settle(out io.Writer, in *bufio.Reader) error {
	if *q.value != "" {
		if wrong := q.check(*q.value); wrong != "" {
			return usageError{fmt.Errorf("%s %q: %s", q.flag, *q.value, wrong)}
		}
		return nil
	}
	for {
		prompt := q.text
		if q.fallback != "" {
			prompt += " [" + q.fallback + "]"
		}
		fmt.Fprint(out, prompt+": ")
		line, err := in.ReadString('\n')
		answer := cmp.Or(strings.TrimSpace(line), q.fallback)
		if err != nil { // nobody answers
			fmt.Fprintln(out, answer)
		}
		wrong := q.check(answer)
		switch {
		case wrong == "":
			*q.value = answer
			return nil
		case err != nil:
			return usageError{fmt.Errorf("%q: %s: pass it with %s", answer, wrong, q.flag)}
		}
		fmt.Fprintln(out, "Not valid: "+wrong+".")
	}
}

// userName is the login name of the person, if an account can have it.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return "me"
	}
	name := strings.ToLower(u.Username)
	if name == "root" || !accountName.MatchString(name) {
		return "me"
	}
	return name
}

// writeNew writes a new file of mode 0600.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s does not exist: create it first", filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Sync(), f.Close())
}

var initTemplate = template.Must(template.New("config").Parse(`# outbridge configuration. Every key and its default is in config.example.toml.

# Address to serve at. Other machines need TLS: a reverse proxy in front, or [tls].
listen = {{printf "%q" .Listen}}
{{- if .Proxy}}

# The reverse proxy, which vouches for TLS.
trusted_proxy = {{if eq .Proxy "true"}}true{{else}}{{printf "%q" .Proxy}}{{end}}
{{- end}}
{{- if .PublicURL}}

# The address that clients use.
public_url = {{printf "%q" .PublicURL}}
{{- end}}

[microsoft]
{{- if ne .Cloud "global"}}
cloud = {{printf "%q" .Cloud}}
{{- end}}
{{- if not .ClientID}}
# The Application (client) ID of the app registration. Left empty, it is entered on the web pages.
{{- end}}
client_id = {{printf "%q" .ClientID}}
tenant = {{printf "%q" .Tenant}}

# One section per mailbox.
[[account]]
name = {{printf "%q" .Account}}
`))

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// defaultFile is the configuration file where none is named, and systemFile, a package's, where that is not there.
const (
	defaultFile = "outbridge.toml"
	systemFile  = "/etc/outbridge/outbridge.toml"
)

// file is the configuration file that is meant, whether or not it is there.
func (f configFlag) file() string {
	if f.Config == "" && !exists(defaultFile) && exists(systemFile) {
		return systemFile
	}
	return cmp.Or(f.Config, defaultFile)
}

// dataFolder is where everything is kept without a configuration file: $XDG_DATA_HOME/outbridge, by default
// ~/.local/share/outbridge.
func dataFolder() (string, error) {
	base := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) { // a relative one is to be ignored (XDG Base Directory Specification)
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the data: %w: name a configuration file with --config", err)
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "outbridge"), nil
}

// withoutFile is the configuration without a file: the defaults, with database and key in dataFolder.
func withoutFile() (*config, error) {
	dir, err := dataFolder()
	if err != nil {
		return nil, err
	}
	c := defaultConfig()
	c.Database, c.KeyFile = filepath.Join(dir, c.Database), filepath.Join(dir, c.KeyFile)
	return &c, c.check()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// loadOrBegin is load for `serve`, which needs no file: it makes the folder for withoutFile, and says so on w.
func (f configFlag) loadOrBegin(w io.Writer) (*config, error) {
	if f.Config != "" || exists(f.file()) {
		return f.load()
	}
	c, err := withoutFile()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(c.Database)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder for the data: %w: name a configuration file with --config", err)
	}
	fmt.Fprintf(w, "There is no %s here, so everything has its default and is kept in %s.\n", defaultFile, dir)
	return c, nil
}

// adopt takes over what was set on the pages: the app registration where the configuration names none, and the accounts that
// were added there.
func (c *config) adopt(ctx context.Context, store *sqlstore.Store) error {
	if c.Microsoft.ClientID == "" {
		r, err := store.Registration(ctx)
		if err != nil {
			return err
		}
		c.appOfPage = true
		if r.ClientID != "" {
			c.Microsoft.ClientID, c.Microsoft.Tenant = r.ClientID, r.Tenant
		}
	}
	list, err := store.AddedAccounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if !slices.ContainsFunc(c.Accounts, func(one accountConfig) bool { return one.Name == a.Name }) {
			c.add(accountConfig{Name: a.Name, Mailbox: a.Mailbox, Access: "read"})
		}
	}
	return nil
}

func (c *config) add(a accountConfig) {
	if c.added == nil {
		c.added = map[string]bool{}
	}
	c.added[a.Name] = true
	c.Accounts = append(c.Accounts, a)
}

func (c *config) remove(name string) {
	delete(c.added, name)
	c.Accounts = slices.DeleteFunc(c.Accounts, func(a accountConfig) bool { return a.Name == name })
}

// appOnly tells whether mailboxes can be read by their address.
func (c *config) appOnly() bool {
	return c.Microsoft.ClientSecretFile != "" || c.Microsoft.CertificateFile != ""
}

// setupCode makes the code that sets the administrator's password, and says on w where to enter it. It is "" where there is
// an administrator.
func (c *config) setupCode(ctx context.Context, store *sqlstore.Store, w io.Writer) (string, error) {
	_, err := store.Administrator(ctx)
	if err == nil || !errors.Is(err, bridge.ErrNotFound) {
		return "", err
	}
	code := web.NewSetupCode()
	// Of an address that stands for all of this machine's, a browser here opens this one.
	page := strings.NewReplacer("//0.0.0.0:", "//127.0.0.1:", "//[::]:", "//[::1]:").Replace(c.PublicURL) + "/setup"
	if c.LogFormat == "json" {
		c.logger(w).Warn("nobody has set this bridge up yet", "page", page, "setup_code", code)
		return code, nil
	}
	_, err = fmt.Fprintf(w, "\nTo set this bridge up, open %s and enter the setup code %s\n\n", page, code)
	return code, err
}

type passwordAdminCmd struct {
	configFlag
}

// Run asks for the password on a terminal, and takes the first line of standard input otherwise.
func (p *passwordAdminCmd) Run(e *env) error {
	_, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	password, err := askPassword(e)
	if err != nil {
		return err
	}
	hash, err := web.HashPassword(password)
	if err != nil {
		return err
	}
	if err := store.SetAdministrator(e.ctx, hash, false); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "The administrator's new password is set, and every browser is signed out.")
	return err
}

func askPassword(e *env) (string, error) {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(e.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(e.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		return string(b), err
	}
	first, err := ask("New password of the administrator: ")
	if err != nil {
		return "", err
	}
	again, err := ask("The same again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords are not the same: try again")
	}
	return first, nil
}

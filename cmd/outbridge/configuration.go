package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"outbridge/bridge"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check the configuration, and name everything that is wrong with it."`
	Show  configShowCmd  `cmd:"" help:"Show the configuration that is in effect, and where each value comes from."`
}

type configCheckCmd struct {
	configFlag
	jsonFlag
}

// checkedConfig is what `config check --json` prints.
type checkedConfig struct {
	File     string   `json:"file"` // "": there is none
	Problems []string `json:"problems"`
	Remarks  []string `json:"remarks"`
}

// Run names every problem of the file, of the environment, and of the files that they name.
func (k *configCheckCmd) Run(e *env) error {
	r, err := k.read()
	if err != nil {
		return err
	}
	report := checkedConfig{File: r.path, Problems: []string{}, Remarks: []string{}}
	for _, p := range r.problems {
		report.Problems = append(report.Problems, oneLine(p))
	}
	if r.c.unknownVariables != nil {
		report.Remarks = append(report.Remarks, "the environment has "+strings.Join(r.c.unknownVariables, ", ")+", which the configuration does not know")
	}
	for _, t := range r.c.twins() {
		report.Remarks = append(report.Remarks, t.sentence())
	}
	if len(r.problems) == 0 {
		if credential, err := r.c.Microsoft.credential(time.Now()); err == nil && credential != nil && credential.Warning != "" {
			report.Remarks = append(report.Remarks, credential.Warning)
		}
	}
	if k.JSON {
		err = writeJSON(e.stdout, report)
	} else {
		for _, p := range report.Problems {
			fmt.Fprintln(e.stdout, "problem: "+p)
		}
		for _, p := range report.Remarks {
			fmt.Fprintln(e.stdout, "remark: "+p)
		}
	}
	of := "the configuration"
	if r.path != "" {
		of = r.path
	}
	switch n := len(report.Problems); {
	case err != nil:
		return err
	case n == 1:
		return fmt.Errorf("%s has a problem", of)
	case n > 1:
		return fmt.Errorf("%s has %d problems", of, n)
	case !k.JSON && r.path == "":
		_, err = fmt.Fprintln(e.stdout, "Good. There is no file, so it is the defaults and the environment.")
	case !k.JSON:
		_, err = fmt.Fprintf(e.stdout, "%s is good.\n", of)
	}
	return err
}

// readConfig is a configuration that may be wrong, and where its values come from.
type readConfig struct {
	c        config
	path     string         // of the file; "" if there is none
	file     map[string]any // what the file says
	problems []error
}

// read is load for those who want to know everything. It changes nothing.
func (f configFlag) read() (*readConfig, error) {
	r := &readConfig{c: defaultConfig(), path: f.file()}
	dir := filepath.Dir(r.path)
	b, err := os.ReadFile(r.path)
	switch {
	case err == nil:
		r.problems = decodeProblems(b, &r.c)
		r.c.given = givenKeys(b)
		_ = toml.Unmarshal(b, &r.file) // what is wrong is said already
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("configuration: %w", err)
	case f.unconfigured():
		r.c.Listen, r.c.SafeNetworks, r.path = containerListen, []string{containerNetworks}, ""
	case f.Config != "":
		_, err := f.load() // says that it is missing
		return nil, err
	default:
		r.path = ""
		if dir, err = dataFolder(); err != nil {
			return nil, err
		}
	}
	unknown, err := r.c.fromEnvironment(os.Environ())
	r.c.unknownVariables = unknown
	if err != nil {
		r.problems = append(r.problems, err)
	}
	found := r.c.problems()
	r.c.resolve(dir)
	if len(found) == 0 { // otherwise it is not clear where it listens
		if err := r.c.checkExposed(); err != nil {
			found = append(found, err)
		}
	}
	r.problems = append(append(r.problems, found...), r.c.fileProblems()...)
	return r, nil
}

// fileProblems are those of the files that the configuration names and the program does not make: they are missing, unreadable,
// or not what they are to be.
func (c *config) fileProblems() (all []error) {
	if err := c.Microsoft.checkFiles(); err != nil {
		all = append(all, err)
	}
	if _, err := c.metricsToken(); err != nil {
		all = append(all, err)
	}
	_, wrong := c.notifyFile()
	all = append(all, wrong...)
	for _, f := range []struct{ key, path string }{
		{"database_password_file", c.DatabasePasswordFile}, {"tls.cert_file", c.TLS.CertFile}, {"tls.key_file", c.TLS.KeyFile}, {"tls.ca_roots_file", c.TLS.CARoots},
	} {
		if f.path == "" {
			continue
		}
		file, err := os.Open(f.path)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", f.key, unreadable(err)))
			continue
		}
		file.Close()
	}
	return all
}

// unreadable is an error about a file in words.
func unreadable(err error) error {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %s: create it, or correct its name in the configuration", path.Path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the file %s cannot be read by who runs this: give it to them", path.Path)
	}
	return err
}

type configShowCmd struct {
	configFlag
	jsonFlag
}

// shownValue is a key with its value, and where that comes from.
type shownValue struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

// Run shows also what is not in the file: the variables of the environment, what systemd hands over, and the web pages.
func (s *configShowCmd) Run(e *env) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	if err := first(r.problems); err != nil {
		return fmt.Errorf("%w; `outbridge config check` names every problem", err)
	}
	values := r.values() // before the pages add to it
	has, err := r.c.hasDatabase(e.ctx)
	if err != nil {
		return err
	}
	if has && exists(r.c.KeyFile) {
		p := newProgram(&r.c, e)
		if err := p.openStore(e.ctx); err != nil {
			return err
		}
		defer p.store.Close()
		for i, v := range r.values() {
			if fmt.Sprint(v.Value) != fmt.Sprint(values[i].Value) {
				values[i].Value, values[i].From = v.Value, "web pages"
			}
		}
		pages, err := p.fromPages(e.ctx)
		if err != nil {
			return err
		}
		for _, v := range pages {
			if i := slices.IndexFunc(values, func(of shownValue) bool { return of.Key == v.Key }); i >= 0 {
				values[i] = v
				continue
			}
			values = append(values, v)
		}
	}
	if s.JSON {
		return writeJSON(e.stdout, values)
	}
	w := newTable(e.stdout)
	for _, v := range values {
		text, err := json.Marshal(v.Value) // which for texts, lists of them and truth values is TOML
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s = %s\t# %s\n", v.Key, text, v.From)
	}
	return w.Flush()
}

// values are all keys in effect.
func (r *readConfig) values() (all []shownValue) {
	all = keysIn(reflect.ValueOf(r.c), "", envPrefix, r.file)
	list, _ := r.file["account"].([]any)
	for i, a := range r.c.Accounts {
		variables, section := accountVariables(a.Name), map[string]any(nil)
		if i < len(list) { // those of the file come first
			variables = ""
			section, _ = list[i].(map[string]any)
		}
		a.Access, a.Invitations, a.OnlineMeetings = cmp.Or(a.Access, "read"), cmp.Or(a.Invitations, string(bridge.InvitationsReplies)), cmp.Or(a.OnlineMeetings, "never")
		if attachments := a.Access == "read-write"; a.Attachments == nil {
			a.Attachments = &attachments
		}
		all = append(all, keysIn(reflect.ValueOf(a), "account."+a.Name+".", variables, section)...)
	}
	for i, v := range all {
		switch {
		case v.Key == "public_url" && v.From == "default":
			all[i].From = "from listen and tls"
		case strings.HasSuffix(v.Key, "_file") && fromSystemd(fmt.Sprint(v.Value)):
			all[i].From = "systemd"
		}
	}
	return all
}

// accountVariables begins the variables of an account that the environment has.
func accountVariables(name string) string {
	for _, pair := range os.Environ() {
		variable, value, _ := strings.Cut(pair, "=")
		if m := envAccount.FindStringSubmatch(variable); m != nil && m[2] == "NAME" && value == name {
			return envPrefix + "ACCOUNT_" + m[1] + "_"
		}
	}
	return ""
}

// fromSystemd reports whether a file is one that systemd hands over.
func fromSystemd(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(path) == filepath.Clean(dir)
}

// keysIn are the keys of a section. A field with the tag secret is not shown itself.
func keysIn(v reflect.Value, prefix, variables string, file map[string]any) (all []shownValue) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag := field.Tag.Get("toml")
		_, inFile := file[tag]
		variable := variables + strings.ToUpper(tag)
		one := shownValue{Key: prefix + tag, From: "default"}
		switch value := v.Field(i); {
		case tag == "" || value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
			continue
		case value.Kind() == reflect.Struct:
			section, _ := file[tag].(map[string]any)
			all = append(all, keysIn(value, prefix+tag+".", variable+"_", section)...)
			continue
		case value.Kind() == reflect.Pointer:
			one.Value = value.Elem().Interface()
		case field.Tag.Get("secret") != "" && !value.IsZero() && (value.Kind() != reflect.Slice || value.Len() > 0):
			one.Value = "(set)"
		default:
			one.Value = withoutSecrets(value)
		}
		if inFile {
			one.From = "file"
		}
		if variables != "" && os.Getenv(variable) != "" {
			one.From = variable
		}
		all = append(all, one)
	}
	return all
}

// withoutSecrets is a value without the password of an address in it.
func withoutSecrets(v reflect.Value) any {
	text, ok := v.Interface().(string)
	if !ok {
		return v.Interface()
	}
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return u.Redacted()
	}
	return text
}

// fromPages is what was set on the web pages.
func (p *program) fromPages(ctx context.Context) (all []shownValue, err error) {
	add := func(key string, value any) { all = append(all, shownValue{key, value, "web pages"}) }
	if p.registrationOnPages && p.registration.ClientID != "" {
		add("microsoft.client_id", p.registration.ClientID)
		add("microsoft.tenant", p.registration.Tenant)
	}
	for _, a := range p.accounts {
		key := "account." + a.Name + "."
		if p.added[a.Name] {
			add(key+"name", a.Name)
			add(key+"mailbox", a.Mailbox)
			add(key+"include", a.Include)
			add(key+"exclude", a.Exclude)
			add(key+"shared", a.Shared)
		}
		row, err := p.store.Account(ctx, a.Name)
		if err != nil && !errors.Is(err, bridge.ErrNotFound) {
			return nil, err
		}
		if a.Access == "" && row.Policy != nil {
			access, online := "read", "never"
			if row.Policy.Write {
				access = "read-write"
			}
			if row.Policy.OnlineMeetings {
				online = "meetings"
			}
			add(key+"access", access)
			add(key+"invitations", row.Policy.Invitations)
			add(key+"online_meetings", online)
		}
	}
	return all, nil
}

package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// envPrefix begins the environment variables that set keys of the configuration, before the file: OUTBRIDGE_LISTEN is listen,
// OUTBRIDGE_TLS_DOMAINS is domains in [tls], and OUTBRIDGE_ACCOUNT_1_NAME the name of an account beside those of the file. Lists
// have commas. An empty variable sets nothing.
const envPrefix = "OUTBRIDGE_"

// envOthers are variables that are no keys. Kubernetes sets some for a service that is called outbridge.
var envOthers = regexp.MustCompile(`^OUTBRIDGE_(CONFIG|CONTAINER|SCREENSHOTS|IMAGES|PORT|PORT_\d+_.*|SERVICE_(HOST|PORT)(_.*)?)$`)

var envAccount = regexp.MustCompile(`^OUTBRIDGE_ACCOUNT_(\d{1,4})_([A-Z_]+)$`)

// fromEnvironment sets the keys that the environment has, and returns the variables that look like keys and are none.
func (c *config) fromEnvironment(environ []string) (unknown []string, err error) {
	keys := map[string]reflect.Value{}
	envKeys(reflect.ValueOf(c).Elem(), envPrefix, keys)
	accounts := map[int]*accountConfig{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" || envOthers.MatchString(name) {
			continue
		}
		key, ok := keys[name]
		if m := envAccount.FindStringSubmatch(name); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, fmt.Errorf("environment: %s: %w", name, err)
			}
			if accounts[n] == nil {
				accounts[n] = new(accountConfig)
			}
			of := map[string]reflect.Value{}
			envKeys(reflect.ValueOf(accounts[n]).Elem(), envPrefix+"ACCOUNT_"+m[1]+"_", of)
			key, ok = of[name]
		}
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		c.fromVariables = true
		if c.given == nil {
			c.given = map[string]bool{}
		}
		c.given[tomlKey(name)] = true
		if err := setFromText(key, value); err != nil {
			return nil, fmt.Errorf("environment: %s = %q: %w", name, value, err)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(accounts)) {
		c.Accounts = append(c.Accounts, *accounts[n])
	}
	slices.Sort(unknown)
	return unknown, nil
}

// tomlKey is the key of [sync] or [microsoft] that a variable sets, as a file has it.
func tomlKey(variable string) string {
	name := strings.ToLower(strings.TrimPrefix(variable, envPrefix))
	for _, table := range []string{"sync", "microsoft"} {
		if key, ok := strings.CutPrefix(name, table+"_"); ok {
			return table + "." + key
		}
	}
	return name
}

// envKeys adds the fields of a struct by the names of their variables.
func envKeys(v reflect.Value, prefix string, keys map[string]reflect.Value) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("toml")
		name := prefix + strings.ToUpper(tag)
		switch f := v.Field(i); {
		case tag == "":
		case f.Kind() == reflect.Struct:
			envKeys(f, name+"_", keys)
		default:
			keys[name] = f
		}
	}
}

func setFromText(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("write true or false")
		}
		v.SetBool(on)
	case reflect.Pointer: // to what need not be set
		v.Set(reflect.New(v.Type().Elem()))
		return setFromText(v.Elem(), text)
	case reflect.Slice: // of texts
		v.Set(reflect.ValueOf(commaList(text)))
	case reflect.Interface: // true, false, or a list of texts, as in a file
		if on, err := strconv.ParseBool(text); err == nil {
			v.Set(reflect.ValueOf(on))
			return nil
		}
		texts := commaList(text)
		if len(texts) == 1 {
			v.Set(reflect.ValueOf(texts[0]))
			return nil
		}
		var list []any
		for _, s := range texts {
			list = append(list, s)
		}
		v.Set(reflect.ValueOf(list))
	default:
		return errors.New("this key cannot be set here")
	}
	return nil
}

func commaList(text string) []string {
	list := []string{}
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

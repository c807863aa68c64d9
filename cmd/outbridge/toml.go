package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// decodeProblems reads a file, and says in words what of it cannot be read: every unknown key, or the first thing that the
// library stumbles over.
func decodeProblems(b []byte, c *config) (all []error) {
	d := toml.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &strict):
		for _, one := range strict.Errors {
			row, _ := one.Position()
			all = append(all, fmt.Errorf("line %d: unknown key %q: config.example.toml lists all keys", row, strings.Join(one.Key(), ".")))
		}
	case errors.As(err, &decode):
		row, column := decode.Position()
		if want := wanted(reflect.TypeFor[config](), decode.Key()); want != "" && len(decode.Key()) > 0 {
			return []error{fmt.Errorf("line %d: %s: write %s", row, strings.Join(decode.Key(), "."), want)}
		}
		return []error{fmt.Errorf("line %d, column %d: this is not TOML: %s", row, column, strings.TrimPrefix(decode.Error(), "toml: "))}
	default:
		return []error{fmt.Errorf("this is not TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))}
	}
	return all
}

// wanted is what a key wants for a value, in words; "" if there is no such key, or it takes anything.
func wanted(t reflect.Type, key []string) string {
	if len(key) == 0 {
		switch t.Kind() {
		case reflect.String:
			return `a text in quotes, like "text"`
		case reflect.Bool:
			return "true or false"
		case reflect.Slice:
			if t.Elem().Kind() == reflect.Struct {
				return "a section of its own, in double brackets"
			}
			return `a list of texts, like ["one", "two"]`
		case reflect.Struct:
			return "a section of its own, in brackets"
		}
		return ""
	}
	switch t.Kind() {
	case reflect.Slice:
		return wanted(t.Elem(), key)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.Tag.Get("toml") == key[0] {
				return wanted(f.Type, key[1:])
			}
		}
	}
	return ""
}

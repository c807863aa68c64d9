package main

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"
)

const example = "../../config.example.toml"

// TestExampleIsDefault: the example parses, and using it as it is means what using no file would.
func TestExampleIsDefault(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	got := defaultConfig()
	if err := parseConfig(b, &got); err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	if err := want.check(); err != nil {
		t.Fatal(err)
	}
	ignore := cmp.Options{cmpopts.IgnoreUnexported(config{}, microsoftConfig{}), cmpopts.IgnoreFields(config{}, "Accounts")}
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("the example does not say the defaults (-default +example):\n%s", diff)
	}
	if diff := cmp.Diff([]accountConfig{{Name: "alice", Access: "read", Invitations: "replies", OnlineMeetings: "never", Attachments: new(bool)}}, got.Accounts, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(accountConfig{})); diff != "" {
		t.Errorf("accounts of the example:\n%s", diff)
	}
}

// TestExampleHasEveryKey: no key of the configuration is missing in the example, and each has its comment.
func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := toml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	var has, want []string
	keysOf(file, "", &has)
	tagsOf(reflect.TypeFor[config](), "", &want)
	slices.Sort(has)
	slices.Sort(want)
	if diff := cmp.Diff(want, has); diff != "" {
		t.Errorf("keys (-configuration +example):\n%s", diff)
	}

	commented := false
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			commented = true
		case strings.Contains(line, " = ") && !commented:
			t.Errorf("line %d: %s has no comment", i+1, line)
		case line == "":
			commented = false
		}
	}
}

func keysOf(m map[string]any, prefix string, keys *[]string) {
	for name, v := range m {
		switch v := v.(type) {
		case map[string]any:
			keysOf(v, prefix+name+".", keys)
		case []any:
			if len(v) > 0 {
				if section, ok := v[0].(map[string]any); ok {
					keysOf(section, prefix+name+".", keys)
					continue
				}
			}
			*keys = append(*keys, prefix+name)
		default:
			*keys = append(*keys, prefix+name)
		}
	}
}

func tagsOf(t reflect.Type, prefix string, keys *[]string) {
	for f := range t.Fields() {
		name := f.Tag.Get("toml")
		switch {
		case name == "":
		case f.Type.Kind() == reflect.Struct:
			tagsOf(f.Type, prefix+name+".", keys)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			tagsOf(f.Type.Elem(), prefix+name+".", keys)
		default:
			*keys = append(*keys, prefix+name)
		}
	}
}

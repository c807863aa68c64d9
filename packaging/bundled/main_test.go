package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The script of the pages has just what its lock file has, and a script that says otherwise is not believed.
func TestBundled(t *testing.T) {
	script, err := os.ReadFile("../../bridge/web/pages/calendar.js")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile("../../bridge/web/calendar/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	list, err := bundled(script, lock)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
		if !strings.HasPrefix(c.PackageURL, "pkg:npm/") || strings.Count(c.PackageURL, "@") != 1 || len((*c.Hashes)[0].Value) != 128 || (*c.Licenses)[0].License.ID != "MIT" {
			t.Errorf("%+v", c)
		}
	}
	if want := []string{"@full-ui/headless-calendar", "fullcalendar", "preact", "temporal-polyfill", "temporal-utils"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	top, _, _ := strings.Cut(string(script), "*/")
	top = top[strings.Index(top, "\n")+1:]
	for name, change := range map[string][2]string{
		"another version": {"preact " + list[2].Version, "preact 1.0.0"}, "one more": {"\npreact ", "\nleft-pad 1.0.0 (MIT)\n\npreact "}, "no packages": {"\n" + top, "\n"},
	} {
		text := strings.Replace(string(script), change[0], change[1], 1)
		if _, err := bundled([]byte(text), lock); err == nil || text == string(script) {
			t.Errorf("%s is believed", name)
		}
	}

	sbom := `{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": {"bom-ref": "root", "type": "application", "name": "outbridge"}},
"components": [{"bom-ref": "a", "type": "library", "name": "a"}], "dependencies": [{"ref": "root", "dependsOn": ["a"]}]}`
	out, err := with([]byte(sbom), list)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out); strings.Count(text, `"purl": "pkg:npm/`) != 5 || strings.Count(text, "pkg:npm/preact@") != 3 || !strings.Contains(text, `"specVersion": "1.6"`) {
		t.Errorf("%s", text)
	}
	if _, err := with([]byte("{}"), list); err == nil {
		t.Error("an SBOM of nothing is taken")
	}
}

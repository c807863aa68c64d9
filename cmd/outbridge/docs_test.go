package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestErrorsAreDocumented: every number that the program knows of Microsoft's login service is in docs/admin.md, and the
// other way round.
func TestErrorsAreDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../bridge/graph/autherror.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"70016": true} // authorization_pending: the wait for the person, no error
	for _, m := range regexp.MustCompile(`(?m)(?:^\t|, )([0-9]{5,7}):`).FindAllStringSubmatch(string(source), -1) {
		known[m[1]] = true
	}
	if len(known) < 60 {
		t.Fatalf("only %d numbers are found in autherror.go", len(known))
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile(`AADSTS([0-9]+)`).FindAllStringSubmatch(string(doc), -1) {
		documented[m[1]] = true
	}
	for n := range known {
		if !documented[n] {
			t.Errorf("AADSTS%s is not in docs/admin.md", n)
		}
	}
	for n := range documented {
		if !known[n] {
			t.Errorf("docs/admin.md has AADSTS%s, which the program does not know", n)
		}
	}
}

// TestLinks: links between the documents lead to files and headings that are there.
func TestLinks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../README.md")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, file := range files {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, heading, _ := strings.Cut(m[1], "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
				continue
			}
			if heading != "" && !headings(read(t, to))[heading] {
				t.Errorf("%s links to %s: there is no such heading", file, m[1])
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// headings are the fragments of a document's headings, as code hosts make them.
func headings(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

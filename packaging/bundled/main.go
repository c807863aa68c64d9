// The command bundled adds to an SBOM of the program what its Go modules do not tell of: the packages from npm that the script of the calendar
// page is made of, as it names them itself at its top, with the checksums of the lock file.
//
//	bundled SBOM SCRIPT LOCK
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"regexp"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: bundled SBOM SCRIPT LOCK")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal("bundled: ", err)
	}
}

func run(sbomFile, scriptFile, lockFile string) error {
	var files [3][]byte
	for i, name := range []string{sbomFile, scriptFile, lockFile} {
		var err error
		if files[i], err = os.ReadFile(name); err != nil {
			return err
		}
	}
	components, err := bundled(files[1], files[2])
	if err != nil {
		return err
	}
	out, err := with(files[0], components)
	if err != nil {
		return err
	}
	return os.WriteFile(sbomFile, out, 0o644)
}

// named is the line that begins the licence of a package at the top of the script.
var named = regexp.MustCompile(`(?m)^((?:@[\w.-]+/)?[\w.-]+) (\d[\w.+-]*) \(([\w.+ -]+)\)$`)

// bundled are the packages that a script says it is made of. All have to be in the lock file, in the same version.
func bundled(script, lock []byte) (list []cdx.Component, err error) {
	var locked struct {
		Packages map[string]struct {
			Version, Integrity string
		}
	}
	if err := json.Unmarshal(lock, &locked); err != nil {
		return nil, fmt.Errorf("the lock file: %w", err)
	}
	top, _, ok := bytes.Cut(script, []byte("*/"))
	if !ok {
		return nil, fmt.Errorf("the script has no comment at its top")
	}
	for _, m := range named.FindAllStringSubmatch(string(top), -1) {
		name, version, licence := m[1], m[2], m[3]
		at, ok := locked.Packages["node_modules/"+name]
		if !ok || at.Version != version {
			return nil, fmt.Errorf("%s %s is in the script, and %q in the lock file", name, version, at.Version)
		}
		sum, ok := strings.CutPrefix(at.Integrity, "sha512-")
		raw, err := base64.StdEncoding.DecodeString(sum)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s has no SHA-512 in the lock file", name)
		}
		id := "pkg:npm/" + strings.ReplaceAll(name, "@", url.QueryEscape("@")) + "@" + version
		list = append(list, cdx.Component{
			BOMRef: id, Type: cdx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: id, Scope: cdx.ScopeRequired,
			Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA512, Value: hex.EncodeToString(raw)}},
			Licenses: &cdx.Licenses{{License: &cdx.License{ID: licence}}},
		})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the script names no packages")
	}
	return list, nil
}

// with is an SBOM with further components, on which the program depends.
func with(sbom []byte, components []cdx.Component) ([]byte, error) {
	var b cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(sbom), cdx.BOMFileFormatJSON).Decode(&b); err != nil {
		return nil, fmt.Errorf("the SBOM: %w", err)
	}
	if b.Components == nil || b.Metadata == nil || b.Metadata.Component == nil {
		return nil, fmt.Errorf("the SBOM is of nothing")
	}
	*b.Components = append(*b.Components, components...)
	if b.Dependencies != nil {
		for i, d := range *b.Dependencies {
			if d.Ref != b.Metadata.Component.BOMRef {
				continue
			}
			var on []string
			if d.Dependencies != nil {
				on = *d.Dependencies
			}
			for _, c := range components {
				on = append(on, c.BOMRef)
			}
			(*b.Dependencies)[i].Dependencies = &on
		}
	}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(&b, b.SpecVersion); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

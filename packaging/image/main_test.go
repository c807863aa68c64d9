package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// descriptor, index, manifest and config are what a container engine reads, in the words of the image specification.
type descriptor struct {
	MediaType, Digest string
	Size              int64
	Platform          struct{ OS, Architecture, Variant string }
	Annotations       map[string]string
}

type index struct{ Manifests []descriptor }

type manifest struct {
	Config descriptor
	Layers []descriptor
}

type config struct {
	OS, Architecture, Variant string
	Config                    struct {
		User, WorkingDir string
		Env              []string
		Entrypoint, Cmd  []string
		ExposedPorts     map[string]any
		Volumes          map[string]any
		Healthcheck      struct{ Test []string }
	}
}

// TestLayout reads a layout as somebody who has only the specification.
func TestLayout(t *testing.T) {
	programs := map[string]string{"linux/amd64": "one", "linux/arm64": "two", "linux/arm/v7": "three"}
	write := func() string {
		dir := t.TempDir()
		var args []string
		for platform, content := range programs {
			file := filepath.Join(dir, content)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, platform+"="+file)
		}
		slices.Sort(args)
		layout := filepath.Join(dir, "layout")
		if err := (image{"1.2.3", "abc", time.Unix(1_800_000_000, 0)}).write(layout, args); err != nil {
			t.Fatal(err)
		}
		return layout
	}
	layout := write()
	var top, all index
	data, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &top); err != nil {
		t.Fatal(err)
	}
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("index.json: %s", data)
	}
	blob(t, layout, top.Manifests[0], &all)
	for _, d := range all.Manifests {
		platform := strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/")
		var m manifest
		var c config
		blob(t, layout, d, &m)
		blob(t, layout, m.Config, &c)
		if c.OS != d.Platform.OS || c.Architecture != d.Platform.Architecture || c.Variant != d.Platform.Variant {
			t.Errorf("%s: the configuration is for %s/%s/%s", platform, c.OS, c.Architecture, c.Variant)
		}
		sameAsDockerfile(t, c)
		files(t, layout, m.Layers, programs[platform])
		delete(programs, platform)
	}
	if len(programs) != 0 {
		t.Errorf("there is no image for %v", programs)
	}

	programs = map[string]string{"linux/amd64": "one", "linux/arm64": "two", "linux/arm/v7": "three"}
	again, err := os.ReadFile(filepath.Join(write(), "index.json"))
	if err != nil || string(again) != string(data) {
		t.Errorf("a second image is not the same: %v\n%s%s", err, data, again)
	}
}

// blob reads what a descriptor describes, into v if it is given.
func blob(t *testing.T, layout string, d descriptor, v any) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(layout, "blobs", strings.Replace(d.Digest, ":", "/", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest || int64(len(data)) != d.Size {
		t.Fatalf("%s has other octets than its name says", d.Digest)
	}
	if v != nil {
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// sameAsDockerfile: who builds the image with Docker gets the same.
func sameAsDockerfile(t *testing.T, c config) {
	t.Helper()
	data, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	list := func(words []string) string { return `["` + strings.Join(words, `", "`) + `"]` }
	for _, want := range []string{"USER " + c.Config.User, "WORKDIR " + c.Config.WorkingDir, "ENTRYPOINT " + list(c.Config.Entrypoint), "CMD " + list(c.Config.Cmd)} {
		if !slices.Contains(lines, want) {
			t.Errorf("packaging/Dockerfile has no line %q", want)
		}
	}
	var env []string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "ENV "); ok {
			env = append(env, strings.Fields(rest)...)
		}
	}
	if !slices.Equal(env, c.Config.Env) {
		t.Errorf("packaging/Dockerfile sets %q, the image %q", env, c.Config.Env)
	}
	if c.Config.ExposedPorts["8080/tcp"] == nil || c.Config.Volumes["/data"] == nil || !slices.Equal(c.Config.Healthcheck.Test, []string{"CMD", "/outbridge", "healthcheck"}) {
		t.Errorf("the image says %+v", c.Config)
	}
}

// files: the program, a folder that its user may write to, and certificates that Go takes.
func files(t *testing.T, layout string, layers []descriptor, program string) {
	t.Helper()
	seen := map[string]bool{}
	for _, d := range layers {
		zipped, err := gzip.NewReader(strings.NewReader(string(blob(t, layout, d, nil))))
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(zipped); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			seen[h.Name] = true
			switch h.Name {
			case "outbridge":
				if string(content) != program || h.FileInfo().Mode() != 0o755 {
					t.Errorf("the program is %q of mode %s", content, h.FileInfo().Mode())
				}
			case "data/":
				if h.Uid != user || h.FileInfo().Mode() != 0o755|fs.ModeDir {
					t.Errorf("%s is of %d and of mode %s", h.Name, h.Uid, h.FileInfo().Mode())
				}
			case "etc/ssl/certs/ca-certificates.crt":
				if !x509.NewCertPool().AppendCertsFromPEM(content) || strings.Count(string(content), "BEGIN") < 100 {
					t.Errorf("the certificates are not good")
				}
			}
		}
	}
	if !seen["outbridge"] || !seen["data/"] || !seen["etc/ssl/certs/ca-certificates.crt"] {
		t.Errorf("the image has %v", seen)
	}
}

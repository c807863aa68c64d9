// Command image writes an OCI image layout of one program for several platforms, without a container engine and without
// a base image: the static program, the root certificates of Mozilla, and an empty folder for the data.
//
//	image -version 1.2.3 -revision COMMIT -created SECONDS FOLDER linux/amd64=PROGRAM linux/arm/v7=PROGRAM…
//
// The same programs and flags give the same octets.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is who the program runs as, and whose the folder of the data is.
const user = 65532

// image says what the manifests say.
type image struct {
	version, revision string
	created           time.Time
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("image: ")
	var im image
	flag.StringVar(&im.version, "version", "", "version")
	flag.StringVar(&im.revision, "revision", "", "commit")
	created := flag.Int64("created", 0, "when, in seconds since 1970")
	flag.Parse()
	if flag.NArg() < 2 {
		log.Fatal("usage: image [flags] FOLDER PLATFORM=PROGRAM…")
	}
	im.created = time.Unix(*created, 0).UTC()
	if err := im.write(flag.Arg(0), flag.Args()[1:]); err != nil {
		log.Fatal(err)
	}
}

// write writes the layout, whose one entry is an index of the platforms.
func (im image) write(folder string, programs []string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, one := range programs {
		name, program, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is not PLATFORM=PROGRAM", one)
		}
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		made, err := im.of(platform, program)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: made, Descriptor: v1.Descriptor{Platform: platform}})
	}
	index, ok := mutate.Annotations(index, im.labels()).(v1.ImageIndex)
	if !ok {
		return fmt.Errorf("annotations made no index")
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": im.version}))
}

func (im image) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "outbridge",
		"org.opencontainers.image.description": "Outlook calendars in any calendar app, over CalDAV and as .ics feeds",
		"org.opencontainers.image.licenses":    "MIT",
		"org.opencontainers.image.version":     im.version,
		"org.opencontainers.image.revision":    im.revision,
		"org.opencontainers.image.created":     im.created.Format(time.RFC3339),
	}
}

// of is the image of one platform. A test holds it against packaging/Dockerfile.
func (im image) of(platform *v1.Platform, program string) (v1.Image, error) {
	files, err := im.files(program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	made, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: im.created}, CreatedBy: "packaging/image"}})
	if err != nil {
		return nil, err
	}
	config, err := made.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant, config.Created = platform.OS, platform.Architecture, platform.Variant, v1.Time{Time: im.created}
	config.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", user, user),
		WorkingDir: "/data",
		Env: []string{"PATH=/", "OUTBRIDGE_CONFIG=/data/outbridge.toml", "OUTBRIDGE_CONTAINER=1",
			"GOMEMLIMIT=700MiB"},
		Volumes:      map[string]struct{}{"/data": {}},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/outbridge", "healthcheck"},
			Interval: 30 * time.Second, Timeout: 6 * time.Second, StartPeriod: time.Minute},
		Entrypoint: []string{"/outbridge"},
		Cmd:        []string{"serve"},
		Labels:     im.labels(),
	}
	return mutate.ConfigFile(made, config)
}

// files is the file system, as a tar.
func (im image) files(program string) ([]byte, error) {
	code, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	w := tar.NewWriter(&all)
	for _, f := range []struct {
		tar.Header
		content []byte
	}{
		{Header: tar.Header{Name: "data/", Mode: 0o755, Uid: user, Gid: user, Typeflag: tar.TypeDir}},
		{Header: tar.Header{Name: "etc/", Mode: 0o755, Typeflag: tar.TypeDir}},
		{Header: tar.Header{Name: "etc/ssl/", Mode: 0o755, Typeflag: tar.TypeDir}},
		{Header: tar.Header{Name: "etc/ssl/certs/", Mode: 0o755, Typeflag: tar.TypeDir}},
		{Header: tar.Header{Name: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Typeflag: tar.TypeReg}, content: roots()},
		{Header: tar.Header{Name: "outbridge", Mode: 0o755, Typeflag: tar.TypeReg}, content: code},
	} {
		f.Size, f.ModTime, f.Format = int64(len(f.content)), im.created, tar.FormatPAX
		if err := w.WriteHeader(&f.Header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), w.Close()
}

// roots are the certificates that Mozilla trusts without conditions, which a file of them could not say.
func roots() []byte {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // to memory
		}
	}
	return all.Bytes()
}

//go:build !unix

package sqlstore

import "io/fs"

// exposed knows nothing where files have no modes.
func exposed(string, fs.FileInfo) error { return nil }

//go:build !linux

package main

import "errors"

func diskOf(folder string) (disk, error) {
	return disk{Folder: folder, unknown: true}, errors.ErrUnsupported
}

func hasACL(string) bool { return false }

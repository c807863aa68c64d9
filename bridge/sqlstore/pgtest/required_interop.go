//go:build interop

package pgtest

const required = true

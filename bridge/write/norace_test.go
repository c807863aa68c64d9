//go:build !race

package write_test

const stride = 1

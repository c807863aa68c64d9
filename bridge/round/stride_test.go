//go:build !race

package round_test

const stride = 1

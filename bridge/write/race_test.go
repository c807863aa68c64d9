//go:build race

package write_test

// stride is how many points of failure there are between two that a test tries: the race detector makes each of them slow, and
// the tests run without it too.
const stride = 3

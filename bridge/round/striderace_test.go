//go:build race

package round_test

// stride is how many points of a kill there are between two that a test tries: the race detector makes each of them slow, and
// the tests run without it too. It is odd, since what a test does alternates from one point to the next.
const stride = 3

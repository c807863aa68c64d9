package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestHeapGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 700, 4 << 20: 700, 8 << 20: 300, 16 << 20: 100, 20 << 20: 60, 30 << 20: 50, 64 << 20: 100} {
		if got := growth(live); got != want {
			t.Errorf("%d MiB may grow by %d %%, want %d", live>>20, got, want)
		}
	}
}

// What the heap may grow by follows what is in use.
func TestHeapFloor(t *testing.T) {
	t.Setenv("GOGC", "")
	percent := func() int {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return int(s[0].Value.Uint64())
	}
	await := func(ok func(int) bool) {
		t.Helper()
		for range 1000 {
			runtime.GC() // what follows a collection is done by another goroutine
			if ok(percent()) {
				return
			}
		}
		t.Errorf("the heap may grow by %d %%", percent())
	}
	keepHeapFloor()
	await(func(p int) bool { return p > 100 })
	much := make([]byte, heapFloor)
	await(func(p int) bool { return p == 100 })
	runtime.KeepAlive(much) // and no longer
	await(func(p int) bool { return p > 100 })
}

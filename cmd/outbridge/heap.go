package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is what the heap of a server may grow to before it is collected. Go lets it double, and would collect the few megabytes of a
// server that has just started three times while a client reads its calendar, which takes a seventh of that. A heap whose half is in use is
// collected as ever, so what a server takes at most stays the same.
const heapFloor = 32 << 20

// keepHeapFloor sees to that, now and after each collection.
func keepHeapFloor() {
	if os.Getenv("GOGC") == "" {
		setHeapFloor(0)
	}
}

// setHeapFloor takes the percentage that was set before.
func setHeapFloor(before int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if percent := growth(live[0].Value.Uint64()); percent != before {
		debug.SetGCPercent(percent)
		before = percent
	}
	runtime.AddCleanup(new([16]byte), setHeapFloor, before) // it runs after the next collection
}

// growth is by how many percent of what is in use a heap may grow.
func growth(live uint64) int {
	used := max(int(live), 4<<20) // Go reckons with no less
	return max(100, 100*(heapFloor-used)/used)
}

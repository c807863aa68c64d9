package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What the heap of a server may grow to before it is collected. Go lets it double. It would collect the few megabytes of a server that has
// just started three times while a client reads its calendar, which takes a seventh of that: so a heap is not collected before it has
// heapFloor. One that has all that is kept for clients is not to grow to much more than that, so it grows by half at least; and where
// much more is in use than is ever kept, by a crowd that syncs, it doubles.
const (
	heapFloor = 32 << 20
	heapLarge = 32 << 20 // in use
)

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
	if live > heapLarge {
		return 100
	}
	used := max(int(live), 4<<20) // Go reckons with no less
	return max(50, 100*(heapFloor-used)/used)
}

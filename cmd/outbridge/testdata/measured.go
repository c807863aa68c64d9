package main

import (
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"strconv"
)

// The tests that measure build the program with this file in it.
func init() {
	runtime.MemProfileRate = 0
	address := os.Getenv("OUTBRIDGE_MEASURE")
	if address == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/profile", pprof.Profile)
	mux.HandleFunc("/allocations", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.Write(strconv.AppendUint(nil, m.Mallocs, 10))
	})
	go http.ListenAndServe(address, mux)
}

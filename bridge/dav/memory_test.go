package dav_test

import (
	"encoding/base64"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
)

// maxFileMemory is what the largest file that a client may send inline costs at most, in octets: its base64 in the body, the line
// unfolded, the property, the file itself, and what is sent on, with the simulated Outlook's copy of it.
const maxFileMemory = 256 << 20

func TestMemoryOfFile(t *testing.T) {
	if testing.Short() {
		t.Skip("takes hundreds of megabytes")
	}
	w := withFiles(t)
	w.Round()
	file := strings.Repeat("0123456789abcdef", (25<<20)/16)
	var text strings.Builder
	text.WriteString("ATTACH;VALUE=BINARY;ENCODING=BASE64;FILENAME=large.bin:")
	encoded := base64.StdEncoding.EncodeToString([]byte(file))
	for i := 0; i < len(encoded); i += 74 {
		text.WriteString(encoded[i:min(i+74, len(encoded))] + "\r\n ")
	}
	body := appointment("a", "A", 1, 9, strings.TrimSuffix(text.String(), "\r\n "))
	text.Reset()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.ReadMemStats(&now)
				peak.Store(max(peak.Load(), now.HeapAlloc))
				runtime.Gosched()
			}
		}
	}()
	rec := w.do("PUT", calendarPath+"a.ics", body, "If-None-Match", "*")
	close(stop)
	<-done
	if rec.Code != http.StatusCreated {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if used := peak.Load() - before.HeapAlloc; used > maxFileMemory {
		t.Errorf("the largest file takes %d MiB", used>>20)
	} else {
		t.Logf("the largest file takes %d MiB", used>>20)
	}
	if got := w.in(w.Box.Calendar().Events()[0]); got["large.bin"] != file {
		t.Errorf("%d octets", len(got["large.bin"]))
	}
}

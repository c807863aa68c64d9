//go:build load

package main_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// An asker sends requests that were made beforehand and reads past the answers, over one connection that is kept. It does
// as little as it can, so that the processor is left to the server.
type asker struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

// An answer is what an asker keeps of one.
type answer struct {
	status int
	gzip   bool
	head   []byte // as it came; only of whole
	body   []byte // as it came; only of whole
	octets int64  // of head and body, with what frames it
}

func (a *asker) close() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

// ask sends a request and reads its answer, of which the body is kept if whole is set.
func (a *asker) ask(request []byte, whole bool) (answer, error) {
	if a.conn == nil {
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			return answer{}, err
		}
		a.conn = conn
		if a.in == nil {
			a.in = bufio.NewReaderSize(conn, 64<<10)
		} else {
			a.in.Reset(conn)
		}
	}
	if _, err := a.conn.Write(request); err != nil {
		a.close()
		return answer{}, err
	}
	res, last, err := a.read(whole)
	if err != nil || last {
		a.close()
	}
	return res, err
}

func (a *asker) read(whole bool) (res answer, last bool, err error) {
	length, chunked := int64(0), false
	for first := true; ; first = false {
		line, err := a.in.ReadSlice('\n')
		if err != nil {
			return res, true, err
		}
		res.octets += int64(len(line))
		if whole {
			res.head = append(res.head, line...)
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if len(line) < len("HTTP/1.1 200") {
				return res, true, fmt.Errorf("answer begins with %q", line)
			}
			last = line[len("HTTP/1.")] == '0'
			if res.status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return res, true, err
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return res, true, err
			}
		case is(name, "transfer-encoding"):
			chunked = true
		case is(name, "content-encoding"):
			res.gzip = is(value, "gzip")
		case is(name, "connection"):
			last = last || is(value, "close")
		}
	}
	if !chunked {
		return res, last, a.take(&res, length, whole)
	}
	for {
		line, err := a.in.ReadSlice('\n')
		if err != nil {
			return res, true, err
		}
		res.octets += int64(len(line)) + 2
		size, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 64)
		if err != nil {
			return res, true, err
		}
		if err := a.take(&res, size, whole); err != nil {
			return res, true, err
		}
		if _, err := a.in.Discard(2); err != nil { // of the last one: the end of trailers, of which nobody sends any
			return res, true, err
		}
		if size == 0 {
			return res, last, nil
		}
	}
}

func (a *asker) take(res *answer, n int64, whole bool) error {
	res.octets += n
	if !whole {
		_, err := a.in.Discard(int(n))
		return err
	}
	at := len(res.body)
	res.body = append(res.body, make([]byte, n)...)
	_, err := io.ReadFull(a.in, res.body[at:])
	return err
}

// is compares a header's name or value, whose case does not count.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != lower[i]|0x20 {
			return false
		}
	}
	return true
}

// text is the body with its coding taken off.
func (a answer) text() ([]byte, error) {
	if !a.gzip {
		return a.body, nil
	}
	in, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

// wire makes a request as an asker sends it.
func wire(address, user, password, method, path, depth, body string, gzip bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, address)
	if user != "" {
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	if depth != "" {
		fmt.Fprintf(&b, "Depth: %s\r\n", depth)
	}
	if gzip {
		b.WriteString("Accept-Encoding: gzip\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/xml; charset=utf-8\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	return []byte(b.String())
}

// A sample is what a number of requests took.
type sample struct {
	n      int
	cpu    time.Duration // of the server
	wall   time.Duration
	octets int64
	allocs int64 // of the server; 0: not known
}

func (s sample) each() time.Duration { return s.cpu / time.Duration(max(1, s.n)) }

// sampled sends the requests over and over, from so many connections, for about so long. Each connection begins at
// another one, and sends one at least. With a time of 0 each request is sent once.
func sampled(t *testing.T, s *served, requests [][]byte, connections int, long time.Duration) sample {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var sum sample
	if long == 0 {
		connections = 1
	}
	allocs, cpu, begin := s.allocations(), s.cpu(), time.Now()
	for c := range connections {
		wg.Go(func() {
			a := &asker{address: s.address}
			defer a.close()
			var n int
			var octets int64
			for at := c * len(requests) / connections; n == 0 || long == 0 && n < len(requests) || long > 0 && time.Since(begin) < long; at++ {
				res, err := a.ask(requests[at%len(requests)], false)
				if err != nil || res.status != 200 && res.status != 207 {
					t.Errorf("%s: status %d, %v: %.300s", s.name, res.status, err, requests[at%len(requests)])
					return
				}
				n++
				octets += res.octets
			}
			mu.Lock()
			defer mu.Unlock()
			sum.n += n
			sum.octets += octets
		})
	}
	wg.Wait()
	sum.wall, sum.cpu = time.Since(begin), s.cpu()-cpu
	sum.allocs = s.allocations() - allocs
	return sum
}

// treeTime is what a process and all that it has started have used so far.
func treeTime(t *testing.T, root int) time.Duration {
	t.Helper()
	children := map[int][]int{}
	own := map[int]time.Duration{}   // in hundredths of a second, with threads that have ended
	ended := map[int]time.Duration{} // what children that were waited for have used
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		var pid, parent int
		fmt.Sscan(string(b), &pid)
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from the third on, "state"
		fmt.Sscan(fields[1], &parent)
		children[parent] = append(children[parent], pid)
		ticks := func(i int) time.Duration {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			return time.Duration(n) * 10 * time.Millisecond
		}
		own[pid], ended[pid] = ticks(11)+ticks(12), ticks(13)+ticks(14)
	}
	var sum time.Duration
	for list := []int{root}; len(list) > 0; {
		pid := list[0]
		list = append(list[1:], children[pid]...)
		sum += max(own[pid], processTime(pid)) + ended[pid]
	}
	return sum
}

// processTime is what the threads that a process has have used so far, by the scheduler's clock, which is finer than that of
// /proc/PID/stat.
func processTime(pid int) time.Duration {
	var sum time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		var ns int64
		fmt.Sscan(string(b), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

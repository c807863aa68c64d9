package graph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

func randomFile(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// A file arrives once and whole, whatever happens to one of its parts.
func TestUpload(t *testing.T) {
	const part = 12 * 320 << 10
	for _, size := range []int{part, part + 1} {
		file := randomFile(size)
		for at := range (size+part-1)/part + 1 { // 0: the session itself
			for name, fault := range map[string]graphsim.Fault{"none": {Delay: 1}, "cut": {Drop: true}, "lost": {DropAnswer: true}, "503": {Status: 503}, "502": {Status: 502, Body: []byte("<html>")}} {
				synctest.Test(t, func(t *testing.T) {
					n := 0
					sim := &graphsim.Server{Fault: func(r *http.Request) *graphsim.Fault {
						if !strings.Contains(r.URL.Path, "/upload/") && !strings.HasSuffix(r.URL.Path, "createUploadSession") {
							return nil
						}
						if n++; n-1 == at {
							return &fault
						}
						return nil
					}}
					c, box := writing(t, sim)
					cal := box.Calendar()
					id := cal.Create(graphsim.Event{Start: time.Now(), End: time.Now()})
					aid, err := c.AddAttachment(t.Context(), cal.ID(), id, "plan.pdf", "application/pdf", int64(size), bytes.NewReader(file))
					last := at == (size+part-1)/part
					if last && name == "lost" {
						// That it is there is only to be seen in the list.
						if !errors.Is(err, graph.ErrMayHaveHappened) {
							t.Errorf("%d, %s at %d: %v", size, name, at, err)
						}
					} else if err != nil || aid == "" {
						t.Fatalf("%d, %s at %d: %q, %v", size, name, at, aid, err)
					}
					have, err := cal.Attachments(id)
					if err != nil || len(have) != 1 || !bytes.Equal(have["plan.pdf"], file) {
						t.Errorf("%d, %s at %d: %d files, %d octets, %v", size, name, at, len(have), len(have["plan.pdf"]), err)
					}
					list, err := c.Attachments(t.Context(), cal.ID(), id)
					if err != nil || len(list) != 1 || aid != "" && list[0].ID != aid || list[0].ContentType != "application/pdf" || list[0].Kind != graph.FileAttachment {
						t.Errorf("%v %v", list, err)
					}
					for _, v := range sim.Violations() {
						t.Error(v)
					}
				})
			}
		}
	}
}

// The parts of a file go to another host only over TLS.
func TestUploadElsewhere(t *testing.T) {
	for address, want := range map[string]bool{"http://elsewhere.example/x": true, "https://elsewhere.example/x": false, "https://me:pw@elsewhere.example/x": true, "/x": true, "http://graph.example/x": false} {
		c := &graph.Client{BaseURL: "http://graph.example/v1.0", Tokens: constant("t"), HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			answer, status := fmt.Sprintf(`{"uploadUrl":%q}`, address), 201
			if r.Method == "PUT" {
				status, answer = 201, ""
				if r.Header.Get("Authorization") != "" {
					t.Error("a token goes elsewhere")
				}
			}
			h := http.Header{"Location": {"https://graph.example/v1.0/me/events/e/attachments('A%3D')"}}
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
		})}}
		id, err := c.AddAttachment(t.Context(), "", "e", "a", "", 3<<20, bytes.NewReader(make([]byte, 3<<20)))
		if errors.Is(err, graph.ErrForeignLink) != want || err == nil && id != "A=" {
			t.Errorf("%s: %q, %v", address, id, err)
		}
	}
}

type constant string

func (c constant) Token(context.Context) (string, error) { return string(c), nil }
func (constant) Invalidate(string)                       {}

// A file is handed on as it comes; two at once leave the mailbox to others.
func TestOpenAttachment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{}
		c, box := writing(t, sim)
		cal := box.Calendar()
		id := cal.Create(graphsim.Event{Start: time.Now(), End: time.Now()})
		if err := cal.Attach(id, "a.txt", "text/plain", []byte("content")); err != nil {
			t.Fatal(err)
		}
		list, err := c.Attachments(t.Context(), cal.ID(), id)
		if err != nil {
			t.Fatal(err)
		}
		var open []graph.Content
		for range 2 {
			file, err := c.OpenAttachment(t.Context(), cal.ID(), id, list[0].ID)
			if err != nil || file.Size != 7 || file.ContentType != "text/plain" {
				t.Fatal(file, err)
			}
			open = append(open, file)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.OpenAttachment(ctx, cal.ID(), id, list[0].ID); err == nil {
			t.Error("a third file is open")
		}
		for range 5 {
			if _, err := c.Calendars(t.Context()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour) // no timeout ends what somebody reads slowly
		for _, file := range open {
			if b, err := io.ReadAll(file); string(b) != "content" || err != nil || file.Close() != nil || file.Close() != nil {
				t.Error(string(b), err)
			}
		}
		if _, err := c.OpenAttachment(t.Context(), cal.ID(), id, "AAMkAx"); !graph.IsNotFound(err) {
			t.Error(err)
		}
		if err := c.RemoveAttachment(t.Context(), cal.ID(), id, list[0].ID); err != nil {
			t.Error(err)
		}
		if err := c.RemoveAttachment(t.Context(), cal.ID(), id, list[0].ID); !graph.IsNotFound(err) {
			t.Error(err)
		}
		// Errors leave no slot taken.
		for range 10 {
			if _, err := c.OpenAttachment(t.Context(), cal.ID(), id, list[0].ID); !graph.IsNotFound(err) {
				t.Error(err)
			}
		}
	})
}

// A file that is shorter than it is said to be is not sent.
func TestShortFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, box := writing(t, &graphsim.Server{})
		cal := box.Calendar()
		id := cal.Create(graphsim.Event{Start: time.Now(), End: time.Now()})
		for _, size := range []int64{10, 4 << 20} {
			if _, err := c.AddAttachment(t.Context(), cal.ID(), id, "a", "", size, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
		}
		if have, _ := cal.Attachments(id); len(have) != 0 {
			t.Error(have)
		}
	})
}

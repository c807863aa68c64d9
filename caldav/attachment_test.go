package caldav_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"outbridge/caldav"
)

func TestAttachments(t *testing.T) {
	m := writable()
	s := serve(t, m)
	add := func(body string, headers ...string) answer {
		return s.do("POST", dentist+"?action=attachment-add", body, headers...)
	}
	a := add("hello", "Content-Type: text/plain; charset=utf-8", `Content-Disposition: attachment; filename="no/te 1.txt"`)
	if a.StatusCode != 201 || a.Header.Get("Cal-Managed-ID") != "f1" || a.Header.Get("Location") != s.url+"/dav/att/f1/te%201.txt" || a.body != "" || a.Header.Get("ETag") != "" {
		t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	get := func(method, path string) answer { return s.do(method, path, "") }
	for _, path := range []string{"/dav/att/f1", "/dav/att/f1/te%201.txt", "/dav/att/f1/anything"} {
		for _, method := range []string{"GET", "HEAD"} {
			a := get(method, path)
			want := "hello"
			if method == "HEAD" {
				want = ""
			}
			if a.StatusCode != 200 || a.body != want || a.Header.Get("Content-Length") != "5" || a.Header.Get("Content-Type") != "text/plain" ||
				a.Header.Get("Content-Disposition") != `attachment; filename="te 1.txt"` || a.Header.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "sandbox") || a.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s %s: %d %v %s", method, path, a.StatusCode, a.Header, a.body)
			}
		}
	}
	if a := s.do("GET", "/dav/att/f1", "", "Authorization: none"); a.StatusCode != 401 {
		t.Errorf("a stranger: %d", a.StatusCode)
	}
	if a := get("OPTIONS", "/dav/att/f1"); a.StatusCode != 200 || a.Header.Get("Allow") != "OPTIONS, GET, HEAD" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if a := get("DELETE", "/dav/att/f1"); a.StatusCode != 405 {
		t.Errorf("%d", a.StatusCode)
	}
	for _, path := range []string{"/dav/att/f2", "/dav/att/", "/dav/att/a%2Fb", "/dav/att/" + strings.Repeat("a", 2000)} {
		if a := get("GET", path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	// The object comes back where it is asked for, and a tag with it.
	a = s.do("POST", dentist+"?action=attachment-update&managed-id=f1", "other", "Content-Type: image/png", "Content-Disposition: attachment;filename=Z%C3%BCrich photo.png", "Prefer: return=representation")
	if a.StatusCode != 200 || a.Header.Get("Cal-Managed-ID") != "f1" || !strings.Contains(strings.ReplaceAll(a.body, "\r\n ", ""), "FMTTYPE=image/png;FILENAME=Z%C3%BCrich photo.png;SIZE=5") ||
		a.Header.Get("ETag") == "" || a.Header.Get("Content-Location") != dentist {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a := s.do("POST", dentist+"?action=attachment-update&managed-id=f1", "other"); a.StatusCode != 204 || m.files["f1"].kind != "application/octet-stream" || m.files["f1"].name != "attachment" {
		t.Errorf("%d %+v", a.StatusCode, m.files["f1"])
	}
	if a := s.do("POST", dentist+"?action=attachment-remove&managed-id=f1&rid=M,20260811T080000Z", ""); a.StatusCode != 204 || len(m.files) != 0 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for range 3 {
		add("x")
	}
	for _, tt := range []struct{ query, body, condition string }{
		{"action=attachment-add", "x", "C:max-attachments-per-resource"},
		{"action=attachment-add&rid=x", "x", "C:valid-rid-parameter"},
		{"action=attachment-add&rid=", "x", "C:valid-rid-parameter"},
		{"action=attachment-add&rid=M&rid=M", "x", "C:valid-rid-parameter"},
		{"action=attachment-add&rid=" + strings.Repeat("M,", 200) + "M", "x", "C:valid-rid-parameter"},
		{"action=attachment-add&managed-id=f1", "x", "C:valid-managed-id-parameter"},
		{"action=attachment-update&managed-id=f1&rid=M", "x", "C:valid-rid-parameter"},
		{"action=attachment-update", "x", "C:valid-managed-id-parameter"},
		{"action=attachment-update&managed-id=none", "x", "C:valid-managed-id-parameter"},
		{"action=attachment-remove", "", "C:valid-managed-id-parameter"},
		{"action=attachment-remove&managed-id=none", "", "C:valid-managed-id-parameter"},
		{"action=attachment-remove&managed-id=" + strings.Repeat("a", 2000), "", "C:valid-managed-id-parameter"},
		{"action=split&rid=20260811T080000Z", "", "C:valid-action-parameter"},
		{"action=", "", "C:valid-action-parameter"},
		{"action=attachment-add&action=attachment-add", "", "C:valid-action-parameter"},
		{"action=attachment-add&x=%zz", "", "C:valid-action-parameter"},
		{"action=attachment-add", strings.Repeat("x", 26<<20), "C:max-attachment-size"},
	} {
		s.do("POST", dentist+"?"+tt.query, tt.body).refused(t, tt.query, 403, tt.condition)
	}
	if a := s.do("POST", private+"none.ics?action=attachment-add", "x"); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := s.do("POST", dentist+"?action=attachment-add", "x", `If-Match: "x"`); a.StatusCode != 412 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := s.do("POST", work+"single.ics?action=attachment-add", "x"); a.StatusCode != 403 || !strings.Contains(a.body, "need-privileges") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestAttachmentNames(t *testing.T) {
	m := writable()
	s := serve(t, m)
	for header, want := range map[string]string{
		`attachment; filename="a.txt"`:                            "a.txt",
		`attachment;filename=a b.txt`:                             "a b.txt",
		`attachment; filename="ü €.txt"`:                          "ü €.txt",
		"attachment; filename=\"\xfc.txt\"":                       "ü.txt",
		`attachment; filename*=UTF-8''%e2%82%ac.txt`:              "€.txt",
		`attachment; filename="=?UTF-8?B?4oKsLnR4dA==?="`:         "€.txt",
		`attachment; filename="C:\\Users\\a.txt"`:                 "a.txt",
		`attachment; filename="../../etc/passwd"`:                 "passwd",
		`attachment; filename=".."`:                               "attachment.txt",
		`attachment; filename=""`:                                 "attachment.txt",
		`attachment`:                                              "attachment.txt",
		``:                                                        "attachment.txt",
		`filename=`:                                               "attachment.txt",
		`attachment; filename="` + strings.Repeat("a", 300) + `"`: strings.Repeat("a", 120),
	} {
		a := s.do("POST", dentist+"?action=attachment-add", "x", "Content-Type: text/plain", "Content-Disposition: "+header)
		id := a.Header.Get("Cal-Managed-ID")
		if a.StatusCode != 201 || m.files[id].name != want {
			t.Errorf("%s: %d %q", header, a.StatusCode, m.files[id].name)
		}
		if got := s.do("GET", strings.TrimPrefix(a.Header.Get("Location"), s.url), ""); got.StatusCode != 200 {
			t.Errorf("%s: %s: %d", header, a.Header.Get("Location"), got.StatusCode)
		}
		s.do("POST", dentist+"?action=attachment-remove&managed-id="+id, "")
	}
}

// fileOf is a memory with one file of its making.
type fileOf struct {
	*memory
	f caldav.AttachmentFile
}

func (o fileOf) OpenAttachment(context.Context, caldav.Principal, string) (caldav.AttachmentFile, error) {
	return o.f, nil
}

// A file is sent as it comes, and never as though it were whole when it is not.
func TestAttachmentStream(t *testing.T) {
	body := func(n int64) io.ReadCloser { return io.NopCloser(io.LimitReader(zeros{}, n)) }
	for _, tt := range []struct {
		name      string
		size, has int64
		status    int
		whole     bool
	}{
		{"empty", 0, 0, 200, true}, {"small", 10, 10, 200, true}, {"large", 20 << 20, 20 << 20, 200, true}, {"of no known length", -1, 3 << 20, 200, true},
		{"shorter", 1 << 20, 1<<20 - 1, 200, false}, {"longer", 1<<20 - 1, 1 << 20, 200, false}, {"too large", 30 << 20, 30 << 20, 403, true},
		{"too large, unsaid", -1, 30 << 20, 200, false},
	} {
		s := serve(t, fileOf{writable(), caldav.AttachmentFile{Name: "x", Type: "text/html; x", Size: tt.size, Body: body(tt.has)}})
		req, _ := http.NewRequest("GET", s.url+"/dav/att/x", nil)
		req.SetBasicAuth("alice", "secret")
		a, err := s.client.Do(req)
		if err != nil {
			if tt.whole {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		n, err := io.Copy(io.Discard, a.Body)
		a.Body.Close()
		if a.StatusCode != tt.status || (err == nil) != tt.whole || tt.whole && tt.status == 200 && n != tt.has {
			t.Errorf("%s: %d, %d octets, %v", tt.name, a.StatusCode, n, err)
		}
	}
}

func TestAttachmentPath(t *testing.T) {
	for want, got := range map[string]string{
		"/dav/att/AAA=":             caldav.AttachmentPath("AAA=", ""),
		"/dav/att/AAA/a%20b.txt":    caldav.AttachmentPath("AAA", "/x/a b.txt"),
		"/dav/att/AAA/%F0%9F%8E%89": caldav.AttachmentPath("AAA", "🎉"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

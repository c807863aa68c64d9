package graphsim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// An attachment is a file of an event or of an exception.
type attachment struct {
	id, name, contentType string
	inline                bool
	modified              time.Time
	content               []byte
}

// content is a body that is no JSON.
type content []byte

// Limits of attachments (learn.microsoft.com/graph/api/attachment-createuploadsession).
const (
	smallAttachment = 3 << 20   // more needs an upload session
	largeAttachment = 150 << 20 // more is refused
	largeItem       = 35 << 20  // all of an event
	largePart       = 4 << 20   // of an upload session
	uploadLife      = 24 * time.Hour
	uploadPath      = "/upload/outlook/"
)

// Attach adds a file to an event, a series or an occurrence, as a person does.
func (c *Calendar) Attach(id graph.EventID, name, contentType string, bytes []byte) error {
	return c.onFiles(id, func(x *item, day time.Time) {
		x.attach(day, attachment{name: name, contentType: contentType, content: bytes})
	})
}

// AttachPicture adds a picture of its text to an event, which the text shows by contentID.
func (c *Calendar) AttachPicture(id graph.EventID, name, contentID string, bytes []byte) error {
	return c.onFiles(id, func(x *item, day time.Time) {
		had := x.ev.HasAttachments
		x.attach(day, attachment{name: name, contentType: "image/png", inline: true, content: bytes})
		x.ev.HasAttachments = had // which does not count them
		x.ev.Body += `<img src="cid:` + contentID + `">`
	})
}

// Attachments are the names of the files of an event, a series or an occurrence, with their contents.
func (c *Calendar) Attachments(id graph.EventID) (map[string][]byte, error) {
	all := map[string][]byte{}
	return all, c.onFiles(id, func(x *item, day time.Time) {
		for _, a := range x.attached(day) {
			all[a.name] = a.content
		}
	})
}

func (c *Calendar) onFiles(id graph.EventID, do func(*item, time.Time)) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, day, err := c.in(id)
	if err == nil {
		do(x, day)
	}
	return err
}

// attached are the files of the event or its occurrence of a day. Those of an exception begin as copies of the series', with other ids.
func (x *item) attached(day time.Time) []attachment {
	own, ok := x.files[day]
	if ok || day.IsZero() {
		return own
	}
	copies := slices.Clone(x.files[noDay])
	for i := range copies {
		copies[i].id = attachmentID(copies[i].id + day.Format(time.DateOnly))
	}
	return copies
}

func attachmentID(of string) string {
	return classicStart + strings.ReplaceAll(guid(of), "-", "+")[:30] + "/" + strings.ReplaceAll(guid("attachment "+of), "-", "_") + "="
}

func (x *item) attach(day time.Time, a attachment) attachment {
	a.id, a.modified = attachmentID(rand.Text()), x.cal.mailbox.server.now().UTC()
	x.setFiles(day, append(slices.Clone(x.attached(day)), a))
	return a
}

// setFiles changes the files of an event. Its change key moves, and no delta tells of it.
func (x *item) setFiles(day time.Time, files []attachment) {
	if x.files == nil {
		x.files = map[time.Time][]attachment{}
	}
	x.files[day] = files
	x.quiet++
	x.modified = x.cal.mailbox.server.now().UTC()
	if day.IsZero() {
		x.ev = x.ev.clone()
		x.ev.HasAttachments = len(files) > 0
		return
	}
	e := x.exceptionDraft(day)
	e.HasAttachments = len(files) > 0
	x.setException(day, e)
	x.update()
}

func (c *call) attachmentJSON(a attachment, whole bool) map[string]any {
	j := map[string]any{"@odata.type": graph.FileAttachment, "@odata.mediaContentType": a.contentType, "id": a.id, "name": a.name, "contentType": a.contentType,
		"size": len(a.content) + 180, "isInline": a.inline, "lastModifiedDateTime": a.modified.Format(time.RFC3339), "contentId": nil, "contentLocation": nil}
	if whole {
		j["contentBytes"] = a.content
	}
	if names, ok := queryValue(c.query, "$select"); ok {
		for name := range j {
			if !strings.HasPrefix(name, "@") && !slices.Contains(strings.Split(names, ","), name) {
				delete(j, name)
			}
		}
	}
	return j
}

// attachments answers below …/events/{id}/attachments.
func (c *call) attachments(x *item, day time.Time, rest []string) response {
	if c.r.Method != http.MethodGet && !c.mayWrite(x.cal) {
		return c.fail(403, "", "")
	}
	files := x.attached(day)
	path := "/events('" + url.PathEscape(string(x.id(c.prefer.immutable))) + "')/attachments"
	if len(rest) == 0 {
		switch c.r.Method {
		case http.MethodPost:
			return c.addAttachment(x, day)
		case http.MethodGet:
			var all []map[string]any
			for _, a := range files {
				all = append(all, c.attachmentJSON(a, true))
			}
			return c.list(path, all)
		}
		return c.fail(405, "", "")
	}
	if strings.EqualFold(rest[0], "createUploadSession") && c.r.Method == http.MethodPost {
		if c.server.Cloud == "usgov" || c.server.Cloud == "dod" {
			return c.unknownSegment(rest[0])
		}
		return c.createUpload(x, day)
	}
	i := slices.IndexFunc(files, func(a attachment) bool { return a.id == rest[0] })
	switch {
	case i < 0:
		return c.fail(404, "", "")
	case len(rest) == 2 && rest[1] == "$value" && c.r.Method == http.MethodGet:
		return response{status: 200, body: content(files[i].content)}.with("Content-Type", files[i].contentType)
	case len(rest) > 1:
		return c.unknownSegment(rest[1])
	case c.r.Method == http.MethodDelete:
		x.setFiles(day, slices.Delete(slices.Clone(files), i, i+1))
		c.server.touchLater(x)
		return response{status: http.StatusNoContent}
	case c.r.Method == http.MethodGet:
		body := c.attachmentJSON(files[i], true)
		body["@odata.context"] = c.context(path + "/$entity")
		return response{status: 200, body: body}
	}
	return c.fail(405, "", "")
}

// tooLarge refuses a file that the event has no room for.
func (c *call) tooLarge(x *item, day time.Time, size int64) *response {
	for _, a := range x.attached(day) {
		size += int64(len(a.content))
	}
	if size <= largeItem {
		return nil
	}
	a := c.fail(400, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")
	return &a
}

func (c *call) addAttachment(x *item, day time.Time) response {
	var in struct {
		Type         string `json:"@odata.type"`
		Name         string
		ContentType  string
		ContentBytes []byte
		IsInline     bool
	}
	if err := json.Unmarshal(c.body, &in); err != nil || in.Name == "" {
		return c.fail(400, "BadRequest", "Unable to read JSON request payload.")
	}
	if in.Type != graph.FileAttachment {
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. The type of the attachment is not supported.")
	}
	if len(in.ContentBytes) >= smallAttachment {
		return c.fail(413, "RequestBodyTooLarge", "The request is too large. Use an upload session.")
	}
	if refused := c.tooLarge(x, day, int64(len(in.ContentBytes))); refused != nil {
		return *refused
	}
	a := x.attach(day, attachment{name: in.Name, contentType: in.ContentType, inline: in.IsInline, content: in.ContentBytes})
	c.server.touchLater(x)
	body := c.attachmentJSON(a, true)
	body["@odata.context"] = c.context("/events('" + url.PathEscape(string(x.id(c.prefer.immutable))) + "')/attachments/$entity")
	return response{status: http.StatusCreated, body: body}
}

// An upload is an upload session.
type upload struct {
	x       *item
	day     time.Time
	base    string // URL of the event
	file    attachment
	size    int64
	expires time.Time
	done    bool
}

func (u *upload) state() map[string]any {
	j := map[string]any{"expirationDateTime": u.expires.UTC().Format(time.RFC3339), "nextExpectedRanges": []string{}}
	if !u.done {
		j["nextExpectedRanges"] = []string{fmt.Sprintf("%d-", len(u.file.content))}
	}
	return j
}

func (c *call) createUpload(x *item, day time.Time) response {
	var in struct {
		AttachmentItem struct {
			AttachmentType, Name, ContentType string
			Size                              int64
			IsInline                          bool
		}
	}
	if err := json.Unmarshal(c.body, &in); err != nil || in.AttachmentItem.Name == "" || in.AttachmentItem.AttachmentType != "file" {
		return c.fail(400, "BadRequest", "Unable to read JSON request payload.")
	}
	item := in.AttachmentItem
	switch {
	case item.Size < smallAttachment:
		return c.fail(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", "Attachment size must be greater than the minimum size.")
	case item.Size > largeAttachment:
		return c.fail(400, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large.")
	}
	if refused := c.tooLarge(x, day, item.Size); refused != nil {
		return *refused
	}
	s := c.server
	if s.uploads == nil {
		s.uploads = map[string]*upload{}
	}
	token := guid("upload " + rand.Text())
	u := &upload{x: x, day: day, size: item.Size, expires: s.now().Add(uploadLife), base: c.link("events/"+url.PathEscape(string(x.id(c.prefer.immutable))), nil),
		file: attachment{name: item.Name, contentType: item.ContentType, inline: item.IsInline}}
	s.uploads[token] = u
	origin := s.origin(c.r)
	if c.r.URL.Scheme != "" { // any host is served in this process
		origin = "https://outlook.office.example"
	}
	body := u.state()
	body["uploadUrl"] = origin + uploadPath + token + "?authtoken=" + url.QueryEscape(guid("auth "+token))
	body["@odata.context"] = c.server.origin(c.r) + "/v1.0/$metadata#microsoft.graph.uploadSession"
	return response{status: http.StatusCreated, body: body}
}

// serveUpload answers at the address of an upload session, which knows no tokens but its own.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request, token string, fault Fault) {
	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	var a response
	if fault.Status != 0 {
		a = fault.answer(s, r)
	} else {
		s.mu.Lock()
		a = s.upload(r, token, body)
		s.mu.Unlock()
	}
	if fault.DropAnswer {
		panic(http.ErrAbortHandler)
	}
	a.write(w)
}

func (s *Server) upload(r *http.Request, token string, body []byte) response {
	u := s.uploads[token]
	var from, to, size int64
	switch {
	case r.Header.Get("Authorization") != "":
		s.violation("an upload with a token")
		return s.graphError(r, 401, "", "")
	case u == nil, r.URL.Query().Get("authtoken") != guid("auth "+token), !s.now().Before(u.expires), u.x.cal.items[u.x.n] != u.x:
		return s.graphError(r, 404, "ErrorItemNotFound", "The upload session was not found.")
	case r.Method == http.MethodDelete:
		delete(s.uploads, token)
		return response{status: http.StatusNoContent}
	case r.Method == http.MethodGet:
		return response{status: 200, body: u.state()}
	case r.Method != http.MethodPut:
		return s.graphError(r, 405, "", "")
	}
	if n, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size); n != 3 || err != nil || size != u.size || to-from+1 != int64(len(body)) {
		return s.graphError(r, 400, "ErrorInvalidRequest", "Your request can't be completed. Content-Range is invalid.")
	}
	switch {
	case len(body) > largePart:
		return s.graphError(r, 413, "RequestBodyTooLarge", "The range is too large.")
	case u.done || from != int64(len(u.file.content)):
		return s.graphError(r, 416, "InvalidRange", "The range is not the one that is expected.")
	}
	u.file.content = append(u.file.content, body...)
	if int64(len(u.file.content)) < u.size {
		return response{status: 200, body: u.state()}
	}
	u.done = true
	a := u.x.attach(u.day, u.file)
	s.touchLater(u.x)
	return response{status: http.StatusCreated}.with("Location", u.base+"/attachments('"+url.PathEscape(a.id)+"')")
}

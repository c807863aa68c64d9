package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// AttachmentID is Graph's id of an attachment of one event. It is opaque.
type AttachmentID string

// Kinds of an attachment.
const (
	FileAttachment      = "#microsoft.graph.fileAttachment"
	ItemAttachment      = "#microsoft.graph.itemAttachment"      // a message, an event or a contact
	ReferenceAttachment = "#microsoft.graph.referenceAttachment" // a file in the cloud, whose address v1.0 does not tell
)

// Attachment is the resource "attachment" without its content.
type Attachment struct {
	Kind         string       `json:"@odata.type"`
	ID           AttachmentID `json:"id"`
	Name         string       `json:"name"`
	ContentType  string       `json:"contentType"` // "" as well
	Size         int          `json:"size"`        // octets, with what Exchange needs to keep it
	IsInline     bool         `json:"isInline"`    // an image of the body
	LastModified string       `json:"lastModifiedDateTime"`
}

// Attachments lists the attachments of an event (learn.microsoft.com/graph/api/event-list-attachments).
func (c *Client) Attachments(ctx context.Context, cal CalendarID, id EventID) ([]Attachment, error) {
	const op = "read attachments"
	if id == "" {
		return nil, errEmptyID(op)
	}
	all, err := list[Attachment](ctx, c, op, c.BaseURL+c.eventPath(cal, id)+"/attachments"+attachmentSelect)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.ID == "" {
			return nil, &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "an attachment of the list has no id"}
		}
	}
	return all, nil
}

// AttachmentsOf lists the attachments of any number of events of a calendar, in batches of twenty, each for itself: results come in the
// order asked.
func (c *Client) AttachmentsOf(ctx context.Context, cal CalendarID, ids []EventID) []AttachmentList {
	const op = "read attachments"
	lists := make([]AttachmentList, len(ids))
	parts := make([]*request, len(ids))
	nexts := make([]string, len(ids))
	for i, id := range ids {
		lists[i].ID = id
		parts[i] = &request{op: op, method: http.MethodGet, url: c.BaseURL + c.eventPath(cal, id) + "/attachments" + attachmentSelect, prefer: prefer("UTC"), decode: func(b []byte) error {
			all, p, err := readPage[Attachment](b)
			lists[i].Attachments, nexts[i] = all, p.Next
			return err
		}}
		if id == "" {
			parts[i].err = errEmptyID(op)
		}
	}
	c.runTogether(ctx, parts)
	for i, r := range parts {
		l := &lists[i]
		if l.Err = r.err; l.Err == nil && nexts[i] != "" {
			if l.Err = c.returnedLink(op, nexts[i]); l.Err == nil {
				var more []Attachment
				more, l.Err = list[Attachment](ctx, c, op, nexts[i])
				l.Attachments = append(l.Attachments, more...)
			}
		}
		for _, a := range l.Attachments {
			if a.ID == "" {
				l.Err = &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "an attachment of the list has no id"}
			}
		}
	}
	return lists
}

const attachmentSelect = "?$select=id,name,contentType,size,isInline,lastModifiedDateTime"

// AttachmentList is what is attached to an event.
type AttachmentList struct {
	ID          EventID // as asked
	Attachments []Attachment
	Err         error
}

// Content is the content of an attachment, as it comes. It has to be closed, and holds up the mailbox until then: whoever passes it on
// to somebody slow should mind ctx.
type Content struct {
	io.ReadCloser
	Size        int64  // octets; -1: not known
	ContentType string // as Graph says, which is not to be trusted
}

// OpenAttachment reads the content of a file (learn.microsoft.com/graph/api/attachment-get, $value), of an attached item in its MIME
// form. Two are read at once at most for a mailbox; ctx is of the whole of it.
func (c *Client) OpenAttachment(ctx context.Context, cal CalendarID, id EventID, attachment AttachmentID) (Content, error) {
	const op = "read an attachment"
	if id == "" || attachment == "" {
		return Content{}, errEmptyID(op)
	}
	c.once.Do(c.setUp)
	if err := c.Gate.enterFile(ctx); err != nil {
		return Content{}, fmt.Errorf("%s: %w", op, err)
	}
	r := &request{op: op, method: http.MethodGet, url: c.attachmentURL(cal, id, attachment) + "/$value", prefer: prefer("UTC"), open: true, one: true,
		decode: func([]byte) error { return errors.New("the answer is not the content of an attachment") }}
	if err := c.doThis(ctx, r); err != nil {
		c.Gate.leaveFile()
		return Content{}, err
	}
	leave := sync.OnceFunc(c.Gate.leaveFile)
	return Content{&openBody{r.opened.Body, leave}, r.opened.ContentLength, r.opened.Header.Get("Content-Type")}, nil
}

const (
	// smallFile is what one POST takes (learn.microsoft.com/graph/api/event-post-attachments).
	smallFile = 3 << 20
	// filePart is how much of a larger file goes at once: less than 4 MB, and a multiple of 320 KiB
	// (learn.microsoft.com/graph/outlook-large-attachments).
	filePart = 12 * 320 << 10
)

// AddAttachment adds a file of size octets to an event. A file of 3 MB or more goes in parts, through an upload session
// (learn.microsoft.com/graph/api/attachment-createuploadsession); 150 MB is the most that Outlook takes, and 35 MB by default, and in
// Microsoft's cloud for the US government there are no sessions: IsNotOffered. It is not idempotent: ErrMayHaveHappened says to look for it with Attachments. WriteFault tells why it was refused.
func (c *Client) AddAttachment(ctx context.Context, cal CalendarID, id EventID, name, contentType string, size int64, body io.Reader) (AttachmentID, error) {
	const op = "add an attachment"
	if id == "" {
		return "", errEmptyID(op)
	}
	add := c.uploadFile
	if size < smallFile {
		add = c.postFile
	}
	aid, err := add(ctx, request{op: op, method: http.MethodPost, url: c.BaseURL + c.eventPath(cal, id) + "/attachments", prefer: prefer("UTC")}, file{name, contentType, size, body})
	if err != nil && asError(err) == nil {
		err = fmt.Errorf("%s: %w", op, err)
	}
	return aid, err
}

type file struct {
	name, contentType string
	size              int64
	body              io.Reader
}

func (c *Client) postFile(ctx context.Context, r request, f file) (id AttachmentID, err error) {
	content := make([]byte, f.size)
	if _, err := io.ReadFull(f.body, content); err != nil {
		return "", fmt.Errorf("the file is shorter than it is said to be: %w", err)
	}
	r.body, err = json.Marshal(map[string]any{"@odata.type": FileAttachment, "name": f.name, "contentType": orDefault(f.contentType, "application/octet-stream"), "contentBytes": content})
	if err != nil {
		return "", err
	}
	var made Attachment
	r.decode = func(b []byte) error {
		if err := readItem(b, &made); err != nil {
			return fmt.Errorf("the answer is not an attachment: %w", err)
		}
		if made.ID == "" {
			return errors.New("the answer is not an attachment: it has no id")
		}
		return nil
	}
	err = c.do(ctx, r)
	return made.ID, err
}

// uploadState is the resource "uploadSession", of which later answers have the ranges only.
type uploadState struct {
	URL  string   `json:"uploadUrl"`
	Next []string `json:"nextExpectedRanges"`
}

// offset is where the next part begins; -1: nothing more is expected.
func (s uploadState) offset() (int64, error) {
	if len(s.Next) == 0 {
		return -1, nil
	}
	from, _, _ := strings.Cut(s.Next[0], "-")
	n, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return 0, errors.New("the answer is not the state of an upload")
	}
	return n, nil
}

func (c *Client) uploadFile(ctx context.Context, r request, f file) (AttachmentID, error) {
	item := map[string]any{"attachmentType": "file", "name": f.name, "size": f.size}
	if f.contentType != "" {
		item["contentType"] = f.contentType
	}
	body, err := json.Marshal(map[string]any{"AttachmentItem": item})
	if err != nil {
		return "", err
	}
	var session uploadState
	begin := r
	// A session that nothing is sent to ends by itself.
	begin.url, begin.body, begin.idempotent = r.url+"/createUploadSession", body, true
	begin.decode = func(b []byte) error {
		if err := readItem(b, &session); err != nil || session.URL == "" {
			return errors.New("the answer is not an upload session")
		}
		return nil
	}
	if err := c.do(ctx, begin); err != nil {
		return "", err
	}
	if err := c.uploadLink(session.URL); err != nil {
		return "", err
	}
	part := make([]byte, filePart)
	for at := int64(0); at < f.size; {
		n := min(int64(len(part)), f.size-at)
		if _, err := io.ReadFull(f.body, part[:n]); err != nil {
			return "", fmt.Errorf("the file is shorter than it is said to be: %w", err)
		}
		for end := at + n; at < end; {
			next, id, err := c.uploadPart(ctx, request{op: r.op, url: session.URL}, part[n-(end-at):n], at, f.size)
			switch {
			case err != nil:
				return "", err
			case next < 0 && (end < f.size || id == ""):
				return id, oddUpload("it ended without saying what it made")
			case next < 0:
				return id, nil
			case next <= at || next > end:
				return "", oddUpload("it goes on somewhere else")
			}
			at = next
		}
	}
	return "", oddUpload("it did not end with the file")
}

// oddUpload is the error of an upload whose answers make no sense.
func oddUpload(what string) error {
	return fmt.Errorf("%w (%w)", &Error{Op: "add an attachment", Status: http.StatusOK, garbled: true, Message: "the upload is odd: " + what}, ErrMayHaveHappened)
}

var attachmentInLocation = regexp.MustCompile(`(?i)attachments(?:\('([^']+)'\)|/([^/?]+))`)

// uploadPart sends what of a file begins at the octet at, and returns where to go on: -1 and the id of the attachment where that was
// all. It is asked of the session where a part was sent twice and refused the second time.
func (c *Client) uploadPart(ctx context.Context, r request, part []byte, at, size int64) (next int64, id AttachmentID, err error) {
	r.method, r.body, r.idempotent = http.MethodPut, part, true
	r.upload = fmt.Sprintf("bytes %d-%d/%d", at, at+int64(len(part))-1, size)
	read := func(b []byte) error {
		next = -1
		if len(bytes.TrimSpace(b)) == 0 {
			return nil
		}
		var state uploadState
		if err := readItem(b, &state); err != nil {
			return err
		}
		next, err = state.offset()
		return err
	}
	r.decode = read
	err = c.doThis(ctx, &r)
	if err == nil && next < 0 {
		id = attachmentAt(r.answer.Get("Location"))
	}
	if e := asError(err); e == nil || !errors.Is(err, ErrMayHaveHappened) || e.transient() {
		return next, id, err
	}
	ask := request{op: r.op, method: http.MethodGet, url: r.url, upload: r.upload, decode: read}
	if c.do(ctx, ask) != nil || next <= at {
		return 0, "", err
	}
	return next, "", nil
}

// attachmentAt is the id of the attachment that a Location leads to.
func attachmentAt(location string) AttachmentID {
	m := attachmentInLocation.FindStringSubmatch(location)
	if m == nil {
		return ""
	}
	text := m[1] + m[2]
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	return AttachmentID(text)
}

// RemoveAttachment removes an attachment. IsNotFound says that it is gone.
func (c *Client) RemoveAttachment(ctx context.Context, cal CalendarID, id EventID, attachment AttachmentID) error {
	const op = "remove an attachment"
	if id == "" || attachment == "" {
		return errEmptyID(op)
	}
	return c.do(ctx, request{op: op, method: http.MethodDelete, url: c.attachmentURL(cal, id, attachment), prefer: prefer("UTC"), one: true, idempotent: true, decode: ignore})
}

func (c *Client) attachmentURL(cal CalendarID, id EventID, attachment AttachmentID) string {
	return c.BaseURL + c.eventPath(cal, id) + "/attachments/" + escape(string(attachment))
}

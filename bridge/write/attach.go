package write

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const (
	// MaxFile is what a file that clients add may have, in octets, and MaxFiles how many an event may.
	MaxFile  = 25 << 20
	MaxFiles = 100

	// largeFile needs an upload session of Graph, which not every cloud has.
	largeFile = 3 << 20
	// fileOverhead is how many octets Exchange counts beside those of a file, at most.
	fileOverhead = 16 << 10
)

// attach adds a file to the event, or removes one. One that may have been added is looked for by what is in it.
func (j *job) attach(ctx context.Context, g Graph, s convert.Step) (bridge.StepResult, error) {
	id := j.stepID(s)
	if s.Occurrence != "" && j.stale {
		id = graph.OccurrenceID(j.intent.Series, s.Occurrence)
	}
	done := bridge.StepResult{ID: id}
	if s.Attachment == nil {
		return done, nil
	}
	a := *s.Attachment
	j.known.Attached = true
	change := func(id graph.EventID) error {
		if s.Op == convert.OpDetach {
			return j.detach(ctx, g, id, a)
		}
		return j.addFile(ctx, g, s, id, a)
	}
	err := change(id)
	if s.Occurrence != "" && graph.WriteFault(err) == graph.FaultGone && !errors.Is(err, graph.ErrMayHaveHappened) {
		// Where it is not known by its date it is looked for.
		one, found, findErr := j.byInstances(ctx, g, s.Occurrence)
		if findErr != nil {
			return bridge.StepResult{}, outcome(findErr)
		}
		if found && one.ID != id {
			err = change(one.ID)
		}
	}
	j.etag, j.stale = "", true
	if err == nil {
		return done, nil
	}
	var refused *Refused
	if errors.As(err, &refused) {
		return bridge.StepResult{}, err
	}
	switch graph.WriteFault(err) {
	case graph.FaultTooLarge:
		err = refuse(convert.RefusedAttachment, "Outlook does not take a file as large as %s.", a.Name)
	case graph.FaultDenied, graph.FaultNotOffered:
		if s.Op == convert.OpAttach && a.Size >= largeFile {
			err = refuse(convert.RefusedAttachment, "Outlook takes no file of more than 3 MB from here; attach %s in Outlook.", a.Name)
			break
		}
		err = outcome(err)
	default:
		err = outcome(err)
	}
	return bridge.StepResult{}, err
}

// detach removes a file. That of an occurrence which is none of its own yet is known by its name and its size only.
func (j *job) detach(ctx context.Context, g Graph, id graph.EventID, a convert.Attachment) error {
	if a.ID == "" {
		list, err := g.Attachments(ctx, j.cal.GraphID, id)
		if err != nil {
			return err
		}
		for _, has := range list {
			if has.Name == a.Name && has.Size == a.Size && !has.IsInline {
				a.ID = string(has.ID)
			}
		}
		if a.ID == "" {
			return nil
		}
	}
	err := g.RemoveAttachment(ctx, j.cal.GraphID, id, graph.AttachmentID(a.ID))
	if graph.IsNotFound(err) {
		return nil
	}
	return err
}

// file is a file to add, as it can be read again.
type file struct {
	size   int64
	digest string // "" where it is not known
	open   func(context.Context) (io.ReadCloser, error)
}

func inMemory(octets []byte, digest string) file {
	return file{int64(len(octets)), digest, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(octets)), nil }}
}

// content finds the file of a step: what the client has sent, or the one of another event. ok is false where that has gone.
func (j *job) content(ctx context.Context, a convert.Attachment) (f file, ok bool, err error) {
	if a.From == nil {
		octets, have := j.files[a.Digest]
		if !have {
			if octets, err = j.w.Store.IntentFile(ctx, j.intent.ID, a.Digest); err != nil {
				return f, false, err
			}
		}
		return inMemory(octets, a.Digest), true, nil
	}
	from, err := j.w.Store.Calendar(ctx, bridge.CalendarID(a.From.Calendar))
	if err != nil {
		return f, false, ignoreNotFound(err)
	}
	g, ok := j.m.graphOf(from)
	if !ok {
		return f, false, nil
	}
	open := func(ctx context.Context) (graph.Content, error) {
		return g.OpenAttachment(ctx, from.GraphID, a.From.Event, graph.AttachmentID(a.ID))
	}
	c, err := open(ctx)
	if graph.IsNotFound(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	defer c.Close()
	if c.Size < 0 || c.Size > MaxFile {
		octets, err := io.ReadAll(io.LimitReader(c, MaxFile+1))
		if err != nil {
			return f, false, err
		}
		if len(octets) > MaxFile {
			return f, false, refuse(convert.RefusedAttachment, "The file %s has more than 25 MiB; copy the event in Outlook.", a.Name)
		}
		return inMemory(octets, ""), true, nil
	}
	// Whoever passes a file on holds up both mailboxes, so it is read whole first.
	octets := make([]byte, c.Size)
	if _, err := io.ReadFull(c, octets); err != nil {
		return f, false, fmt.Errorf("read the file that is copied: %w", err)
	}
	return inMemory(octets, ""), true, nil
}

func (j *job) addFile(ctx context.Context, g Graph, s convert.Step, id graph.EventID, a convert.Attachment) error {
	f, ok, err := j.content(ctx, a)
	if err != nil {
		return err
	}
	if !ok {
		j.w.log().Info("a file that was to be copied has gone", "account", j.account.Name, "series", j.intent.Series)
		return nil
	}
	look := func() (graph.AttachmentID, error) { return j.lookFor(ctx, g, id, a.Name, f) }
	var aid graph.AttachmentID
	// An exception begins with copies of what its series has.
	if j.recovering || s.Occurrence != "" {
		if aid, err = look(); err != nil {
			return err
		}
	}
	if aid == "" {
		body, err := f.open(ctx)
		if err != nil {
			return err
		}
		aid, err = g.AddAttachment(ctx, j.cal.GraphID, id, a.Name, a.Type, f.size, body)
		body.Close()
		if errors.Is(err, graph.ErrMayHaveHappened) {
			var lookErr error
			if aid, lookErr = look(); lookErr != nil {
				return lookErr
			}
			if aid != "" {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	if f.digest == "" || aid == "" {
		return nil
	}
	return j.w.Store.SetDigest(context.WithoutCancel(ctx), j.cal.ID, aid, f.digest)
}

// lookFor finds a file of an event by its name and its octets; "" where there is none.
func (j *job) lookFor(ctx context.Context, g Graph, id graph.EventID, name string, f file) (graph.AttachmentID, error) {
	list, err := g.Attachments(ctx, j.cal.GraphID, id)
	if err != nil {
		return "", err
	}
	digest := f.digest
	for _, has := range list {
		if has.Name != name || has.IsInline || int64(has.Size) < f.size || int64(has.Size) > f.size+fileOverhead {
			continue
		}
		if digest == "" {
			body, err := f.open(ctx)
			if err != nil {
				return "", err
			}
			if digest, err = digestOf(body); err != nil {
				return "", err
			}
		}
		c, err := g.OpenAttachment(ctx, j.cal.GraphID, id, has.ID)
		if graph.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		got, err := digestOf(c)
		if err != nil {
			return "", err
		}
		if got == digest {
			return has.ID, nil
		}
	}
	return "", nil
}

// digestOf reads and closes a file.
func digestOf(r io.ReadCloser) (string, error) {
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// filesOf are those of the files of a request that a plan adds.
func filesOf(plan convert.Plan, all map[string][]byte) map[string][]byte {
	var files map[string][]byte
	for _, s := range plan.Steps {
		if s.Op != convert.OpAttach || s.Attachment == nil || s.Attachment.From != nil {
			continue
		}
		if octets, ok := all[s.Attachment.Digest]; ok {
			if files == nil {
				files = map[string][]byte{}
			}
			files[s.Attachment.Digest] = octets
		}
	}
	return files
}

// findFiles finds the files that a plan copies from other events of the account, of which it knows what clients call them. Those that
// are not there are left out.
func (j *job) findFiles(ctx context.Context, plan *convert.Plan) error {
	var steps []convert.Step
	for _, s := range plan.Steps {
		if s.Op == convert.OpAttach && s.Attachment != nil && s.Attachment.Digest == "" && s.Attachment.From == nil {
			f, err := j.w.Store.File(ctx, j.account.Name, s.Attachment.Key)
			if errors.Is(err, bridge.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			s.Attachment = &convert.Attachment{ID: string(f.ID), Name: f.Name, Type: f.Type, Size: f.Size, From: &convert.Source{Calendar: int64(f.Calendar), Event: f.Event}}
		}
		steps = append(steps, s)
	}
	plan.Steps = steps
	return nil
}

package write

import (
	"bytes"
	"context"
	"errors"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// attach adds a file to the event, or removes one. One that may have been added is looked for.
func (j *job) attach(ctx context.Context, g Graph, s convert.Step) (bridge.StepResult, error) {
	id := j.stepID(s)
	a := s.Attachment
	if a == nil {
		return bridge.StepResult{ID: id}, nil
	}
	j.etag = ""
	if s.Op == convert.OpDetach {
		err := g.RemoveAttachment(ctx, j.cal.GraphID, id, graph.AttachmentID(a.ID))
		if err != nil && !graph.IsNotFound(err) {
			return bridge.StepResult{}, outcome(err)
		}
		return bridge.StepResult{ID: id}, nil
	}
	if j.recovering {
		if has, err := j.attached(ctx, g, id, a); err != nil || has {
			return bridge.StepResult{ID: id}, outcomeOrNil(err)
		}
	}
	_, err := g.AddAttachment(ctx, j.cal.GraphID, id, a.Name, a.Type, int64(len(a.Content)), bytes.NewReader(a.Content))
	if errors.Is(err, graph.ErrMayHaveHappened) {
		has, lookErr := j.attached(ctx, g, id, a)
		if lookErr != nil {
			return bridge.StepResult{}, outcome(lookErr)
		}
		if has {
			err = nil
		}
	}
	return bridge.StepResult{ID: id}, outcomeOrNil(err)
}

func outcomeOrNil(err error) error {
	if err == nil {
		return nil
	}
	return outcome(err)
}

// attached reports whether the event has a file of that name, which is as large at least: Exchange counts what it needs to keep it.
func (j *job) attached(ctx context.Context, g Graph, id graph.EventID, a *convert.Attachment) (bool, error) {
	list, err := g.Attachments(ctx, j.cal.GraphID, id)
	if err != nil {
		return false, err
	}
	for _, has := range list {
		if has.Name == a.Name && has.Size >= len(a.Content) {
			return true, nil
		}
	}
	return false, nil
}

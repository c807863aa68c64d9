package dav

import (
	"context"
	"errors"

	"outbridge/bridge"
	"outbridge/bridge/write"
	"outbridge/caldav"
)

// AttachmentLimits: files can be added where an account writes and serves them.
func (b *Writing) AttachmentLimits(ctx context.Context, p caldav.Principal) (caldav.AttachmentLimits, error) {
	a, err := b.Store.Account(ctx, p.Name)
	if errors.Is(err, bridge.ErrNotFound) {
		return caldav.AttachmentLimits{}, nil
	}
	if policy := b.policy(a); err != nil || !policy.Write || !policy.Attachments {
		return caldav.AttachmentLimits{}, err
	}
	return caldav.AttachmentLimits{Octets: write.MaxFile, Files: write.MaxFiles}, nil
}

func (b *Writing) OpenAttachment(ctx context.Context, p caldav.Principal, id string) (caldav.AttachmentFile, error) {
	a, err := b.Store.Account(ctx, p.Name)
	if err != nil {
		return caldav.AttachmentFile{}, davError(err)
	}
	if !b.policy(a).Attachments {
		return caldav.AttachmentFile{}, caldav.ErrNotFound
	}
	f, err := b.Writer.OpenFile(ctx, p.Name, id)
	if err != nil {
		return caldav.AttachmentFile{}, b.refusal(ctx, p, err)
	}
	return caldav.AttachmentFile{Name: f.Name, Type: f.Type, Size: f.Size, Body: f.Body}, nil
}

func (b *Writing) AddAttachment(ctx context.Context, c caldav.Calendar, name string, rids []string, r caldav.AttachmentRequest) (caldav.Attached, error) {
	return b.attach(ctx, c, name, r, func(q write.Request, f write.NewFile) (write.Result, string, error) {
		return b.Writer.Attach(ctx, q, rids, f)
	})
}

func (b *Writing) UpdateAttachment(ctx context.Context, c caldav.Calendar, name, managedID string, r caldav.AttachmentRequest) (caldav.Attached, error) {
	return b.attach(ctx, c, name, r, func(q write.Request, f write.NewFile) (write.Result, string, error) {
		return b.Writer.Reattach(ctx, q, managedID, f)
	})
}

func (b *Writing) attach(ctx context.Context, c caldav.Calendar, name string, r caldav.AttachmentRequest, do func(write.Request, write.NewFile) (write.Result, string, error)) (caldav.Attached, error) {
	q, err := b.request(ctx, c, name, r.WriteRequest)
	if err != nil {
		return caldav.Attached{}, err
	}
	result, key, err := do(q, write.NewFile{Name: r.Name, Type: r.Type, Octets: r.Octets})
	done, err := b.written(ctx, c, r.Principal)(result, err)
	return caldav.Attached{Written: done, ManagedID: key, ID: key}, err
}

func (b *Writing) RemoveAttachment(ctx context.Context, c caldav.Calendar, name string, rids []string, managedID string, r caldav.WriteRequest) (caldav.Written, error) {
	q, err := b.request(ctx, c, name, r)
	if err != nil {
		return caldav.Written{}, err
	}
	return b.written(ctx, c, r.Principal)(b.Writer.Detach(ctx, q, rids, managedID))
}

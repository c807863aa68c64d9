package web

import (
	"context"

	"outbridge/bridge"
)

// Notices is what the pages do with the notifications about trouble. An error that the administrator can do something about is a
// *Problem.
type Notices interface {
	// Targets lists where messages go.
	Targets(ctx context.Context) ([]bridge.NoticeTarget, error)
	// Add keeps a target, with the language of what is sent there; Remove forgets one of the pages, or returns bridge.ErrNotFound.
	Add(ctx context.Context, address, language string) (id string, err error)
	Remove(ctx context.Context, id string) error
	// Test sends a message to a target now, and notes what became of it.
	Test(ctx context.Context, id string) (bridge.NoticeFailure, error)
}

func addTarget(v *visit) error {
	if v.h.Notices == nil {
		return bridge.ErrNotFound
	}
	language := v.lang.Tag
	if l, ok := FindLanguage(v.r.PostFormValue("language")); ok {
		language = l.Tag
	}
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	address, wrong := noticeFormOf(v.r.PostForm).url()
	if wrong != nil {
		v.status = 400
		return v.settingsPage(wrong)
	}
	_, err := v.h.Notices.Add(v.r.Context(), address, language)
	if p, ok := problemOf(err); ok {
		v.status = 400
		return v.settingsPage(p)
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActSettingsChanged, "", "notification target added")
	return v.redirect("/settings?done=target#notify")
}

func removeTarget(v *visit) error {
	if v.h.Notices == nil {
		return bridge.ErrNotFound
	}
	if err := v.h.Notices.Remove(v.r.Context(), v.r.PathValue("id")); err != nil {
		return err
	}
	v.record(bridge.ActSettingsChanged, "", "notification target removed")
	return v.redirect("/settings?done=untarget#notify")
}

// testTarget sends a test message. How it went is shown beside the target.
func testTarget(v *visit) error {
	if v.h.Notices == nil {
		return bridge.ErrNotFound
	}
	v.turn() // the other side may take its time
	failure, err := v.h.Notices.Test(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if failure != (bridge.NoticeFailure{}) {
		return v.redirect("/settings#notify")
	}
	return v.redirect("/settings?done=tried#notify")
}

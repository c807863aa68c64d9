package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"outbridge/bridge"
)

func (v *visit) id() (int64, error) {
	id, err := strconv.ParseInt(v.r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, bridge.ErrNotFound
	}
	return id, nil
}

// feedForm is a feed as shown in a form.
type feedForm struct {
	bridge.Feed
	All       bool // all calendars, new ones included
	Chosen    map[bridge.CalendarID]bool
	Only, Not string // categories, separated by commas
	Narrowed  bool   // some option is set
}

func formOf(f bridge.Feed) feedForm {
	form := feedForm{Feed: f, All: len(f.Calendars) == 0, Chosen: map[bridge.CalendarID]bool{},
		Only: strings.Join(f.Options.Categories, ", "), Not: strings.Join(f.Options.NotCategories, ", "),
		Narrowed: !reflect.DeepEqual(f.Options, bridge.FeedOptions{})}
	for _, id := range f.Calendars {
		form.Chosen[id] = true
	}
	return form
}

// feedRow is a feed in the list.
type feedRow struct {
	bridge.Feed
	Title     Text
	Calendars Text
}

// feedsPage shows the feeds of an account, with the links of one that was just created, rotated or asked for.
func (v *visit) feedsPage(a Account, form feedForm, trouble *Problem) error {
	shown, over := v.shown()
	if trouble == nil {
		trouble = shown.Trouble
	}
	made := shown.Feed
	list, err := v.h.Store.Feeds(v.r.Context(), a.Name)
	if err != nil {
		return err
	}
	cals, err := v.calendars(a)
	if err != nil {
		return err
	}
	var rows []feedRow
	for _, f := range list {
		rows = append(rows, feedRow{f, feedTitle(f, cals), calendarNames(f, cals)})
	}
	p := page{Title: "Feeds", Account: &a, Tab: "feeds", Script: true, Trouble: trouble,
		Data: map[string]any{"List": rows, "Made": made, "Form": form, "Calendars": cals, "User": a.Name, "New": true, "Here": v.h.onlyHere()}}
	if over {
		p.Notice = "The address was shown for a minute. If it was not copied, give the feed a new one."
	}
	return v.render("feeds", p)
}

func (v *visit) calendars(a Account) ([]bridge.Calendar, error) {
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, nil // it has not been synced yet
	}
	if err != nil {
		return nil, err
	}
	cals, err := v.h.Store.Calendars(v.r.Context(), row.ID)
	for i, c := range cals {
		cals[i].Color = c.ShownColor()
	}
	return cals, err
}

func calendarNames(f bridge.Feed, cals []bridge.Calendar) Text {
	if len(f.Calendars) == 0 {
		return "All calendars"
	}
	var names []string
	for _, c := range cals {
		if slices.Contains(f.Calendars, c.ID) {
			names = append(names, c.DisplayName)
		}
	}
	if len(names) == 0 {
		return "Calendars that no longer exist in Outlook"
	}
	return Plain(strings.Join(names, ", "))
}

func feedTitle(f bridge.Feed, cals []bridge.Calendar) Text {
	if f.Name != "" {
		return Plain(f.Name)
	}
	return calendarNames(f, cals)
}

func feeds(v *visit, a Account) error {
	return v.feedsPage(a, formOf(bridge.Feed{Detail: bridge.DetailFull}), nil)
}

// readFeed reads the form of a feed.
func (v *visit) readFeed(a Account) (bridge.Feed, error) {
	cals, err := v.calendars(a)
	if err != nil {
		return bridge.Feed{}, err
	}
	if err := v.r.ParseForm(); err != nil {
		return bridge.Feed{}, err
	}
	form := v.r.PostForm
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	list := func(name string) (all []string) {
		for part := range strings.SplitSeq(get(name), ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
		return all
	}
	f := bridge.Feed{User: a.Name, Name: get("name"), Detail: get("detail"), Kept: get("kept") != "", Options: bridge.FeedOptions{
		Private: get("private"), Free: get("free"), Declined: get("declined"), Cancelled: get("cancelled"),
		Categories: list("categories"), NotCategories: list("not_categories"), Alarms: get("alarms") != "", Past: get("past"), Ahead: get("ahead"),
	}}
	if get("which") != "some" {
		return f, nil
	}
	for _, id := range form["calendar"] {
		i := slices.IndexFunc(cals, func(c bridge.Calendar) bool { return fmt.Sprint(c.ID) == id })
		if i < 0 {
			return f, &Problem{"A calendar that you chose no longer exists.", "Choose again."}
		}
		f.Calendars = append(f.Calendars, cals[i].ID)
	}
	if len(f.Calendars) == 0 {
		return f, &Problem{"No calendar is selected.", "Select at least one, or choose all of them."}
	}
	return f, nil
}

// checkedFeed is readFeed, with what is wrong with the form as a Problem.
func (v *visit) checkedFeed(a Account) (bridge.Feed, *Problem, error) {
	f, err := v.readFeed(a)
	if p, ok := problemOf(err); ok {
		return f, p, nil
	}
	if err != nil {
		return f, nil, err
	}
	if err := f.Check(); err != nil {
		text := err.Error()
		return f, &Problem{Sentence: Kept(strings.ToUpper(text[:1]) + text[1:] + ".")}, nil
	}
	return f, nil, nil
}

func (h *Handler) linksOf(secret string, f bridge.Feed) *FeedLinks {
	links := LinksOf(h.address()+"/feeds/"+secret+".ics", cmp.Or(f.Name, f.User))
	return &links
}

func addFeed(v *visit, a Account) error {
	f, trouble, err := v.checkedFeed(a)
	if err != nil {
		return err
	}
	if trouble != nil {
		v.status = 400
		return v.feedsPage(a, formOf(f), trouble)
	}
	f.Created = v.h.now()
	f, secret, err := v.h.Store.AddFeed(v.r.Context(), f)
	if err != nil {
		return err
	}
	v.record(bridge.ActFeedMade, a.Name, feedDetail(f))
	return v.showOnce(accountPath(a.Name)+"/feeds", once{Feed: v.h.linksOf(secret, f)})
}

// feedDetail is a feed as the record has it.
func feedDetail(f bridge.Feed) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s (%s)", f.ID, f.Name, f.Detail)), " ")
}

// feedOf is the feed named in the URL.
func (v *visit) feedOf(a Account) (bridge.Feed, error) {
	id, err := v.id()
	if err != nil {
		return bridge.Feed{}, err
	}
	return bridge.FindFeed(v.r.Context(), v.h.Store, a.Name, bridge.FeedID(id))
}

func (v *visit) feedPage(a Account, form feedForm, trouble *Problem) error {
	cals, err := v.calendars(a)
	if err != nil {
		return err
	}
	return v.render("feed", page{Title: "Edit feed", Account: &a, Tab: "feeds", Trouble: trouble,
		Data: map[string]any{"Form": form, "Calendars": cals, "User": a.Name, "New": false}})
}

func changeFeedForm(v *visit, a Account) error {
	f, err := v.feedOf(a)
	if err != nil {
		return err
	}
	return v.feedPage(a, formOf(f), nil)
}

func changeFeed(v *visit, a Account) error {
	old, err := v.feedOf(a)
	if err != nil {
		return err
	}
	f, trouble, err := v.checkedFeed(a)
	if err != nil {
		return err
	}
	f.ID, f.Changed = old.ID, v.h.now()
	if trouble != nil {
		v.status = 400
		return v.feedPage(a, formOf(f), trouble)
	}
	if err := v.h.Store.ChangeFeed(v.r.Context(), f); err != nil {
		return err
	}
	v.h.sweepFeeds(v.r.Context())
	v.record(bridge.ActFeedChanged, a.Name, feedDetail(f))
	return v.redirect(accountPath(a.Name) + "/feeds?done=feed")
}

// sweepFeeds deletes the files of a feed that was removed or changed. Those that it cannot delete are tried again every
// minute (feed.Files.Run), so an error does not fail the request.
func (h *Handler) sweepFeeds(ctx context.Context) {
	if err := h.Feeds.Sweep(ctx); err != nil {
		h.log().Warn("files of a removed feed could not be deleted yet", "err", err)
	}
}

func rotateFeedForm(v *visit, a Account) error {
	return v.confirmFeed(a, "New address for the feed {feed}?", "Give it a new address", "Its address stops working at once: everybody who is subscribed loses the feed until they have the new one.", "rotate")
}

func removeFeedForm(v *visit, a Account) error {
	return v.confirmFeed(a, "Remove the feed {feed}?", "Remove", "Its address stops working at once, for everybody who is subscribed.", "remove")
}

func (v *visit) confirmFeed(a Account, title, button, text Text, what string) error {
	f, err := v.feedOf(a)
	if err != nil {
		return err
	}
	cals, err := v.calendars(a)
	if err != nil {
		return err
	}
	return v.confirm(a, question{Title: With(title, feedTitle(f, cals)), Button: button, Text: []Text{text, usedText(v.h.now(), f.Used, f.Client)},
		Path: fmt.Sprintf("%s/feeds/%d/%s", accountPath(a.Name), f.ID, what), Back: accountPath(a.Name) + "/feeds"})
}

// showFeed shows the address of a feed again, where it is kept.
func showFeed(v *visit, a Account) error {
	f, err := v.feedOf(a)
	if err != nil {
		return err
	}
	secret, err := v.h.Store.FeedSecret(v.r.Context(), a.Name, f.ID)
	if errors.Is(err, bridge.ErrNotFound) {
		return v.again(accountPath(a.Name)+"/feeds", &Problem{"The address of this feed is not kept.", "Give it a new one to see it."})
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActFeedShown, a.Name, feedDetail(f))
	return v.showOnce(accountPath(a.Name)+"/feeds", once{Feed: v.h.linksOf(secret, f)})
}

func rotateFeed(v *visit, a Account) error {
	f, err := v.feedOf(a)
	if err != nil {
		return err
	}
	secret, err := v.h.Store.RotateFeed(v.r.Context(), a.Name, f.ID)
	if err != nil {
		return err
	}
	v.h.sweepFeeds(v.r.Context())
	v.record(bridge.ActFeedRotated, a.Name, feedDetail(f))
	return v.showOnce(accountPath(a.Name)+"/feeds", once{Feed: v.h.linksOf(secret, f)})
}

func removeFeed(v *visit, a Account) error {
	f, err := v.feedOf(a)
	if err != nil {
		return err
	}
	if err := v.h.Store.RemoveFeed(v.r.Context(), a.Name, f.ID); err != nil {
		return err
	}
	v.h.sweepFeeds(v.r.Context())
	v.record(bridge.ActFeedRemoved, a.Name, feedDetail(f))
	return v.redirect(accountPath(a.Name) + "/feeds?done=unfed")
}

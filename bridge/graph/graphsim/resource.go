package graphsim

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// calendarColors are the colours of calendar.color, by the hex value that clients show for them.
var calendarColors = map[string]string{
	"#0099bc": "lightBlue", "#00cc6a": "lightGreen", "#f7630c": "lightOrange", "#69797e": "lightGray", "#fde300": "lightYellow",
	"#038387": "lightTeal", "#bf0077": "lightPink", "#8e562e": "lightBrown", "#a4262c": "lightRed",
}

// calendarsAsJSON are the calendars of the user that the caller may see, of one group where it is not nil.
func (c *call) calendarsAsJSON(of *CalendarGroup) []map[string]any {
	var all []map[string]any
	for _, cal := range c.mailbox.cals {
		if c.sees(cal) && (of == nil || cal.group == of) {
			all = append(all, c.calendarAsJSON(cal))
		}
	}
	return all
}

// calendarAsJSON is a calendar as the caller sees it: who was only let in to read cannot edit.
func (c *call) calendarAsJSON(cal *Calendar) map[string]any {
	body := cal.asJSON()
	if c.guest() {
		body["canEdit"], body["canShare"] = cal.canEdit && cal.editors[c.token.mailbox], false
	}
	body["canViewPrivateItems"] = !cal.private || !c.foreign(cal)
	return body
}

func (c *call) oneCalendar(cal *Calendar, status int) response {
	body := c.calendarAsJSON(cal)
	body["@odata.context"] = c.context("/calendars/$entity")
	return response{status: status, body: body}
}

// calendarEdit is the body of a POST or PATCH of a calendar.
type calendarEdit struct{ Name, Color string }

func (c *call) readCalendar(except *Calendar) (calendarEdit, *response) {
	var edit calendarEdit
	refuse := func(status int, code, message string) (calendarEdit, *response) {
		a := c.fail(status, code, message)
		return edit, &a
	}
	if err := json.Unmarshal(c.body, &edit); err != nil {
		return refuse(400, "BadRequest", "Unable to read JSON request payload.")
	}
	if c.guest() || !c.allowed("Calendars.ReadWrite") {
		return refuse(403, "", "")
	}
	for _, cal := range c.mailbox.cals {
		if cal != except && strings.EqualFold(cal.name, edit.Name) {
			return refuse(409, "ErrorFolderExists", "A folder with the specified name already exists.")
		}
	}
	return edit, nil
}

func (c *call) createCalendar() response {
	edit, refused := c.readCalendar(nil)
	switch {
	case refused != nil:
		return *refused
	case edit.Name == "":
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. A calendar needs a name.")
	}
	cal := c.mailbox.addCalendar(edit.Name, "", c.mailbox.groups[0])
	cal.paint(edit.Color)
	return c.oneCalendar(cal, http.StatusCreated)
}

func (c *call) changeCalendar(cal *Calendar) response {
	if c.r.Method == http.MethodDelete {
		switch {
		case c.guest() || !c.allowed("Calendars.ReadWrite"):
			return c.fail(403, "", "")
		case !c.mailbox.drop(cal):
			return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. The default calendar can't be deleted.")
		}
		return response{status: http.StatusNoContent}
	}
	edit, refused := c.readCalendar(cal)
	if refused != nil {
		return *refused
	}
	cal.name = cmp.Or(edit.Name, cal.name)
	cal.paint(edit.Color)
	return c.oneCalendar(cal, http.StatusOK)
}

// paint sets one of the colours that have names.
func (c *Calendar) paint(color string) {
	for hex, name := range calendarColors {
		if name == color {
			c.hex = hex
		}
	}
}

// providers are those of the online meetings that can be made in the calendar.
func (c *Calendar) providers() []string {
	if c.meetings == nil {
		return []string{"teamsForBusiness"}
	}
	return slices.Clone(c.meetings)
}

func (c *Calendar) asJSON() map[string]any {
	color := calendarColors[strings.ToLower(c.hex)]
	if color == "" {
		color = "auto"
	}
	isDefault := c == c.mailbox.cals[0]
	return map[string]any{
		"id": c.id, "name": c.name, "color": color, "hexColor": c.hex, "isDefaultCalendar": isDefault,
		"changeKey": changeKey(c.mailbox, uint64(c.n)), "canShare": c.canEdit, "canViewPrivateItems": true, "canEdit": c.canEdit,
		"allowedOnlineMeetingProviders": c.providers(), "defaultOnlineMeetingProvider": append(c.providers(), "unknown")[0],
		"isTallyingResponses": isDefault, "isRemovable": !isDefault,
		"owner": map[string]any{"name": c.owner().name, "address": c.owner().address},
	}
}

func (c *call) userResource() response {
	m := c.mailbox
	given, family, _ := strings.Cut(m.name, " ")
	body := map[string]any{
		"id": m.userID(), "displayName": m.name, "givenName": given, "surname": family, "mail": m.address,
		"userPrincipalName": m.address, "businessPhones": []string{}, "jobTitle": nil, "mobilePhone": nil,
		"officeLocation": nil, "preferredLanguage": nil,
	}
	if text, ok := queryValue(c.query, "$select"); ok {
		named := strings.Split(text, ",")
		maps.DeleteFunc(body, func(name string, _ any) bool { return !slices.Contains(named, name) })
	}
	body["@odata.context"] = c.server.origin(c.r) + "/v1.0/$metadata#users/$entity"
	return response{status: 200, body: body}
}

func (c *call) mailboxSettings() response {
	return response{status: 200, body: map[string]any{
		"@odata.context": c.context("/mailboxSettings"),
		"timeZone":       c.mailbox.zone, "dateFormat": "yyyy-MM-dd", "timeFormat": "HH:mm",
		"delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
		"language":                              map[string]any{"locale": "en-US", "displayName": "English (United States)"},
		"workingHours": map[string]any{"daysOfWeek": []string{"monday", "tuesday", "wednesday", "thursday", "friday"},
			"startTime": "08:00:00.0000000", "endTime": "17:00:00.0000000", "timeZone": map[string]any{"name": c.mailbox.zone}},
	}}
}

func (c *call) masterCategories() response {
	var all []map[string]any
	for _, cat := range c.mailbox.colors {
		all = append(all, map[string]any{"id": guid("category " + c.mailbox.address + cat.name), "displayName": cat.name, "color": cat.preset})
	}
	return c.list("/outlook/masterCategories", all)
}

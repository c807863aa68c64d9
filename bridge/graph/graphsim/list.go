package graphsim

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A selection is what $select names: the name in lower case → as it was sent; nil: everything.
type selection map[string]string

func (sel selection) has(name string) bool { return sel == nil || sel[strings.ToLower(name)] != "" }

func (sel selection) context() string {
	if sel == nil {
		return ""
	}
	var names []string
	for _, lower := range slices.Sorted(maps.Keys(sel)) {
		names = append(names, sel[lower])
	}
	return "(" + strings.Join(names, ",") + ")"
}

// eventProperties are the properties of an event that $select may name.
var eventProperties = func() map[string]bool {
	all := map[string]bool{}
	for name := range strings.FieldsSeq(`id createdDateTime lastModifiedDateTime changeKey categories transactionId originalStartTimeZone
		originalEndTimeZone iCalUId reminderMinutesBeforeStart isReminderOn hasAttachments subject bodyPreview importance sensitivity
		originalStart isAllDay isCancelled isOrganizer responseRequested seriesMasterId showAs type webLink onlineMeetingUrl
		isOnlineMeeting onlineMeetingProvider allowNewTimeProposals occurrenceId isDraft hideAttendees recurrence onlineMeeting
		responseStatus body start end location locations attendees organizer cancelledOccurrences exceptionOccurrences`) {
		all[strings.ToLower(name)] = true
	}
	return all
}()

// unknown reports whether the service does not know a property of an event.
func (s *Server) unknown(name string) bool {
	is := func(other string) bool { return strings.EqualFold(other, name) }
	if is("cancelledOccurrences") || is("exceptionOccurrences") {
		if s.NoCancelledOccurrences || s.Cloud == "usgov" || s.Cloud == "dod" || s.Cloud == "china" {
			return true
		}
	}
	return !eventProperties[strings.ToLower(name)] || slices.ContainsFunc(s.Unknown, is)
}

// unknownProperty refuses a request that names a property that events do not have.
func (c *call) unknownProperty(name string) response {
	if c.server.Unnamed {
		return c.fail(400, "", "")
	}
	return c.fail(400, "BadRequest", fmt.Sprintf("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.event'.", name))
}

// selected reads $select. It refuses names that an event does not have.
func (c *call) selected() (selection, *response) {
	text, ok := queryValue(c.query, "$select")
	if !ok || strings.TrimSpace(text) == "" || text == "*" {
		return nil, nil
	}
	sel := selection{}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		lower := strings.ToLower(name)
		if c.server.unknown(name) {
			a := c.unknownProperty(name)
			return nil, &a
		}
		sel[lower] = name
	}
	return sel, nil
}

// listEvents answers with a page of events.
func (c *call) listEvents(of string, views []view) response {
	sel, refused := c.selected()
	if refused != nil {
		return *refused
	}
	if text, ok := queryValue(c.query, "$filter"); ok {
		keep, err := c.filter(text)
		if err != nil {
			return c.fail(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes. "+err.Error())
		}
		views = slices.DeleteFunc(views, func(v view) bool { return !keep(v) })
	}
	if text, ok := queryValue(c.query, "$orderby"); ok {
		if err := orderBy(views, text); err != nil {
			return c.fail(400, "ErrorInvalidUrlQuery", err.Error())
		}
	}
	expand, _ := queryValue(c.query, "$expand")
	property, expand := expandedProperty(expand)
	for _, name := range []string{"$search", "$expand"} {
		if _, ok := queryValue(c.query, name); ok && (name == "$search" || expand != "") {
			return c.fail(400, "ErrorInvalidUrlQuery", fmt.Sprintf("The query parameter '%s' is not supported here.", name))
		}
	}
	return cut(c, of+sel.context(), views, func(v view) map[string]any {
		return c.render(v, shape{list: true, view: strings.HasPrefix(of, "/calendarView"), sel: sel, property: property})
	})
}

// list answers with a page of other resources.
func (c *call) list(of string, all []map[string]any) response {
	if c.r.Method != http.MethodGet {
		return c.notImplemented()
	}
	return cut(c, of, all, func(m map[string]any) map[string]any { return m })
}

// cut makes the page that $top, $skip and Prefer: odata.maxpagesize ask for.
func cut[T any](c *call, of string, all []T, render func(T) map[string]any) response {
	size, skip := c.pageSize(), 0
	for name, into := range map[string]*int{"$top": &size, "$skip": &skip} {
		if text, ok := queryValue(c.query, name); ok {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || name == "$top" && (n == 0 || n > 1000) {
				return c.fail(400, "ErrorInvalidUrlQuery", fmt.Sprintf("Invalid value '%s' for the query parameter '%s'.", text, name))
			}
			*into = n
		}
	}
	size = min(size, cmp.Or(c.server.MaxPage, 200))
	body := map[string]any{"@odata.context": c.context(of)}
	values := []map[string]any{}
	for i := min(skip, len(all)); i < min(skip+size, len(all)); i++ {
		values = append(values, render(all[i]))
	}
	body["value"] = c.server.items(values)
	if skip+size < len(all) {
		q := c.r.URL.Query()
		for name := range q {
			if strings.EqualFold(name, "$skip") {
				delete(q, name)
			}
		}
		q.Set("$skip", fmt.Sprint(skip+size))
		body["@odata.nextLink"] = c.server.origin(c.r) + "/v1.0/" + c.path + "?" + encodeQuery(q)
	}
	return response{status: 200, body: body}
}

var filterTerm = regexp.MustCompile(`(?i)^\s*([a-z/]+)\s+(eq|ge|gt|le|lt)\s+('(?:[^']|'')*'|[^'\s]+)\s*$`)

// filter reads a $filter: terms joined by "and", on the properties that Outlook lets one filter on and the bridge
// may want to.
func (c *call) filter(text string) (func(view) bool, error) {
	var tests []func(view) bool
	if m := propertyFilter.FindStringSubmatch(text); m != nil {
		id, value := strings.ReplaceAll(m[1], "''", "'"), strings.ReplaceAll(m[2], "''", "'")
		return func(v view) bool {
			have, ok := v.ev.property(id)
			return ok && (m[2] == "" && strings.Contains(text, "ne null") || strings.EqualFold(have, value))
		}, nil
	}
	for _, term := range splitAnd(text) {
		m := filterTerm.FindStringSubmatch(term)
		if m == nil {
			return nil, fmt.Errorf("cannot read '%s'", term)
		}
		op, quoted := strings.ToLower(m[2]), strings.HasPrefix(m[3], "'")
		value := strings.ReplaceAll(strings.Trim(m[3], "'"), "''", "'")
		var of func(view) time.Time
		var str func(view) string
		switch strings.ToLower(m[1]) {
		case "start/datetime":
			of = func(v view) time.Time { return v.start }
		case "end/datetime":
			of = func(v view) time.Time { return v.end }
		case "lastmodifieddatetime":
			of = func(v view) time.Time { return v.modified }
		case "createddatetime":
			of = func(v view) time.Time { return v.created }
		case "icaluid":
			str = func(v view) string { s, _ := c.render(v, shape{})["iCalUId"].(string); return s }
		case "type":
			str = func(v view) string { return v.kind }
		case "subject":
			str = func(v view) string { return v.ev.Subject }
		case "seriesmasterid":
			str = func(v view) string { s, _ := c.render(v, shape{})["seriesMasterId"].(string); return s }
		default:
			return nil, fmt.Errorf("cannot filter on '%s'", m[1])
		}
		if str != nil {
			if op != "eq" || !quoted {
				return nil, fmt.Errorf("cannot read '%s'", term)
			}
			tests = append(tests, func(v view) bool { return str(v) == value })
			continue
		}
		t, ok := parseTime(value)
		if !ok || quoted == strings.HasSuffix(strings.ToLower(m[1]), "eddatetime") {
			return nil, fmt.Errorf("'%s' is not a time of the right form", value)
		}
		tests = append(tests, func(v view) bool {
			d := of(v).Compare(t)
			return map[string]bool{"eq": d == 0, "ge": d >= 0, "gt": d > 0, "le": d <= 0, "lt": d < 0}[op]
		})
	}
	return func(v view) bool {
		for _, test := range tests {
			if !test(v) {
				return false
			}
		}
		return true
	}, nil
}

// propertyFilter is a filter on an extended property (learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get).
var propertyFilter = regexp.MustCompile(`^\s*singleValueExtendedProperties/[Aa]ny\(ep:\s*ep/id eq '((?:[^']|'')*)' and (?:ep/value eq '((?:[^']|'')*)'|ep/value ne null)\)\s*$`)

var propertyExpansion = regexp.MustCompile(`,?singleValueExtendedProperties\(\$filter=id eq '((?:[^']|'')*)'\)`)

// expandedProperty takes the extended property out of a $expand.
func expandedProperty(expand string) (id, rest string) {
	m := propertyExpansion.FindStringSubmatch(expand)
	if m == nil {
		return "", expand
	}
	return strings.ReplaceAll(m[1], "''", "'"), strings.Trim(strings.Replace(expand, m[0], "", 1), ",")
}

var andWord = regexp.MustCompile(`(?i)\s+and\s+`)

// splitAnd splits at "and" outside quotes.
func splitAnd(text string) []string {
	var terms []string
	term := ""
	for _, part := range andWord.Split(text, -1) {
		term += part
		if strings.Count(term, "'")%2 == 0 {
			terms = append(terms, term)
			term = ""
		} else {
			term += " and "
		}
	}
	if term != "" {
		terms = append(terms, term)
	}
	return terms
}

func orderBy(views []view, text string) error {
	name, direction, _ := strings.Cut(strings.TrimSpace(text), " ")
	var less func(a, b view) int
	switch strings.ToLower(name) {
	case "start/datetime":
		less = func(a, b view) int { return a.start.Compare(b.start) }
	case "end/datetime":
		less = func(a, b view) int { return a.end.Compare(b.end) }
	case "lastmodifieddatetime":
		less = func(a, b view) int { return a.modified.Compare(b.modified) }
	case "createddatetime":
		less = func(a, b view) int { return a.created.Compare(b.created) }
	case "subject":
		less = func(a, b view) int { return cmp.Compare(a.ev.Subject, b.ev.Subject) }
	default:
		return fmt.Errorf("cannot order by '%s'", name)
	}
	switch strings.ToLower(strings.TrimSpace(direction)) {
	case "", "asc":
		slices.SortStableFunc(views, less)
	case "desc":
		slices.SortStableFunc(views, func(a, b view) int { return less(b, a) })
	default:
		return fmt.Errorf("cannot order '%s'", direction)
	}
	return nil
}

// items are the items of a page as the service lists them.
func (s *Server) items(values []map[string]any) []map[string]any {
	if s.NullItems {
		return append([]map[string]any{nil}, values...)
	}
	return values
}

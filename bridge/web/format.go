package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// link is one of our URLs for calendar apps, with a scheme that html/template does not know.
func link(address string) template.URL {
	switch scheme, _, _ := strings.Cut(address, ":"); scheme {
	case "webcal", "webcals", "davx5", "caldav", "caldavs", "http", "https":
		return template.URL(address)
	}
	return "#"
}

// dict makes a map of names and values, for templates that take several.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("a name in dict is a %T", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// option is one of a select element.
type option struct {
	Value, Text string
	Chosen      bool
}

// pick makes options from pairs of a value and its text.
func pick(chosen string, pairs ...string) (list []option) {
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, option{pairs[i], pairs[i+1], pairs[i] == chosen})
	}
	return list
}

func ago(now, t time.Time) Text {
	if t.IsZero() {
		return "never"
	}
	past := now.Sub(t)
	switch n, unit := rough(past); {
	case past < 5*time.Second:
		return "just now"
	case unit == time.Second:
		return Counted(n, "{n} second ago", "{n} seconds ago")
	case unit == time.Minute:
		return Counted(n, "{n} minute ago", "{n} minutes ago")
	case unit == time.Hour:
		return Counted(n, "{n} hour ago", "{n} hours ago")
	default:
		return Counted(n, "{n} day ago", "{n} days ago")
	}
}

func until(now, t time.Time) Text {
	if t.IsZero() || t.Sub(now) < time.Second {
		return "any moment now"
	}
	switch n, unit := rough(t.Sub(now)); unit {
	case time.Second:
		return Counted(n, "in {n} second", "in {n} seconds")
	case time.Minute:
		return Counted(n, "in {n} minute", "in {n} minutes")
	case time.Hour:
		return Counted(n, "in {n} hour", "in {n} hours")
	default:
		return Counted(n, "in {n} day", "in {n} days")
	}
}

// rough is a duration in a single unit, as people say it.
func rough(d time.Duration) (n int, unit time.Duration) {
	switch {
	case d < 2*time.Minute:
		unit = time.Second
	case d < 2*time.Hour:
		unit = time.Minute
	case d < 48*time.Hour:
		unit = time.Hour
	default:
		unit = day
	}
	return int(d / unit), unit
}

// lengthText is a number of units of time.
func lengthText(n int, unit time.Duration) Text {
	switch unit {
	case time.Second:
		return Counted(n, "{n} second", "{n} seconds")
	case time.Minute:
		return Counted(n, "{n} minute", "{n} minutes")
	case time.Hour:
		return Counted(n, "{n} hour", "{n} hours")
	case 7 * day:
		return Counted(n, "{n} week", "{n} weeks")
	}
	return Counted(n, "{n} day", "{n} days")
}

// clock is a time in the zone of this machine, as an HTML time element.
func (l *Language) clock(t time.Time) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(l.Text("never")))
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), template.HTMLEscapeString(l.Time(t.Local(), "2 Jan 2006, 15:04"))))
}

// value is text to be copied, with a button for it.
func (l *Language) value(s string) template.HTML {
	return template.HTML(fmt.Sprintf(`<span class="value"><code>%s</code> <button type="button" class="quiet" data-copy data-copied="%s" data-press="%s" hidden>%s</button></span>`,
		template.HTMLEscapeString(s), template.HTMLEscapeString(l.Text("Copied")), template.HTMLEscapeString(l.Text("Press Ctrl-C")), l.HTML(`Copy<span class="unseen"> {value}</span>`, s)))
}

// code is a text in the typeface of what is typed.
func code(s string) template.HTML {
	return template.HTML("<code>" + template.HTMLEscapeString(s) + "</code>")
}

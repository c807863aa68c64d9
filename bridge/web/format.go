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

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if now.Sub(t) < 5*time.Second {
		return "just now"
	}
	return rough(now.Sub(t)) + " ago"
}

func until(now, t time.Time) string {
	if t.IsZero() || !t.After(now) {
		return "any moment now"
	}
	return "in " + rough(t.Sub(now))
}

// rough is a duration in a single unit, as people say it.
func rough(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return count(int(d.Seconds()), "second", "seconds")
	case d < 2*time.Hour:
		return count(int(d.Minutes()), "minute", "minutes")
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour", "hours")
	}
	return count(int(d.Hours()/24), "day", "days")
}

// clock is a time in the zone of this machine, as an HTML time element.
func clock(t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.Local().Format("2 Jan 2006, 15:04")))
}

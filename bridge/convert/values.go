package convert

import (
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// checkValues refuses values that RFC 5545 does not allow and that would be kept beside Outlook and given to every client, and rules that
// none could follow. served is the object as it is now, nil: there is none; what that has already is nobody's fault who sends it back.
func checkValues(list []*ical.Component, served *contents) error {
	known := map[string]bool{}
	if served != nil {
		for _, e := range served.events {
			for _, a := range ics.Children(e, ical.CompAlarm) {
				known[alarmText(a)] = true
			}
			for _, l := range linesOf(e) {
				known[l] = true
			}
		}
	}
	for _, e := range list {
		parts, err := ruleParts(e)
		if err == nil {
			err = checkRule(parts)
		}
		if err != nil {
			return err
		}
		if p := propOf(e, ical.PropGeo); p.Value != "" {
			if _, ok := readGeo(p.Value); !ok {
				return refuse(RefusedData, "Where the event is on the map cannot be read (GEO:%s). It has to be two numbers, latitude and longitude.", clip(p.Value))
			}
		}
		for name, props := range e.Props {
			for i := range props {
				if isForeign(name) && !isTyped(&props[i]) && !known[lineOf(&props[i])] {
					return refuse(RefusedData, "The value of %s cannot be read (%q). Correct it, or leave the property out.", clip(name), clip(props[i].Value))
				}
			}
		}
		for _, a := range ics.Children(e, ical.CompAlarm) {
			if err := checkAlarm(a); err != nil && !known[alarmText(a)] {
				return err
			}
		}
	}
	return nil
}

func alarmText(a *ical.Component) string { return strings.Join(linesOf(a), "\n") }

func lineOf(p *ical.Prop) string {
	list := linesOf(&ical.Component{Name: ical.CompEvent, Props: ical.Props{p.Name: {*p}}})
	return strings.Join(list, "\n")
}

// checkAlarm holds an alarm to RFC 5545 §3.6.6, as far as clients need it.
func checkAlarm(a *ical.Component) error {
	t := a.Props.Get(ical.PropTrigger)
	if t == nil {
		return refuse(RefusedData, "A reminder of the event does not say when it is (TRIGGER). Remove it, or set it once more.")
	}
	read := isDuration(t.Value)
	if strings.EqualFold(t.Params.Get(ical.ParamValue), "DATE-TIME") || strings.HasSuffix(strings.ToUpper(strings.TrimSpace(t.Value)), "Z") {
		read = isTime(t.Value)
	}
	if !read {
		return refuse(RefusedData, "The time of a reminder cannot be read (TRIGGER:%s). Remove it, or set it once more.", clip(t.Value))
	}
	for name, props := range a.Props {
		for i := range props {
			p := &props[i]
			ok := isTyped(p)
			switch name {
			case ical.PropTrigger:
				continue
			case ical.PropRepeat:
				ok = isCount(p.Value)
			case ical.PropDuration:
				ok = isDuration(p.Value)
			}
			if !ok {
				return refuse(RefusedData, "A reminder of the event has a value of %s that cannot be read (%q). Remove it, or set it once more.", clip(name), clip(p.Value))
			}
		}
	}
	return nil
}

// timed are properties that are kept beside Outlook and are a time.
var timed = []string{"ACKNOWLEDGED", "X-MOZ-LASTACK", "X-MOZ-SNOOZE-TIME"}

// isTyped is whether a value is of the type that its property names.
func isTyped(p *ical.Prop) bool {
	switch kind := strings.ToUpper(p.Params.Get(ical.ParamValue)); {
	case kind == "DATE-TIME", kind == "" && slices.Contains(timed, p.Name):
		return all(p.Value, isTime)
	case kind == "DATE":
		return all(p.Value, isDate)
	case kind == "DURATION":
		return all(p.Value, isDuration)
	case kind == "INTEGER":
		return all(p.Value, func(s string) bool { _, err := strconv.Atoi(strings.TrimSpace(s)); return err == nil })
	}
	return true
}

func all(list string, is func(string) bool) bool {
	for s := range strings.SplitSeq(list, ",") {
		if !is(s) {
			return false
		}
	}
	return true
}

func isTime(s string) bool {
	m, err := ics.ParseMoment(s, nil)
	return err == nil && !m.Date
}

func isDate(s string) bool {
	m, err := ics.ParseMoment(s, nil)
	return err == nil && m.Date
}

func isDuration(s string) bool {
	_, err := ics.ParseDuration(s)
	return err == nil
}

func isCount(s string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	return err == nil && n >= 0
}

// frequencies are those of RFC 5545 §3.3.10.
var frequencies = []string{"SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"}

// checkRule refuses the parts of a rule that mean nothing; whether Outlook has a rule like it is not looked at.
func checkRule(parts map[string]string) error {
	if len(parts) == 0 {
		return nil
	}
	if f := parts["FREQ"]; !slices.Contains(frequencies, f) {
		return refuse(RefusedObject, "The rule by which the event repeats does not say whether that is daily, weekly, monthly or yearly (FREQ=%s).", clip(f))
	}
	for name, sentence := range map[string]string{
		"COUNT":    "The event is to repeat %q times (COUNT), and it has to be once at least. Choose how often it repeats, or when it ends.",
		"INTERVAL": "The event is to repeat at an interval of %q (INTERVAL), and it has to be a whole number from 1 on.",
	} {
		text, ok := parts[name]
		if n, err := strconv.Atoi(text); ok && (err != nil || n < 1) {
			return refuse(RefusedObject, sentence, clip(text))
		}
	}
	if until, ok := parts["UNTIL"]; ok {
		if _, err := ics.ParseMoment(until, nil); err != nil {
			return refuse(RefusedObject, "The date on which the event stops repeating cannot be read (UNTIL=%s).", clip(until))
		}
	}
	return nil
}

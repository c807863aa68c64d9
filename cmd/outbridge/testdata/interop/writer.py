"""Changes a calendar, as a program that uses python3-caldav does.

Usage: writer.py URL USER PASSWORD COMMAND ARG...
create ICS                          a new event
invite ICS ADDRESS...               a new meeting
edit UID PROPERTY VALUE             of the event or the series
times UID START END                 as 20260131T100000, in the zone that there is, or 20260131 for whole days
move-one UID ORIGINAL START END     one occurrence
delete-one UID ORIGINAL
answer UID PARTSTAT [ORIGINAL]      to an invitation, or to one occurrence of it
delete UID
race UID PROPERTY VALUE VALUE       two programs that have read the same state, both with If-Match
UID may be =TITLE of the only event with it. Prints the statuses of what it has written, and exits with 1 where one is refused.
"""

import copy
import datetime
import sys

import caldav
import icalendar


class Calendar:
    def __init__(self, url, user, password):
        self.client = caldav.DAVClient(url=url, username=user, password=password)
        self.principal = self.client.principal()
        self.calendar = next(c for c in self.principal.calendars() if str(c.url).rstrip("/").endswith("/calendar"))

    def find(self, uid):
        if uid.startswith("="):
            return next(e for e in self.calendar.events() if str(master(e)["SUMMARY"]) == uid[1:])
        return self.calendar.event_by_uid(uid)


def master(event):
    return next(c for c in event.icalendar_instance.walk("VEVENT") if "RECURRENCE-ID" not in c)


def moment(text, like):
    """A date, or a time in the zone of another."""
    if "T" not in text:
        return datetime.datetime.strptime(text, "%Y%m%d").date()
    t = datetime.datetime.strptime(text, "%Y%m%dT%H%M%S")
    if getattr(like, "tzinfo", None) is None:
        return t
    zone = like.tzinfo
    return zone.localize(t) if hasattr(zone, "localize") else t.replace(tzinfo=zone)


def put(component, name, value):
    component.pop(name, None)
    component.add(name, value)


def occurrence(event, original):
    """The exception of an occurrence, which is made where there is none."""
    series = master(event)
    key = moment(original, series["DTSTART"].dt)
    for c in event.icalendar_instance.walk("VEVENT"):
        if "RECURRENCE-ID" in c and c["RECURRENCE-ID"].dt == key:
            return c
    one = copy.deepcopy(series)
    for name in ("RRULE", "EXDATE"):
        one.pop(name, None)
    length = series["DTEND"].dt - series["DTSTART"].dt
    one.add("RECURRENCE-ID", key)
    put(one, "DTSTART", key)
    put(one, "DTEND", key + length)
    event.icalendar_instance.add_component(one)
    return one


def save(event):
    event.data = event.icalendar_instance.to_ical()
    event.save()


def main(url, user, password, command, *args):
    c = Calendar(url, user, password)
    if command == "create":
        c.calendar.save_event(args[0])
    elif command == "invite":
        c.calendar.save_with_invites(args[0], [c.principal, *args[1:]])
    elif command == "delete":
        c.find(args[0]).delete()
    elif command == "race":
        uid, name, *values = args
        event = c.find(uid)
        tag = event.get_properties([caldav.elements.dav.GetEtag()])["{DAV:}getetag"]
        for value in values:
            put(master(event), name, value)
            data = event.icalendar_instance.to_ical()
            answer = c.client.put(str(event.url), data, {"Content-Type": "text/calendar", "If-Match": tag})
            print(answer.status)
    else:
        event = c.find(args[0])
        series = master(event)
        if command == "edit":
            put(series, args[1], args[2])
        elif command == "times":
            for name, value in zip(("DTSTART", "DTEND"), args[1:]):
                like = series[name].dt
                put(series, name, moment(value, like))
        elif command == "move-one":
            one = occurrence(event, args[1])
            for name, value in zip(("DTSTART", "DTEND"), args[2:]):
                put(one, name, moment(value, series["DTSTART"].dt))
        elif command == "delete-one":
            key = moment(args[1], series["DTSTART"].dt)
            event.icalendar_instance.subcomponents[:] = [
                x for x in event.icalendar_instance.subcomponents
                if not ("RECURRENCE-ID" in x and x["RECURRENCE-ID"].dt == key)]
            series.add("EXDATE", key)
        elif command == "answer":
            if len(args) > 2:
                one = occurrence(event, args[2])
                for attendee in [one["ATTENDEE"]] if isinstance(one["ATTENDEE"], str) else one["ATTENDEE"]:
                    if str(attendee).lower() in [a.lower() for a in c.principal.calendar_user_address_set()]:
                        attendee.params["PARTSTAT"] = args[1]
            else:
                event.change_attendee_status(partstat=args[1])
        else:
            raise SystemExit("unknown command " + command)
        save(event)


try:
    main(*sys.argv[1:])
except caldav.lib.error.DAVError as refused:
    print(refused, file=sys.stderr)
    sys.exit(1)

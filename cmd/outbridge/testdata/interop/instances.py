"""Prints the instances of every calendar between two times, as python3-caldav's expanding search gives them.

Usage: instances.py URL USER PASSWORD START END    (times as 2026-01-31T00:00:00Z)
One JSON array a line: calendar, start, end, summary. Times are UTC; of all-day events they are midnights.
"""

import datetime
import json
import sys

import caldav


def utc(t):
    if not isinstance(t, datetime.datetime):
        t = datetime.datetime(t.year, t.month, t.day, tzinfo=datetime.timezone.utc)
    return t.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def main(url, user, password, start, end):
    start, end = (datetime.datetime.strptime(t, "%Y-%m-%dT%H:%M:%SZ") for t in (start, end))
    client = caldav.DAVClient(url=url, username=user, password=password)
    for calendar in client.principal().calendars():
        for found in calendar.date_search(start=start, end=end, expand=True):
            for event in found.icalendar_instance.subcomponents:
                if event.name != "VEVENT":
                    continue
                if "RRULE" in event:
                    raise SystemExit("the server has not expanded " + str(event["UID"]))
                first = event["DTSTART"].dt
                last = event["DTEND"].dt if "DTEND" in event else first
                print(json.dumps([calendar.name, utc(first), utc(last), str(event["SUMMARY"])]))


main(*sys.argv[1:])

"""The calendars of a CalDAV server as evolution-data-server holds them: what Evolution and GNOME Calendar show.

Usage: eds.py URL USER PASSWORD    under a D-Bus session of its own
It finds the calendars as Evolution's "Find Calendars" does, adds them, and prints [name, read-only] of each in
one line of JSON. Then each line on standard input is a command, whose answer ends in an empty line:
shown START END    the instances between two times (2026-01-31T00:00:00Z), a line of JSON each: calendar, start, end, title
refresh            one poll of every calendar; it goes on in the background
readonly           what is read-only, which is all at first: a line of JSON for each, its name and whether it is
Commands that change the calendar "Calendar" are lines of JSON: [verb, title, arguments...], where the title is of an event or a series.
Their answer is "done", or what the library says why not.
create ICS                        of one VEVENT
times RID START END               as 20260131T100000, in the zone that there is, or 20260131; RID "" is the event, or the series
text RID PROPERTY VALUE
answer RID PARTSTAT
remove RID                        an occurrence, or with "" all of it
acknowledge TIME                  the first alarm, which has gone off then
follow RID TITLE                  "this and following": the series ends before RID, and what is left is a new one, with the title
"""

import calendar
import json
import sys
import threading
import time
import traceback

import gi

gi.require_version("ECal", "2.0")
gi.require_version("EDataServer", "1.2")
gi.require_version("ICalGLib", "3.0")
from gi.repository import ECal, EDataServer, GLib, ICalGLib  # noqa: E402


DO_NOT_WAIT = 0xFFFFFFFF  # for what needs a password: it is only asked for once the client is there


def credentials(user, password):
    c = EDataServer.NamedParameters.new()
    c.set("username", user)
    c.set("password", password)
    return c


def configured(source, url, user):
    """Sets what Evolution's dialog sets."""
    uri = GLib.Uri.parse(url, GLib.UriFlags.NONE)
    auth = source.get_extension(EDataServer.SOURCE_EXTENSION_AUTHENTICATION)
    auth.set_host(uri.get_host())
    auth.set_port(uri.get_port())
    auth.set_user(user)
    auth.set_method("plain/password")
    source.get_extension(EDataServer.SOURCE_EXTENSION_SECURITY).set_method("none" if url.startswith("http:") else "tls")
    source.get_extension(EDataServer.SOURCE_EXTENSION_WEBDAV_BACKEND).set_uri(uri)
    return source


def discover(url, user, password):
    source = configured(EDataServer.Source.new(None, None), url, user)
    _, _, _, found, _ = EDataServer.webdav_discover_sources_sync(
        source, url, EDataServer.WebDAVDiscoverSupports.EVENTS, credentials(user, password), None)
    return found


def add(registry, found, user):
    source = configured(EDataServer.Source.new(None, None), found.href, user)
    source.set_parent("caldav-stub")
    source.set_display_name(found.display_name)
    extension = source.get_extension(EDataServer.SOURCE_EXTENSION_CALENDAR)
    extension.set_backend_name("caldav")
    extension.set_color(found.color or "")
    registry.commit_source_sync(source, None)
    return registry.ref_source(source.get_uid())


def connect(source, user, password):
    client = ECal.Client.connect_sync(source, ECal.ClientSourceType.EVENTS, DO_NOT_WAIT, None)
    source.invoke_authenticate_sync(credentials(user, password), None)  # there is no keyring, and nobody to ask
    client.set_default_timezone(ICalGLib.Timezone.get_utc_timezone())
    return client


def text(t):
    if t.is_date():
        return "%04d-%02d-%02dT00:00:00Z" % (t.get_year(), t.get_month(), t.get_day())
    at = t.as_timet_with_zone(t.get_timezone() or ICalGLib.Timezone.get_utc_timezone())
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def show(name, client, start, end):
    def one(component, first, last, *_):
        print(json.dumps([name, text(first), text(last), component.get_summary() or ""]))
        return True

    client.generate_instances_sync(start, end, None, one, None)


class Writer:
    """Does what Evolution's windows do."""

    def __init__(self, client):
        self.client = client

    def find(self, title):
        """The component of the series or the event, which has its own copy."""
        _, found = self.client.get_object_list_sync('(contains? "summary" "%s")' % title, None)
        return next(c for c in found if not c.get_first_property(ICalGLib.PropertyKind.RECURRENCEID_PROPERTY))

    def one(self, series, rid):
        """An occurrence, as the window that edits it gets it."""
        if not rid:
            return series
        found = []

        def instance(component, first, last, *_):
            if not found and moment(first) == rid:
                found.append(component.clone())
            return True

        start = calendar.timegm(time.strptime(rid[:8], "%Y%m%d")) - 86400
        self.client.generate_instances_for_object_sync(series, start, start + 3 * 86400, None, instance)
        return found[0] if found else self.client.get_object_sync(series.get_uid(), rid, None)[1]

    def write(self, verb, title, *args):
        client, flags = self.client, ECal.OperationFlags.NONE
        if verb == "create":
            client.create_object_sync(ICalGLib.Component.new_from_string(args[0]), flags, None)
            return
        series = self.find(title)
        if verb == "remove":
            mod = ECal.ObjModType.THIS if args[0] else ECal.ObjModType.ALL
            client.remove_object_sync(series.get_uid(), args[0] or None, mod, flags, None)
            return
        if verb == "acknowledge":
            alarm = series.get_first_component(ICalGLib.ComponentKind.VALARM_COMPONENT)
            alarm.add_property(ICalGLib.Property.new_from_string("ACKNOWLEDGED:" + args[0]))
            client.modify_object_sync(series, ECal.ObjModType.ALL, flags, None)
            return
        if verb == "follow":
            one = self.one(series, args[0])
            change(one, "SUMMARY", args[1])
            client.modify_object_sync(one, ECal.ObjModType.THIS_AND_FUTURE, flags, None)
            return
        rid, rest = args[0], args[1:]
        one = self.one(series, rid)
        if verb == "times":
            for kind, value in zip((ICalGLib.PropertyKind.DTSTART_PROPERTY, ICalGLib.PropertyKind.DTEND_PROPERTY), rest):
                retime(one, kind, value)
        elif verb == "text":
            change(one, rest[0], rest[1])
        elif verb == "answer":
            answer(one, rest[0])
        mod = ECal.ObjModType.THIS if rid else ECal.ObjModType.ALL
        client.modify_object_sync(one, mod, flags, None)


def moment(t):
    if t.is_date():
        return "%04d%02d%02d" % (t.get_year(), t.get_month(), t.get_day())
    return "%04d%02d%02dT%02d%02d%02d" % (t.get_year(), t.get_month(), t.get_day(), t.get_hour(), t.get_minute(), t.get_second())


def change(component, name, value):
    old = component.get_first_property(getattr(ICalGLib.PropertyKind, name + "_PROPERTY"))
    if old is not None:
        component.remove_property(old)
    component.add_property(ICalGLib.Property.new_from_string(name + ":" + value))


def retime(component, kind, value):
    p = component.get_first_property(kind)
    zone = p.get_first_parameter(ICalGLib.ParameterKind.TZID_PARAMETER)
    name = "DTSTART" if kind == ICalGLib.PropertyKind.DTSTART_PROPERTY else "DTEND"
    component.remove_property(p)
    if "T" not in value:
        text = name + ";VALUE=DATE:" + value
    elif zone is not None:
        text = name + ";TZID=" + zone.get_tzid() + ":" + value
    else:
        text = name + ":" + value
    component.add_property(ICalGLib.Property.new_from_string(text))


def answer(component, partstat):
    p = component.get_first_property(ICalGLib.PropertyKind.ATTENDEE_PROPERTY)
    while p is not None:
        if "alice@" in p.get_attendee().lower():
            p.set_parameter_from_string("PARTSTAT", partstat)
            p.remove_parameter_by_kind(ICalGLib.ParameterKind.RSVP_PARAMETER)
            return
        p = component.get_next_property(ICalGLib.PropertyKind.ATTENDEE_PROPERTY)
    raise SystemExit("nobody is invited")


def seconds(t):
    return calendar.timegm(time.strptime(t, "%Y-%m-%dT%H:%M:%SZ"))


def main(url, user, password):
    registry = EDataServer.SourceRegistry.new_sync(None)
    # All are added before the first is opened: that starts the calendars' own process, which then knows them all.
    sources = [add(registry, found, user) for found in discover(url, user, password)]
    clients = [(s.get_display_name(), connect(s, user, password)) for s in sources]
    print(json.dumps([[name, client.is_readonly()] for name, client in clients]), flush=True)
    for line in sys.stdin:
        if line.startswith("["):
            writer = Writer(next(client for name, client in clients if name == "Calendar"))
            try:
                writer.write(*json.loads(line))
                print("done\n", flush=True)
            except GLib.Error as refused:
                print(refused.message.replace("\n", " ") + "\n", flush=True)
            continue
        command, *args = line.split()
        for name, client in clients:
            if command == "shown":
                show(name, client, *map(seconds, args))
            elif command == "readonly":
                print(json.dumps([name, client.is_readonly()]))
            elif command == "refresh":
                client.refresh_sync(None)
            else:
                raise SystemExit("unknown command " + command)
        print(flush=True)


loop = GLib.MainLoop()  # the library's proxies need one
failed = []


def work():
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        failed.append(1)
    finally:
        loop.quit()


GLib.idle_add(threading.Thread(target=work, daemon=True).start)
loop.run()
sys.exit(len(failed))

"""The calendars of a CalDAV server as evolution-data-server holds them: what Evolution and GNOME Calendar show.

Usage: eds.py URL USER PASSWORD    under a D-Bus session of its own
It finds the calendars as Evolution's "Find Calendars" does, adds them, and prints [name, read-only] of each in
one line of JSON. Then each line on standard input is a command, whose answer ends in an empty line:
shown START END    the instances between two times (2026-01-31T00:00:00Z), a line of JSON each: calendar, start, end, title
refresh            one poll of every calendar; it goes on in the background
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


def seconds(t):
    return calendar.timegm(time.strptime(t, "%Y-%m-%dT%H:%M:%SZ"))


def main(url, user, password):
    registry = EDataServer.SourceRegistry.new_sync(None)
    # All are added before the first is opened: that starts the calendars' own process, which then knows them all.
    sources = [add(registry, found, user) for found in discover(url, user, password)]
    clients = [(s.get_display_name(), connect(s, user, password)) for s in sources]
    print(json.dumps([[name, client.is_readonly()] for name, client in clients]), flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        for name, client in clients:
            if command == "shown":
                show(name, client, *map(seconds, args))
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

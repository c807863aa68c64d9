"""Deletes one occurrence as ikhal does, which is a program for a terminal.

Usage: ikhal.py CONFIG TITLE DAY    the occurrence that DAY (2026-01-31) has of the series
"""

import datetime
import sys

from khal import cli, settings


def main(config, title, day):
    collection = cli.build_collection(settings.get_config(config), None)
    for event in collection.get_events_on(datetime.datetime.strptime(day, "%Y-%m-%d").date()):
        if event.summary == title:
            event.delete_instance(event.recurrence_id)
            collection.update(event)
            return
    raise SystemExit("no such occurrence")


main(*sys.argv[1:])

// Expands calendar objects with ical.js, the engine of Thunderbird.
//
// Each line of the input is {"ics": "…", "to": seconds}; each line of the output is what an object gives up to then:
// {"instances": [[start, end, allDay, cancelled, summary], …]}, the times in seconds since 1970 (of an all-day event
// those of midnight UTC), or {"error": "…"}. Zones are those of the object's own VTIMEZONEs.
import { createInterface } from "node:readline";
import ICAL from "ical.js";

const limit = 20000;

function seconds(t) {
  return t.isDate ? Date.UTC(t.year, t.month - 1, t.day) / 1000 : t.toUnixTime();
}

function row(item, start, end) {
  const cancelled = item.component.getFirstPropertyValue("status") === "CANCELLED";
  return [seconds(start), seconds(end), start.isDate, cancelled, item.summary ?? ""];
}

function expand(ics, to) {
  const calendar = new ICAL.Component(ICAL.parse(ics));
  ICAL.TimezoneService.reset();
  for (const zone of calendar.getAllSubcomponents("vtimezone")) {
    ICAL.TimezoneService.register(new ICAL.Timezone(zone));
  }
  const events = calendar.getAllSubcomponents("vevent").map((c) => new ICAL.Event(c, { strictExceptions: true }));
  for (const event of events) {
    for (const t of [event.startDate, event.endDate]) {
      if (t.zone === ICAL.Timezone.localTimezone && !t.isDate) throw new Error(`a floating time: ${t}`);
    }
  }
  const instances = [];
  for (const uid of new Set(events.map((e) => e.uid))) {
    const own = events.filter((e) => e.uid === uid);
    const overrides = own.filter((e) => e.isRecurrenceException());
    const masters = own.filter((e) => !e.isRecurrenceException());
    if (masters.length !== 1) throw new Error(`${masters.length} masters of ${uid}`);
    const master = masters[0];
    for (const o of overrides) master.relateException(o);
    if (!master.isRecurring()) {
      instances.push(row(master, master.startDate, master.endDate));
      continue;
    }
    // An override may move what begins later than the end of the span to before it.
    const last = Math.max(to, ...overrides.map((o) => seconds(o.recurrenceId)));
    const met = new Set();
    const iterator = master.iterator();
    for (let n = 0, t; (t = iterator.next()) && seconds(t) <= last; n++) {
      if (n > limit) throw new Error(`more than ${limit} instances`);
      const { item, startDate, endDate } = master.getOccurrenceDetails(t);
      met.add(item);
      instances.push(row(item, startDate, endDate));
    }
    for (const o of overrides) {
      if (!met.has(o)) throw new Error(`no instance for the override of ${o.recurrenceId}`);
    }
  }
  return instances.filter(([start]) => start <= to).sort((a, b) => a[0] - b[0]);
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { ics, to } = JSON.parse(line);
    answer = { instances: expand(ics, to) };
  } catch (e) {
    answer = { error: String(e) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}

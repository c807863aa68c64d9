// Runs in Thunderbird's own process, as the functions of its calendar windows do. The last line of each script that is
// sent calls one of these.
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const { cal } = ChromeUtils.importESModule("resource:///modules/calendar/calUtils.sys.mjs");

// As in New Calendar → On the Network: find the calendars, save the password, and tick them all.
async function subscribe(user, password, location) {
  const found = await cal.provider.detection.detect(user, password, location, true, [], {});
  // The password is saved in the background, and a calendar that does not find it asks a person.
  while (!(await Services.logins.searchLoginsAsync({ origin: new URL(location).origin })).length) {
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  for (const [provider, calendars] of found) {
    if (provider.type != "caldav") {
      throw new Error(`found by ${provider.type}`);
    }
    for (const calendar of calendars) {
      cal.manager.registerCalendar(calendar);
    }
  }
  return networkCalendars().map(c => [c.name, c.readOnly]);
}

function networkCalendars() {
  return cal.manager.getCalendars().filter(c => c.type == "caldav");
}

// One poll of every calendar, to its end.
async function poll() {
  for (const calendar of networkCalendars()) {
    if (calendar.getProperty("disabled")) {
      throw new Error(`${calendar.name} is disabled`);
    }
    await new Promise((resolve, reject) => {
      const observer = {
        QueryInterface: ChromeUtils.generateQI(["calIObserver"]),
        onStartBatch() {}, onEndBatch() {}, onAddItem() {}, onModifyItem() {}, onDeleteItem() {}, onPropertyChanged() {}, onPropertyDeleting() {},
        onError(_, code, message) { reject(new Error(`${calendar.name}: ${code} ${message}`)); },
        onLoad() { calendar.removeObserver(observer); resolve(); },
      };
      calendar.addObserver(observer);
      calendar.refresh();
    });
  }
}

// What is shown between two times, as lines of JSON: [calendar, start, end, title].
async function shown(from, to) {
  const list = [];
  const at = date => date.isDate ? date.icalString.replace(/(....)(..)(..)/, "$1-$2-$3T00:00:00Z") : new Date(date.nativeTime / 1000).toISOString();
  for (const calendar of networkCalendars()) {
    const items = await calendar.getItemsAsArray(
      Ci.calICalendar.ITEM_FILTER_TYPE_EVENT | Ci.calICalendar.ITEM_FILTER_CLASS_OCCURRENCES, 0,
      cal.createDateTime(from), cal.createDateTime(to));
    for (const item of items) {
      list.push([calendar.name, at(item.startDate), at(item.endDate), item.title || ""]);
    }
  }
  return list.map(l => JSON.stringify(l) + "\n").join("");
}

// What a person does in the windows of the calendar "Calendar". It returns "done", or what the calendar tells its observers, which is shown
// in a dialog: "0x804a0001 …". An original is the time of an occurrence, "" being the event or the series.
async function write(verb, title, original, ...args) {
  const calendar = networkCalendars().find(c => c.name == "Calendar");
  const told = [];
  const observer = {
    QueryInterface: ChromeUtils.generateQI(["calIObserver"]),
    onStartBatch() {}, onEndBatch() {}, onAddItem() {}, onModifyItem() {}, onDeleteItem() {}, onPropertyChanged() {}, onPropertyDeleting() {}, onLoad() {},
    onError(_, code, message) { told.push(`0x${code.toString(16)} ${message}`); },
  };
  calendar.addObserver(observer);
  try {
    await writeTo(calendar, verb, title, original, ...args);
  } catch (e) {
    told.push(`fails: ${e.message ?? e}`);
  } finally {
    calendar.removeObserver(observer);
  }
  return told.length ? told.join("; ") : "done";
}

async function writeTo(calendar, verb, title, original, ...args) {
  const { CalEvent } = ChromeUtils.importESModule("resource:///modules/CalEvent.sys.mjs");
  if (verb == "create") {
    await calendar.addItem(new CalEvent(args[0]));
    return;
  }
  const items = await calendar.getItemsAsArray(Ci.calICalendar.ITEM_FILTER_TYPE_EVENT, 0, null, null);
  const series = items.find(i => i.title == title);
  if (!series) {
    throw new Error(`there is no ${title}`);
  }
  const key = original ? moment(original, series.startDate) : null;
  const alarms = Cc["@mozilla.org/calendar/alarm-service;1"].getService(Ci.calIAlarmService);
  const occurrence = key && series.recurrenceInfo.getOccurrenceFor(key);
  switch (verb) {
    case "delete":
      if (!key) {
        await calendar.deleteItem(series);
        return;
      }
      break;
    case "snooze":
      await modified(calendar, () => alarms.snoozeAlarm(occurrence ?? series, null, cal.createDuration(args[0])));
      return;
    case "dismiss":
      await modified(calendar, () => alarms.dismissAlarm(occurrence ?? series, null));
      return;
  }
  const changed = series.clone();
  if (verb == "delete") {
    changed.recurrenceInfo.removeOccurrenceAt(key);
  } else if (verb == "restore") {
    changed.recurrenceInfo.restoreOccurrenceAt(key);
  } else {
    const item = key ? changed.recurrenceInfo.getOccurrenceFor(key).clone() : changed;
    if (verb == "times") {
      [item.startDate, item.endDate] = args.map(a => moment(a, series.startDate));
    } else if (verb == "title") {
      item.title = args[0];
    } else if (verb == "answer") {
      const attendee = cal.itip.getInvitedAttendee(item).clone();
      item.removeAttendee(cal.itip.getInvitedAttendee(item));
      attendee.participationStatus = args[0];
      item.addAttendee(attendee);
    }
    if (key) {
      changed.recurrenceInfo.modifyException(item, true);
    }
  }
  await calendar.modifyItem(changed, series);
}

// What goes on in the background, to its end.
function modified(calendar, act) {
  return new Promise(resolve => {
    const over = () => { calendar.removeObserver(observer); resolve(); };
    const observer = {
      QueryInterface: ChromeUtils.generateQI(["calIObserver"]),
      onStartBatch() {}, onEndBatch() {}, onAddItem() {}, onModifyItem: over, onDeleteItem() {}, onPropertyChanged() {}, onPropertyDeleting() {},
      onError: over, onLoad() {},
    };
    calendar.addObserver(observer);
    act();
  });
}

// A time as 20260131T100000, in the zone of another, or a date as 20260131.
function moment(text, like) {
  const t = cal.createDateTime(text);
  if (!t.isDate) {
    t.timezone = like.isDate ? cal.timezoneService.getTimezone("Europe/Berlin") : like.timezone;
  }
  return t;
}

// What an event keeps of its alarms: X-MOZ-LASTACK, and the time to which it was put off.
async function acknowledged(title) {
  const calendar = networkCalendars().find(c => c.name == "Calendar");
  const items = await calendar.getItemsAsArray(Ci.calICalendar.ITEM_FILTER_TYPE_EVENT, 0, null, null);
  const item = items.find(i => i.title == title);
  return [item.alarmLastAck?.icalString ?? "", item.getProperty("X-MOZ-SNOOZE-TIME") ?? ""];
}

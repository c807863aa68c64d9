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

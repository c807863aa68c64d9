// The calendar of the pages: FullCalendar over the events that the bridge serves as JSON. Texts come from the page, so they are
// in its language; the week's first day and the clock are those of the browser.
import { Calendar } from "fullcalendar";
import dayGrid from "fullcalendar/daygrid";
import list from "fullcalendar/list";
import theme from "fullcalendar/themes/classic";
import timeGrid from "fullcalendar/timegrid";
import "fullcalendar/skeleton.css";
import "fullcalendar/themes/classic/theme.css";
import "fullcalendar/themes/classic/palette.css";
import "./calendar.css";

const place = document.getElementById("calendar");
const zoneField = document.getElementById("zone");
const longest = 1000; // events in an agenda
const moment = 400; // milliseconds that loading may take without a word
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

if (zoneField) suggestZones();
if (!matchMedia("(max-width: 44rem)").matches) document.querySelector("details.seek")?.setAttribute("open", "");
if (place) show(place);

// suggestZones offers the time zones that the browser knows, its own first.
function suggestZones() {
	const zones = new Set([zoneField.value, here, "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])]);
	const offers = document.getElementById("zones");
	for (const zone of zones) {
		if (!zone) continue;
		const offer = document.createElement("option");
		offer.value = zone;
		offers.append(offer);
	}
}

// clock is how the browser's language tells the time.
function clock(language) {
	const twelve = new Intl.DateTimeFormat(language, { hour: "numeric" }).resolvedOptions().hour12;
	return twelve ? { hour: "numeric", minute: "2-digit", meridiem: "short" } : { hour: "2-digit", minute: "2-digit", hour12: false };
}

// firstDay is the first day of the week, 0 for Sunday.
function firstDay(language) {
	const locale = new Intl.Locale(language);
	return ((locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay ?? 1) % 7;
}

// scrollTime is where a day begins to be shown: at seven, or so that now is in it.
function scrollTime(zone) {
	const hour = Number(new Intl.DateTimeFormat("en", { timeZone: zone, hour: "numeric", hourCycle: "h23" }).format());
	const first = hour < 7 ? Math.max(hour - 1, 0) : hour > 16 ? hour - 8 : 7;
	return `${String(first).padStart(2, "0")}:00:00`;
}

function show(place) {
	const text = place.dataset;
	const language = navigator.language || "en";
	const ofPage = document.documentElement.lang || "en";
	const locale = navigator.languages?.find(l => l === ofPage || l.startsWith(ofPage + "-")) ?? ofPage;
	const time = clock(language);
	const zone = text.zone || here || "UTC";
	const phone = matchMedia("(max-width: 44rem)").matches;
	const note = document.getElementById("calendar-note");
	const state = document.getElementById("calendar-state");
	const again = document.getElementById("calendar-again");
	let asked = 0; // how often events were asked for: only the last answer is told of
	if (zoneField && !zoneField.value) zoneField.value = zone;

	const views = { month: "dayGridMonth", week: "timeGridWeek", day: "timeGridDay", agenda: "agenda" };
	const calendar = new Calendar(place, {
		plugins: [dayGrid, timeGrid, list, theme],
		initialView: views[text.view] ?? (phone ? "agenda" : "dayGridMonth"),
		initialDate: text.date || undefined,
		timeZone: zone,
		locale,
		firstDay: firstDay(language),
		weekNumbers: !phone,
		nowIndicator: true,
		nowIndicatorLineClass: "now",
		navLinks: true,
		dayMaxEvents: phone ? 3 : 5,
		height: "auto",
		buttonClass: "tool",
		scrollTime: scrollTime(zone),
		eventTimeFormat: time,
		slotHeaderFormat: time,
		defaultTimedEventDuration: "00:30:00",
		headerToolbar: { start: "prev,today,next", center: "title", end: "dayGridMonth,timeGridWeek,timeGridDay,agenda" },
		todayText: text.today,
		monthText: text.month,
		weekTextLong: text.week,
		weekTextShort: text.weekShort,
		timedText: text.timed,
		eventsHint: text.eventsHint,
		navLinkHint: date => text.go.replace("{date}", date),
		dayText: text.day,
		listText: text.agenda,
		todayHint: text.today,
		prevHint: text.previous,
		nextHint: text.next,
		viewHint: name => name,
		viewChangeHint: text.views,
		closeHint: text.close,
		allDayText: text.allDay,
		noEventsText: text.nothing,
		moreLinkText: n => text.more.replace("{n}", n),
		moreLinkHint: n => text.more.replace("{n}", n),
		views: {
			timeGridWeek: { titleFormat: { month: "short", day: "numeric", year: "numeric" } },
			// A month has list items too, in cells that have no room for columns.
			agenda: {
				type: "list", duration: { days: 14 }, titleFormat: { month: "short", day: "numeric", year: "numeric" },
				listItemEventInnerClass: "item", listItemEventTimeClass: "when", listItemEventTitleClass: "what",
			},
		},
		events: read,
		eventClass: info => ["event", ...(info.event.extendedProps.marks ?? [])].join(" "),
		blockEventClass: "block",
		eventDidMount: describe,
		dayHeaderDidMount: readable,
		dayCellDidMount: readable,
		listDayHeaderDidMount: readable,
		weekNumberHeaderDidMount: readable,
		inlineWeekNumberDidMount: readable,
		// A heading of a row that says nothing.
		viewDidMount: ({ el }) => el.querySelectorAll("[role=rowheader]:empty").forEach(e => ["role", "aria-label"].forEach(a => e.removeAttribute(a))),
		datesSet: remember,
	});

	// read fetches the events of a span; the browser keeps the answer and asks whether it has changed.
	async function read(span, done, failed) {
		const url = new URL(text.events, location.href);
		url.searchParams.set("start", span.start.toISOString());
		url.searchParams.set("end", span.end.toISOString());
		const turn = ++asked;
		const slow = setTimeout(() => turn === asked && tell("loading", text.loading), moment);
		try {
			const answer = await fetch(url, { redirect: "error" });
			if (!answer.ok) throw new Error(answer.statusText);
			let { events, note: missing } = await answer.json();
			if (calendar.view?.type === "agenda" && events.length > longest) {
				missing ??= text.left.replace("{n}", events.length - longest);
				events = events.sort((a, b) => Date.parse(a.start) - Date.parse(b.start)).slice(0, longest);
			}
			for (const e of events) e.url += "&zone=" + encodeURIComponent(zone);
			// Drawing many events holds the page up, so what is shown meanwhile is put there before.
			if (state.dataset.is === "loading") await painted();
			done(events);
			if (turn === asked) {
				say(missing);
				tell("", "");
			}
		} catch (error) {
			failed(error);
			if (turn === asked) tell("failed", text.failed);
		} finally {
			clearTimeout(slow);
		}
	}

	// tell says how the loading goes.
	function tell(is, what) {
		state.dataset.is = is;
		state.querySelector("[role=status]").textContent = what;
		if (is !== "failed" && document.activeElement === again) state.focus();
		again.hidden = is !== "failed";
		place.setAttribute("aria-busy", is === "loading");
	}

	function say(what) {
		note.textContent = what ?? "";
		note.hidden = !what;
	}

	// remember keeps in the address what is shown, so that Back from an event leads to it, and the forms keep it too.
	function remember(info) {
		const view = Object.keys(views).find(name => views[name] === info.view.type);
		const date = new Intl.DateTimeFormat("sv", { timeZone: zone }).format(calendar.getDate()); // 2006-01-02
		const to = new URL(location.href);
		to.searchParams.set("view", view);
		to.searchParams.set("date", date);
		history.replaceState(null, "", to);
		for (const [name, value] of [["view", view], ["date", date]]) {
			const field = document.querySelector(`.seek input[name=${name}]`);
			if (field) field.value = value;
		}
		requestAnimationFrame(() => {
			const height = info.view.type.startsWith("timeGrid") ? (phone ? 520 : 720) : "auto";
			if (calendar.getOption("height") !== height) {
				calendar.setOption("height", height);
				calendar.scrollToTime?.(scrollTime(zone));
			}
			// Who has no mouse scrolls with the keys, which takes something to stand on.
			for (const e of place.querySelectorAll("div[style*=overflow]")) {
				const cell = e.querySelector("[role=gridcell]");
				if (cell && getComputedStyle(e).overflowY === "auto") cell.tabIndex = 0;
			}
		});
	}

	again.addEventListener("click", () => {
		tell("loading", text.loading);
		calendar.refetchEvents();
	});
	place.hidden = state.hidden = false;
	document.getElementById("agenda").hidden = true;
	calendar.render();
	document.addEventListener("visibilitychange", () => {
		if (!document.hidden) calendar.refetchEvents();
	});
}

// painted is when the browser has drawn what is there now, or at once where it draws nothing.
function painted() {
	return new Promise(resolve => {
		setTimeout(resolve, 100);
		requestAnimationFrame(() => setTimeout(resolve));
	});
}

// describe adds what a colour or a line through a title does not tell everybody, and the place to an agenda.
function describe({ el, event, view }) {
	const { place, calendar, notes } = event.extendedProps;
	el.title = [event.title, place, calendar, notes].filter(s => s).join("\n");
	if (view.type === "agenda") {
		// A list item that is a link is none to those who hear the page: the day is the item, and has links.
		const day = el.parentElement;
		for (const name of ["role", "aria-label"]) day.removeAttribute(name);
		el.removeAttribute("role");
		const more = [place, calendar, notes].filter(s => s).join(" · ");
		if (more) add(el.querySelector(".item") ?? el, "place", more);
	} else if (notes) {
		add(el, "unseen", ` (${notes})`);
	}
}

function add(to, className, text) {
	const span = document.createElement("span");
	span.className = className;
	span.textContent = text;
	to.append(span);
}

// readable has a day's own words read aloud, where the library hides them behind a label that does not have them.
function readable({ el }) {
	el.removeAttribute("aria-label");
	for (const e of el.querySelectorAll("[aria-label]")) if (e.textContent) e.removeAttribute("aria-label");
	for (const e of el.querySelectorAll("[aria-hidden=true]")) e.removeAttribute("aria-hidden");
}

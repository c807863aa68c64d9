/* Expands calendar objects with libical.
 *
 *   expand TO FILE...
 *
 * For each file, an object, it writes the number of its instances that start up to TO (seconds since 1970), then those,
 * one a line: start, end, 1 for all day, 1 for cancelled. The times are seconds since 1970, of an all-day event those
 * of midnight UTC. Zones are those of the object's own VTIMEZONEs. An object that libical finds a fault in is "error". */
#include <libical/ical.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct instance {
	time_t start, end;
	int all_day, cancelled;
};

struct list {
	struct instance *items;
	size_t n;
	icalcomponent *calendar; /* whose overrides replace instances; NULL: none */
	const char *uid;
	time_t to;
};

static void add(struct list *l, icalcomponent *event, time_t start, time_t end)
{
	icalproperty *status = icalcomponent_get_first_property(event, ICAL_STATUS_PROPERTY);
	l->items = realloc(l->items, (l->n + 1) * sizeof *l->items);
	if (!l->items)
		abort();
	l->items[l->n++] = (struct instance){start, end, icalcomponent_get_dtstart(event).is_date,
		status && icalproperty_get_status(status) == ICAL_STATUS_CANCELLED};
}

static time_t seconds(struct icaltimetype t) { return icaltime_as_timet_with_zone(t, t.zone); }

/* With its zone, which icalproperty_get_recurrenceid and the like leave out. */
static struct icaltimetype time_of(icalcomponent *event, icalproperty_kind kind)
{
	return icalproperty_get_datetime_with_component(icalcomponent_get_first_property(event, kind), event);
}

/* A clock time that is skipped is moved on in an instance of a rule and moved back in all other places; this is when
 * the instance of a rule is that has the clock time t. */
static time_t instance_at(struct icaltimetype t)
{
	time_t at = seconds(t);
	struct icaltimetype back = icaltime_from_timet_with_zone(at, t.is_date, t.zone ? t.zone : icaltimezone_get_utc_timezone());
	int skipped = (t.hour * 60 + t.minute) - (back.hour * 60 + back.minute);
	return at + (t.is_date ? 0 : (skipped + 1440) % 1440 * 60);
}

/* icalcomponent_foreach_recurrence takes an RDATE with a TZID for one in UTC; libical's users bring their own. */
static void resolve_rdates(icalcomponent *event)
{
	icalproperty *p = icalcomponent_get_first_property(event, ICAL_RDATE_PROPERTY);
	for (; p; p = icalcomponent_get_next_property(event, ICAL_RDATE_PROPERTY)) {
		struct icaltimetype t = icalproperty_get_datetime_with_component(p, event);
		if (!t.is_date) {
			struct icaldatetimeperiodtype utc = {
				.time = icaltime_convert_to_zone(t, icaltimezone_get_utc_timezone()), .period = icalperiodtype_null_period()};
			icalproperty_set_rdate(p, utc);
			icalproperty_remove_parameter_by_kind(p, ICAL_TZID_PARAMETER);
		}
	}
}

static int is_override(icalcomponent *event)
{
	return icalcomponent_get_first_property(event, ICAL_RECURRENCEID_PROPERTY) != NULL;
}

static int is_replaced(struct list *l, time_t start)
{
	icalcomponent *e = icalcomponent_get_first_component(l->calendar, ICAL_VEVENT_COMPONENT);
	for (; e; e = icalcomponent_get_next_component(l->calendar, ICAL_VEVENT_COMPONENT))
		if (is_override(e) && !strcmp(icalcomponent_get_uid(e), l->uid) &&
		    instance_at(time_of(e, ICAL_RECURRENCEID_PROPERTY)) == start)
			return 1;
	return 0;
}

static void on_instance(icalcomponent *event, struct icaltime_span *span, void *data)
{
	struct list *l = data;
	/* libical has an RDATE that is on the rule too twice; its users take such for one. */
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].start == span->start)
			return;
	/* Of an all-day event libical's end is the last second of the day after the last one. */
	time_t length = span->end - span->start;
	if (icalcomponent_get_dtstart(event).is_date)
		length = seconds(icalcomponent_get_dtend(event)) - seconds(icalcomponent_get_dtstart(event));
	if (span->start <= l->to)
		add(l, event, span->start, span->start + length);
}

static int by_start(const void *a, const void *b)
{
	const struct instance *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static char *read_file(const char *name)
{
	FILE *f = fopen(name, "rb");
	if (!f || fseek(f, 0, SEEK_END) != 0) {
		perror(name);
		exit(1);
	}
	long n = ftell(f);
	char *text = malloc(n + 1);
	rewind(f);
	if (!text || fread(text, 1, n, f) != (size_t)n) {
		perror(name);
		exit(1);
	}
	text[n] = 0;
	fclose(f);
	return text;
}

static void expand(const char *text, time_t to)
{
	icalcomponent *calendar = icalparser_parse_string(text);
	if (!calendar || icalcomponent_count_errors(calendar) > 0) {
		puts("error");
		return;
	}
	struct list all = {.to = to};
	size_t n = icalcomponent_count_components(calendar, ICAL_VEVENT_COMPONENT);
	icalcomponent **events = calloc(n, sizeof *events), *e;
	size_t i = 0;
	for (e = icalcomponent_get_first_component(calendar, ICAL_VEVENT_COMPONENT); e;
	     e = icalcomponent_get_next_component(calendar, ICAL_VEVENT_COMPONENT))
		events[i++] = e;
	for (i = 0; i < n; i++) {
		if (is_override(events[i])) {
			time_t start = seconds(icalcomponent_get_dtstart(events[i]));
			if (start <= to)
				add(&all, events[i], start, seconds(icalcomponent_get_dtend(events[i])));
			continue;
		}
		resolve_rdates(events[i]);
		struct list own = {.calendar = calendar, .uid = icalcomponent_get_uid(events[i]), .to = to};
		icalcomponent_foreach_recurrence(events[i], icaltime_from_day_of_year(1, 1600),
			icaltime_from_timet_with_zone(to + 1, 0, icaltimezone_get_utc_timezone()), on_instance, &own);
		for (size_t k = 0; k < own.n; k++)
			if (!is_replaced(&own, own.items[k].start))
				add(&all, events[i], own.items[k].start, own.items[k].end);
		free(own.items);
	}
	qsort(all.items, all.n, sizeof *all.items, by_start);
	printf("%zu\n", all.n);
	for (i = 0; i < all.n; i++)
		printf("%lld %lld %d %d\n", (long long)all.items[i].start, (long long)all.items[i].end, all.items[i].all_day, all.items[i].cancelled);
	free(all.items);
	free(events);
	icalcomponent_free(calendar);
}

int main(int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		char *text = read_file(argv[i]);
		expand(text, (time_t)atoll(argv[1]));
		free(text);
	}
	return 0;
}

-- +goose Up

-- When the instances of an object are (ics.Timetable), behind the beginning of the ETag that it is of. '': not known.
ALTER TABLE object ADD COLUMN timetable TEXT NOT NULL DEFAULT '';
ALTER TABLE staged ADD COLUMN timetable TEXT NOT NULL DEFAULT '';

-- What may be in a range of time is read from these alone. Objects that last longer than a week are few, or series.
CREATE INDEX object_short ON object (calendar_id, first_start, last_end, name, etag, rev, modified, size, deleted, timetable)
	WHERE deleted = 0 AND last_end - first_start <= 604800;
CREATE INDEX object_long ON object (calendar_id, first_start, last_end, name, etag, rev, modified, size, deleted, timetable)
	WHERE deleted = 0 AND (last_end IS NULL OR last_end - first_start > 604800);

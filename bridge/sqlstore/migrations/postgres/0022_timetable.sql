-- +goose Up

ALTER TABLE object ADD COLUMN timetable TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE staged ADD COLUMN timetable TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX object_short ON object (calendar_id, first_start, last_end) INCLUDE (name, etag, rev, modified, size, deleted, timetable)
	WHERE deleted = 0 AND last_end - first_start <= 604800;
CREATE INDEX object_long ON object (calendar_id, first_start, last_end) INCLUDE (name, etag, rev, modified, size, deleted, timetable)
	WHERE deleted = 0 AND (last_end IS NULL OR last_end - first_start > 604800);

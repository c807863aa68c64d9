-- +goose Up

-- What searches look for in an event, as Graph says it.
ALTER TABLE event ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE event ADD COLUMN ical_uid TEXT NOT NULL DEFAULT '';
UPDATE event SET subject = coalesce(json_extract(CAST(raw AS TEXT), '$.subject'), ''), ical_uid = coalesce(json_extract(CAST(raw AS TEXT), '$.iCalUId'), '')
WHERE json_valid(CAST(raw AS TEXT));

-- The id is the order in which the audit came upon them.
CREATE TABLE difference (
	id            INTEGER PRIMARY KEY,
	calendar_id   INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	series        TEXT NOT NULL,
	subject       TEXT NOT NULL,
	outlook_start INTEGER, -- NULL: Outlook's view did not show it
	outlook_end   INTEGER,
	here_start    INTEGER, -- NULL: it was not here
	here_end      INTEGER
);
INSERT INTO difference (calendar_id, series, subject, outlook_start, outlook_end, here_start, here_end)
SELECT calendar_id, series, subject, outlook_start, outlook_end, here_start, here_end FROM audit_difference ORDER BY rowid;
DROP TABLE audit_difference;
ALTER TABLE difference RENAME TO audit_difference;
CREATE INDEX audit_difference_of ON audit_difference (calendar_id);

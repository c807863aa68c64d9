-- +goose Up

-- How many occurrences Outlook's view had when it was compared last, and what differed.
ALTER TABLE calendar ADD COLUMN audit_compared INTEGER NOT NULL DEFAULT 0;

CREATE TABLE audit_difference (
	calendar_id   INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	series        TEXT NOT NULL,
	subject       TEXT NOT NULL,
	outlook_start INTEGER, -- NULL: Outlook's view did not show it
	outlook_end   INTEGER,
	here_start    INTEGER, -- NULL: it was not here
	here_end      INTEGER
);
CREATE INDEX audit_difference_of ON audit_difference (calendar_id);

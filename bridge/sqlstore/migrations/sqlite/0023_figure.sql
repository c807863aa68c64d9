-- +goose Up

-- What was counted in a calendar, for the machine that tells the shared figures of several: a row holds while the calendar has that rev.
CREATE TABLE figure (
	calendar_id INTEGER PRIMARY KEY REFERENCES calendar (id) ON DELETE CASCADE,
	rev         INTEGER NOT NULL,
	counted     INTEGER NOT NULL, -- when
	objects     INTEGER NOT NULL,
	losses      INTEGER NOT NULL
);

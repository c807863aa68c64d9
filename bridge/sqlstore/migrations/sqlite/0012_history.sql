-- +goose Up

-- What clients were shown change, the latest of each calendar.
CREATE TABLE history (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	at          INTEGER NOT NULL,
	added       INTEGER NOT NULL,
	changed     INTEGER NOT NULL,
	removed     INTEGER NOT NULL,
	events      TEXT NOT NULL                  -- JSON array of bridge.HistoryEvent, the first of them
);
CREATE INDEX history_calendar ON history (calendar_id, id);

ALTER TABLE staged ADD COLUMN title TEXT NOT NULL DEFAULT '';  -- of the event; of a tombstone, what it was

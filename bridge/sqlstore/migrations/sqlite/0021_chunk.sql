-- +goose Up

-- Occurrences of one series as Graph said them, some tens in a row, packed.
CREATE TABLE chunk (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	id          INTEGER NOT NULL,
	series      TEXT NOT NULL,
	room        INTEGER NOT NULL, -- 1: it takes more
	first_start INTEGER,
	last_end    INTEGER,
	said        BLOB NOT NULL,
	PRIMARY KEY (calendar_id, id)
);
CREATE INDEX chunk_series ON chunk (calendar_id, series, room);

-- In which chunk an occurrence is, by a hash of its id.
CREATE TABLE occurrence (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	hash        TEXT NOT NULL,
	chunk       INTEGER NOT NULL,
	PRIMARY KEY (calendar_id, hash, chunk)
) WITHOUT ROWID;

-- What was said of an event is packed. A program that does not know it cannot read it.
ALTER TABLE event RENAME COLUMN raw TO said;
DROP INDEX event_id;
DROP INDEX event_series;
CREATE INDEX event_series ON event (calendar_id, series);

-- The program packs what is here, and takes this away when it is done.
INSERT INTO meta (key, value) VALUES ('unpacked', x'31');

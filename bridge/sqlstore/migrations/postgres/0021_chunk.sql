-- +goose Up

CREATE TABLE chunk (
	calendar_id BIGINT NOT NULL REFERENCES calendar(id) ON DELETE CASCADE,
	id          BIGINT NOT NULL,
	series      TEXT COLLATE "C" NOT NULL,
	room        BIGINT NOT NULL,
	first_start BIGINT,
	last_end    BIGINT,
	said        BYTEA NOT NULL,
	PRIMARY KEY (calendar_id, id)
);
CREATE INDEX chunk_series ON chunk (calendar_id, series, room);

CREATE TABLE occurrence (
	calendar_id BIGINT NOT NULL REFERENCES calendar(id) ON DELETE CASCADE,
	hash        TEXT COLLATE "C" NOT NULL,
	chunk       BIGINT NOT NULL,
	PRIMARY KEY (calendar_id, hash, chunk)
);

ALTER TABLE event RENAME COLUMN raw TO said;
DROP INDEX event_id;
DROP INDEX event_series;
CREATE INDEX event_series ON event (calendar_id, series);

INSERT INTO meta (key, value) VALUES ('unpacked', '\x31');

-- +goose Up

CREATE TABLE stretch (
	calendar_id BIGINT NOT NULL REFERENCES calendar(id) ON DELETE CASCADE,
	hash        TEXT COLLATE "C" NOT NULL,
	chunk       BIGINT NOT NULL,
	PRIMARY KEY (calendar_id, hash, chunk)
);

DROP TABLE occurrence;

INSERT INTO meta (key, value) VALUES ('unhashed', '\x31');

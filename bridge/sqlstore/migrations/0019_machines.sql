-- +goose Up

-- What is there for minutes, found by a keyed hash.
CREATE TABLE brief (
	kind    TEXT NOT NULL,
	hash    BLOB NOT NULL,
	sealed  BLOB NOT NULL,
	expires INTEGER NOT NULL,
	PRIMARY KEY (kind, hash)
);
CREATE INDEX brief_expires ON brief (expires);

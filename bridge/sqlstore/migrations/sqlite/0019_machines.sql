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

-- What one process alone does at a time, until a time by the database's clock, in milliseconds.
CREATE TABLE lease (
	name  TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	until INTEGER NOT NULL
);

-- The accounts that somebody wants a round of before its time, and why.
CREATE TABLE nudge (
	account TEXT PRIMARY KEY,
	reasons INTEGER NOT NULL
);

-- The servers that use this database.
CREATE TABLE machine (
	id      TEXT PRIMARY KEY,
	name    TEXT NOT NULL,
	version TEXT NOT NULL,
	schema  INTEGER NOT NULL,
	address TEXT NOT NULL,
	since   INTEGER NOT NULL, -- milliseconds, as is the next
	seen    INTEGER NOT NULL
);

-- A notification may reach a machine that knows nothing of the subscription.
CREATE INDEX subscription_graph ON subscription (graph_id);

-- How soon somebody may try a password again: the time at which all that were allowed are used up, in milliseconds.
CREATE TABLE attempt (
	hash BLOB PRIMARY KEY,
	next INTEGER NOT NULL
);

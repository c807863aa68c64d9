-- +goose Up

-- Instants are unix seconds; NULL is "never", or "unbounded" for object.last_end.

CREATE TABLE account (
	id            INTEGER PRIMARY KEY,
	name          TEXT NOT NULL UNIQUE,
	token         BLOB,                        -- sealed
	token_version INTEGER NOT NULL DEFAULT 0,
	state         TEXT NOT NULL DEFAULT '{}',  -- JSON of bridge.State
	state_token   INTEGER NOT NULL DEFAULT 0,  -- token_version that the state was met with
	settings      TEXT NOT NULL DEFAULT '{}'   -- JSON of bridge.Settings
);

CREATE TABLE calendar (
	id           INTEGER PRIMARY KEY,
	account_id   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	graph_id     TEXT NOT NULL,
	name         TEXT NOT NULL,
	display_name TEXT NOT NULL,
	color        TEXT NOT NULL,
	can_edit     INTEGER NOT NULL,
	is_default   INTEGER NOT NULL,
	owner        TEXT NOT NULL,
	position     INTEGER NOT NULL,

	cursor       TEXT NOT NULL DEFAULT '',
	phase        TEXT NOT NULL DEFAULT '',
	pending      TEXT NOT NULL DEFAULT '',
	seq          INTEGER NOT NULL DEFAULT 0,
	round        INTEGER NOT NULL DEFAULT 0,
	opened       INTEGER NOT NULL DEFAULT 0,
	window_start INTEGER,
	window_end   INTEGER,
	checked      INTEGER,
	good         INTEGER,
	fault        TEXT NOT NULL DEFAULT '',
	rendering    TEXT NOT NULL DEFAULT '',

	epoch        TEXT NOT NULL,
	rev          INTEGER NOT NULL DEFAULT 0,
	modified     INTEGER NOT NULL,

	UNIQUE (account_id, graph_id),
	UNIQUE (account_id, name)
);

CREATE TABLE event (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	id          TEXT NOT NULL,
	series      TEXT NOT NULL,
	kind        TEXT NOT NULL,
	round       INTEGER NOT NULL,
	first_start INTEGER,
	last_end    INTEGER,
	raw         BLOB NOT NULL,
	PRIMARY KEY (calendar_id, id)
);
CREATE INDEX event_series ON event (calendar_id, series, id);
CREATE INDEX event_id ON event (id, calendar_id);
CREATE INDEX event_kind ON event (calendar_id, kind, round);

CREATE TABLE series (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	id          TEXT NOT NULL,
	stage       INTEGER NOT NULL,
	listed      INTEGER NOT NULL DEFAULT 0,
	losses      TEXT NOT NULL DEFAULT '',      -- JSON array of convert.Loss
	loss_count  INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (calendar_id, id)
) WITHOUT ROWID;
CREATE INDEX series_stage ON series (calendar_id, stage, id) WHERE stage > 0;

CREATE TABLE object (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	name        TEXT NOT NULL,
	series      TEXT NOT NULL,
	uid         TEXT NOT NULL,
	etag        TEXT NOT NULL,
	rev         INTEGER NOT NULL,
	sequence    INTEGER NOT NULL,
	stamp       INTEGER NOT NULL,
	modified    INTEGER NOT NULL,
	first_start INTEGER NOT NULL,
	last_end    INTEGER,
	deleted     INTEGER NOT NULL DEFAULT 0,
	size        INTEGER NOT NULL,
	data        BLOB NOT NULL,
	PRIMARY KEY (calendar_id, name)
);
CREATE UNIQUE INDEX object_rev ON object (calendar_id, rev);
CREATE INDEX object_series ON object (calendar_id, series);
CREATE INDEX object_uid ON object (calendar_id, uid);
-- Listing without the data (an idle sync, a PROPFIND, a time-range query) reads only these.
CREATE INDEX object_listing ON object (calendar_id, deleted, name, first_start, last_end, etag, rev, modified, size);

CREATE TABLE staged (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	name        TEXT NOT NULL,
	series      TEXT NOT NULL,
	uid         TEXT NOT NULL,
	etag        TEXT NOT NULL,
	sequence    INTEGER NOT NULL,
	stamp       INTEGER NOT NULL,
	first_start INTEGER NOT NULL,
	last_end    INTEGER,
	deleted     INTEGER NOT NULL,
	size        INTEGER NOT NULL,
	data        BLOB NOT NULL,
	PRIMARY KEY (calendar_id, name)
);
CREATE INDEX staged_series ON staged (calendar_id, series);
CREATE INDEX staged_uid ON staged (calendar_id, uid);

CREATE TABLE password (
	id      INTEGER PRIMARY KEY,
	user    TEXT NOT NULL,
	label   TEXT NOT NULL,
	hash    BLOB NOT NULL UNIQUE,              -- keyed
	created INTEGER NOT NULL
);
CREATE INDEX password_user ON password (user);

CREATE TABLE feed (
	id        INTEGER PRIMARY KEY,
	user      TEXT NOT NULL,
	name      TEXT NOT NULL,
	hash      BLOB NOT NULL UNIQUE,            -- keyed
	calendars TEXT NOT NULL,                   -- JSON array of calendar ids; [] is all
	detail    TEXT NOT NULL,
	created   INTEGER NOT NULL
);
CREATE INDEX feed_user ON feed (user);

-- What clients have set of a collection, each user for itself.
CREATE TABLE property (
	user  TEXT NOT NULL,
	path  TEXT NOT NULL,
	space TEXT NOT NULL,                       -- XML namespace
	local TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (user, path, space, local)
) WITHOUT ROWID;

CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;

-- +goose Up

-- Troubles that people are told of, so that they are told once.
CREATE TABLE notice (
	key     TEXT PRIMARY KEY,
	content TEXT NOT NULL                      -- JSON of bridge.Notice
) WITHOUT ROWID;

-- Messages about them that wait for their delivery.
CREATE TABLE notice_message (
	id         INTEGER PRIMARY KEY,
	target     TEXT NOT NULL,
	content    TEXT NOT NULL,                  -- JSON array of bridge.News
	more       INTEGER NOT NULL,
	created    INTEGER NOT NULL,
	failures   INTEGER NOT NULL,
	not_before INTEGER
);

-- Where messages go, as set on the pages. The id is a keyed hash of the URL.
CREATE TABLE notice_target (
	id      TEXT PRIMARY KEY,
	url     BLOB NOT NULL,                     -- sealed
	created INTEGER NOT NULL
) WITHOUT ROWID;

-- What became of the latest message to each target, those of the configuration included.
CREATE TABLE notice_delivery (
	target  TEXT PRIMARY KEY,
	content TEXT NOT NULL                      -- JSON of bridge.NoticeDelivery
) WITHOUT ROWID;

-- When somebody signed in, and for how many seconds the organization lets that last, once it has ended a sign-in.
ALTER TABLE account ADD COLUMN signed_in INTEGER;
ALTER TABLE account ADD COLUMN sign_in_life INTEGER NOT NULL DEFAULT 0;

-- +goose Up

-- Writes of clients: kept before Graph is first called, and from then on the record of who changed what. They outlive
-- their calendars.
CREATE TABLE intent (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	account_id    INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	calendar_id   INTEGER REFERENCES calendar (id) ON DELETE SET NULL,
	calendar_name TEXT NOT NULL,
	name          TEXT NOT NULL,
	uid           TEXT NOT NULL,
	summary       TEXT NOT NULL,
	series        TEXT NOT NULL,               -- '' until it is created
	operation     TEXT NOT NULL,
	user          TEXT NOT NULL,
	password      TEXT NOT NULL,               -- the label of it
	client        TEXT NOT NULL,
	body_hash     TEXT NOT NULL,
	octets        BLOB,
	base          BLOB,
	plan          TEXT NOT NULL,               -- JSON of convert.Plan; '' once it is forgotten
	step          INTEGER NOT NULL,
	begun         INTEGER NOT NULL,
	results       TEXT NOT NULL,               -- JSON array of bridge.StepResult
	transaction_id TEXT NOT NULL,
	state         TEXT NOT NULL,
	refusal       TEXT NOT NULL,               -- JSON of convert.Refusal, or ''
	mails         INTEGER NOT NULL,
	created       INTEGER NOT NULL,
	changed       INTEGER NOT NULL
);
CREATE UNIQUE INDEX intent_open_name ON intent (calendar_id, name) WHERE state = 'open';
CREATE UNIQUE INDEX intent_open_series ON intent (calendar_id, series) WHERE state = 'open' AND series <> '';
CREATE INDEX intent_open ON intent (account_id, id) WHERE state = 'open';
CREATE INDEX intent_account ON intent (account_id, id);
CREATE INDEX intent_changed ON intent (changed, account_id, mails);
CREATE INDEX intent_name ON intent (calendar_id, name, body_hash);

-- What events that clients made are called. An alias is one more name of an object.
CREATE TABLE name (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	object      TEXT NOT NULL,
	series      TEXT NOT NULL,
	uid         TEXT NOT NULL,                 -- '' is Graph's
	alias       INTEGER NOT NULL,
	gone        INTEGER,
	PRIMARY KEY (calendar_id, object)
) WITHOUT ROWID;
CREATE INDEX name_series ON name (calendar_id, series);

-- What clients have set of a series beside Outlook.
CREATE TABLE overlay (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	series      TEXT NOT NULL,
	content     TEXT NOT NULL,                 -- JSON of convert.Overlay
	PRIMARY KEY (calendar_id, series)
);

-- When series were last written to. In nanoseconds, for Graph tells times within a second apart.
CREATE TABLE fence (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	series      TEXT NOT NULL,
	at          INTEGER NOT NULL,
	gone        INTEGER NOT NULL,
	PRIMARY KEY (calendar_id, series)
) WITHOUT ROWID;
CREATE INDEX fence_at ON fence (at);

-- States that objects had before, of calendars that clients may write to.
CREATE TABLE version (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	name        TEXT NOT NULL,
	rev         INTEGER NOT NULL,
	series      TEXT NOT NULL,
	uid         TEXT NOT NULL,
	etag        TEXT NOT NULL,
	sequence    INTEGER NOT NULL,
	stamp       INTEGER NOT NULL,
	modified    INTEGER NOT NULL,
	first_start INTEGER NOT NULL,
	last_end    INTEGER,
	size        INTEGER NOT NULL,
	data        BLOB NOT NULL,
	replaced    INTEGER NOT NULL,
	PRIMARY KEY (calendar_id, name, rev)
);
CREATE INDEX version_replaced ON version (replaced);

ALTER TABLE calendar ADD COLUMN written INTEGER NOT NULL DEFAULT 0;    -- there are names or overlays
ALTER TABLE calendar ADD COLUMN fenced INTEGER;                        -- when the last fence was raised
ALTER TABLE calendar ADD COLUMN versioned INTEGER NOT NULL DEFAULT 0;

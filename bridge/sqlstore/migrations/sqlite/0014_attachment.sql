-- +goose Up

-- The events of which it is known what is attached to them, of accounts whose clients get files.
CREATE TABLE attached (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	event       TEXT NOT NULL,
	series      TEXT NOT NULL,
	state       TEXT NOT NULL, -- of the event when it was asked about; '': it is to be asked about again
	others      INTEGER NOT NULL,
	PRIMARY KEY (calendar_id, event)
) WITHOUT ROWID;
CREATE INDEX attached_series ON attached (calendar_id, series);
CREATE INDEX attached_open ON attached (calendar_id) WHERE state = '';

CREATE TABLE attachment (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	event       TEXT NOT NULL,
	id          TEXT NOT NULL,
	token       TEXT NOT NULL, -- that clients ask for it by: a keyed hash of the other columns
	name        TEXT NOT NULL,
	type        TEXT NOT NULL,
	size        INTEGER NOT NULL,
	position    INTEGER NOT NULL,
	PRIMARY KEY (calendar_id, event, id)
) WITHOUT ROWID;
CREATE INDEX attachment_token ON attachment (token);

-- What is in the files that clients have added, by which it is seen that one is there already.
CREATE TABLE attachment_digest (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	id          TEXT NOT NULL,
	digest      TEXT NOT NULL,
	PRIMARY KEY (calendar_id, id)
) WITHOUT ROWID;

-- The files that an intent is to add, until it ends.
CREATE TABLE intent_file (
	intent_id INTEGER NOT NULL REFERENCES intent (id) ON DELETE CASCADE,
	digest    TEXT NOT NULL,
	octets    BLOB NOT NULL,
	PRIMARY KEY (intent_id, digest)
);

ALTER TABLE calendar ADD COLUMN online_meetings TEXT NOT NULL DEFAULT '';

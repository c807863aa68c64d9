-- +goose Up

-- Graph lists the series and does not show it by its id, so it is served as it was listed.
ALTER TABLE series ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;
CREATE INDEX series_unread ON series (calendar_id, id) WHERE unread = 1;

-- Differences that an audit found once more after it had had them read.
ALTER TABLE calendar ADD COLUMN audit_again INTEGER NOT NULL DEFAULT 0;

-- What the objects of calendars that are not there any more were at, so that SEQUENCE does not fall when they come back.
CREATE TABLE past (
	account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	uid        TEXT NOT NULL,
	sequence   INTEGER NOT NULL,
	stamp      INTEGER NOT NULL,
	PRIMARY KEY (account_id, uid)
) WITHOUT ROWID;

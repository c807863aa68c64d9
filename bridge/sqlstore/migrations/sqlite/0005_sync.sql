-- +goose Up

-- Address of the mailbox that a calendar is read from; '' is the account's own. The graph_id of a calendar of another
-- mailbox is that address, a space, and Graph's id, since ids are a mailbox's own.
ALTER TABLE calendar ADD COLUMN mailbox TEXT NOT NULL DEFAULT '';
ALTER TABLE calendar ADD COLUMN way TEXT NOT NULL DEFAULT '';           -- '' delta, 'view'
ALTER TABLE calendar ADD COLUMN audited INTEGER;
ALTER TABLE calendar ADD COLUMN audit_found INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calendar ADD COLUMN audit_due INTEGER;
ALTER TABLE account ADD COLUMN grouped INTEGER;                         -- when the calendar groups were read

-- The Graph subscription by which an account hears of changes, or why it has none.
CREATE TABLE subscription (
	account_id INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	graph_id   TEXT NOT NULL,                  -- '' where there is none
	state      BLOB NOT NULL,                  -- SHA-256 of the clientState, which is random
	url        TEXT NOT NULL,
	renew      INTEGER,
	expires    INTEGER,
	fault      TEXT NOT NULL
);

-- +goose Up

-- Subscriptions to calendars by WebDAV-Push.
CREATE TABLE push_subscription (
	id          TEXT PRIMARY KEY,
	user        TEXT NOT NULL,
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	endpoint    BLOB NOT NULL,                 -- keyed hash
	target      BLOB NOT NULL,                 -- sealed JSON of bridge.PushTarget
	expires     INTEGER NOT NULL,
	rev         INTEGER NOT NULL,              -- that the subscriber was last told of, or subscribed at
	failures    INTEGER NOT NULL DEFAULT 0,    -- since a message was last delivered
	not_before  INTEGER,                       -- of the next message
	UNIQUE (calendar_id, endpoint)
);
CREATE INDEX push_subscription_user ON push_subscription (user);

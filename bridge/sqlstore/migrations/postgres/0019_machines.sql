-- +goose Up

CREATE TABLE brief (
	kind    TEXT COLLATE "C" NOT NULL,
	hash    BYTEA NOT NULL,
	sealed  BYTEA NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (kind, hash)
);
CREATE INDEX brief_expires ON brief (expires);

CREATE TABLE lease (
	name  TEXT COLLATE "C" PRIMARY KEY,
	owner TEXT COLLATE "C" NOT NULL,
	until BIGINT NOT NULL
);

CREATE TABLE nudge (
	account TEXT COLLATE "C" PRIMARY KEY,
	reasons BIGINT NOT NULL
);

CREATE TABLE machine (
	id      TEXT COLLATE "C" PRIMARY KEY,
	name    TEXT COLLATE "C" NOT NULL,
	version TEXT COLLATE "C" NOT NULL,
	schema  BIGINT NOT NULL,
	address TEXT COLLATE "C" NOT NULL,
	since   BIGINT NOT NULL,
	seen    BIGINT NOT NULL
);

-- A notification may reach a machine that knows nothing of the subscription.
CREATE INDEX subscription_graph ON subscription (graph_id);

CREATE TABLE attempt (
	hash BYTEA PRIMARY KEY,
	next BIGINT NOT NULL
);

-- +goose Up

ALTER TABLE account ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN object_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN display_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN departed BIGINT;
CREATE UNIQUE INDEX account_identity ON account (tenant, object_id) WHERE object_id <> '';
CREATE INDEX account_departed ON account (departed) WHERE departed IS NOT NULL;

CREATE TABLE left_out (
	tenant       TEXT COLLATE "C" NOT NULL,
	object_id    TEXT COLLATE "C" NOT NULL,
	address      TEXT COLLATE "C" NOT NULL,
	display_name TEXT COLLATE "C" NOT NULL,
	reason       TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, object_id)
);

-- +goose Up

-- Who the person of an account is in the organization's directory: the tenant and the object id (tid and oid of a token), which
-- stay when a name or an address changes; '' where that is not known. An account of the origin 'directory' was made because its
-- person is a member of what the configuration names.
ALTER TABLE account ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN object_id TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
-- When the person left the members; NULL: has not. From then on nothing of the account is served.
ALTER TABLE account ADD COLUMN departed INTEGER;
CREATE UNIQUE INDEX account_identity ON account (tenant, object_id) WHERE object_id <> '';
CREATE INDEX account_departed ON account (departed) WHERE departed IS NOT NULL;

-- Members that have no account, and why.
CREATE TABLE left_out (
	tenant       TEXT NOT NULL,
	object_id    TEXT NOT NULL,
	address      TEXT NOT NULL,
	display_name TEXT NOT NULL,
	reason       TEXT NOT NULL,
	PRIMARY KEY (tenant, object_id)
);

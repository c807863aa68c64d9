-- +goose Up

-- When an app password or a feed was last used, to the hour, and the User-Agent of who used it.
ALTER TABLE password ADD COLUMN used INTEGER;
ALTER TABLE password ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE feed ADD COLUMN used INTEGER;
ALTER TABLE feed ADD COLUMN client TEXT NOT NULL DEFAULT '';

-- Whether the address of a feed is to stay readable, and its secret, sealed, where it does.
ALTER TABLE feed ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE feed ADD COLUMN sealed BLOB;

-- JSON of bridge.AccountOptions, of an account that was added on a page; '' where nothing was set.
ALTER TABLE account ADD COLUMN options TEXT NOT NULL DEFAULT '';

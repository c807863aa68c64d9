-- +goose Up

ALTER TABLE feed ADD COLUMN options TEXT NOT NULL DEFAULT '{}'; -- JSON of bridge.FeedOptions
ALTER TABLE feed ADD COLUMN changed INTEGER;                    -- NULL: never

-- +goose Up

-- Rounds that failed are in the history too: one row from the first to what came after the last of the same kind.
ALTER TABLE history ADD COLUMN fault TEXT NOT NULL DEFAULT '';     -- as in calendar; '': something was published
ALTER TABLE history ADD COLUMN until_at INTEGER;                        -- NULL: it has not ended
CREATE INDEX history_failing ON history (calendar_id) WHERE fault <> '' AND until_at IS NULL;

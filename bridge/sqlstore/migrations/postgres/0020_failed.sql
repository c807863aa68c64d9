-- +goose Up

ALTER TABLE history ADD COLUMN fault TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE history ADD COLUMN until_at BIGINT;
CREATE INDEX history_failing ON history (calendar_id) WHERE fault <> '' AND until_at IS NULL;

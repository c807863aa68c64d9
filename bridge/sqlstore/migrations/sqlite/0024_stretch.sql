-- +goose Up

-- In which chunks the occurrences of a stretch of a series are, by a hash that their ids have in common.
CREATE TABLE stretch (
	calendar_id INTEGER NOT NULL REFERENCES calendar (id) ON DELETE CASCADE,
	hash        TEXT NOT NULL,
	chunk       INTEGER NOT NULL,
	PRIMARY KEY (calendar_id, hash, chunk)
) WITHOUT ROWID;

-- It had a row for each occurrence.
DROP TABLE occurrence;

-- The program makes the hashes, and takes this away when it is done.
INSERT INTO meta (key, value) VALUES ('unhashed', x'31');

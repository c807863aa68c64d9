-- +goose Up

CREATE TABLE figure (
	calendar_id BIGINT PRIMARY KEY REFERENCES calendar (id) ON DELETE CASCADE,
	rev         BIGINT NOT NULL,
	counted     BIGINT NOT NULL,
	objects     BIGINT NOT NULL,
	losses      BIGINT NOT NULL
) WITH (fillfactor = 80);

-- It is empty between two publications. Where a vacuum gave its pages back then, statements planned at that moment would read all of it from
-- then on, however much is staged: each server keeps its plans.
ALTER TABLE staged SET (vacuum_truncate = false);

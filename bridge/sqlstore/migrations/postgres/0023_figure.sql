-- +goose Up

CREATE TABLE figure (
	calendar_id BIGINT PRIMARY KEY REFERENCES calendar (id) ON DELETE CASCADE,
	rev         BIGINT NOT NULL,
	counted     BIGINT NOT NULL,
	objects     BIGINT NOT NULL,
	losses      BIGINT NOT NULL
) WITH (fillfactor = 80);

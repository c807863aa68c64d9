-- +goose Up

-- What a probe has found out about an account's mailbox, JSON.
CREATE TABLE learned (
	account_id INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	learned    TEXT NOT NULL
);

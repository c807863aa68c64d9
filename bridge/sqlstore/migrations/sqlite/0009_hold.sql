-- +goose Up

-- Whether clients' changes of an account wait for somebody to confirm them, and when that was done last.
CREATE TABLE write_hold (
	account_id INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	since      INTEGER,
	confirmed  INTEGER
);

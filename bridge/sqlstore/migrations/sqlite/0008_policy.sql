-- +goose Up

-- The permissions that Microsoft has granted with the token, separated by spaces; '' where it has not said.
ALTER TABLE account ADD COLUMN granted TEXT NOT NULL DEFAULT '';
-- JSON of bridge.Policy, as set on the pages; '' where it was not.
ALTER TABLE account ADD COLUMN policy TEXT NOT NULL DEFAULT '';

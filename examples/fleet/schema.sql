-- What the example keeps, beside River's tables and icloud_store of sqlstore.

CREATE TABLE IF NOT EXISTS accounts (
	id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	apple_id   text NOT NULL UNIQUE,           -- in lower case
	password   bytea NOT NULL,                 -- sealed: see seal in connect.go
	issued     timestamptz NOT NULL,           -- when its owner generated it
	generation integer NOT NULL DEFAULT 1,     -- counts the passwords of the account
	state      text NOT NULL DEFAULT 'active', -- the name of an icloud.State
	expires    timestamptz,                    -- estimated; warn the owner before
	token      text NOT NULL DEFAULT '',       -- of icloud.Client.Sync; goes with the contacts
	synced     timestamptz,                    -- "last updated", for the owner to see
	hold       timestamptz,                    -- a doubted password is not asked about before
	due        timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS accounts_due ON accounts (due) WHERE state <> 'signed out';

CREATE TABLE IF NOT EXISTS contacts (
	account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
	id      text NOT NULL,        -- icloud.Contact.ID
	name    text NOT NULL,
	vcard   bytea NOT NULL,
	seen    timestamptz NOT NULL, -- now() of the transaction that wrote the row last
	PRIMARY KEY (account, id)
);

-- One row asks the owner of one dead password for a new one. Something that
-- sends mail reads it; the primary key is why nobody is asked twice.
CREATE TABLE IF NOT EXISTS notices (
	account    bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
	generation integer NOT NULL,
	reason     text NOT NULL,
	certainty  text NOT NULL,
	remedy     text NOT NULL,
	created    timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (account, generation)
);

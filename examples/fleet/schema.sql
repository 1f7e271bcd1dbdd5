-- The tables of the example. River has tables of its own, and so has sqlstore: its table
-- icloud_store has the state of each password. Join it by icloud_store.account = accounts.key.

CREATE TABLE IF NOT EXISTS accounts (
	id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	apple_id   text NOT NULL UNIQUE,           -- in lower case
	key        char(64) NOT NULL UNIQUE,       -- icloud.AccountKey
	password   bytea NOT NULL,                 -- sealed: see seal.go
	issued     timestamptz NOT NULL,           -- when its owner generated it
	generation integer NOT NULL DEFAULT 1,     -- counts the passwords of the account
	run        bigint NOT NULL DEFAULT 0,      -- counts the runs; only the latest may write
	token      text NOT NULL DEFAULT '',       -- of icloud.Client.Sync; goes with the contacts
	synced     timestamptz,                    -- "last updated", for the owner to see
	due        timestamptz NOT NULL
) WITH (fillfactor = 80);                      -- a poll updates the row twice, and its index once

CREATE INDEX IF NOT EXISTS accounts_due ON accounts (due);

CREATE TABLE IF NOT EXISTS contacts (
	account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
	id      text NOT NULL,   -- icloud.Contact.ID
	name    text NOT NULL,
	vcard   bytea NOT NULL,
	run     bigint NOT NULL, -- the run that wrote the row last
	PRIMARY KEY (account, id)
);

-- One row says that one password has ended, or ends soon. A program that sends mail reads
-- it. Because of the primary key nobody is told twice. A row that is withdrawn was wrong,
-- or is not true any more.
CREATE TABLE IF NOT EXISTS notices (
	account    bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
	generation integer NOT NULL,
	kind       text NOT NULL CHECK (kind IN ('ending', 'ended')),
	event      jsonb NOT NULL, -- icloud.Event: the reason, how certain it is, and the dates
	remedy     text NOT NULL,  -- for the owner, once it has ended
	created    timestamptz NOT NULL DEFAULT now(),
	withdrawn  timestamptz,
	PRIMARY KEY (account, generation, kind)
);

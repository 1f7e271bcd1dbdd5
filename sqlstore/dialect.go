// The statements, which differ from database to database.

package sqlstore

// Dialect is a kind of database. The zero value is not a Dialect: the methods of a Store
// with it return an error.
type Dialect int

const (
	PostgreSQL Dialect = iota + 1 // 9.5 or later
	MySQL                         // MySQL 5.7 or later, and MariaDB
	SQLite                        // 3.24 or later
)

// dialect is the statements that differ. The key's column is not called key, which
// MySQL reserves, and the table bears a name that an application is unlikely to
// have given to one of its own.
//
// Keys are of one width and one case, and compared byte by byte: by its default
// collation MySQL would take "A" for "a". updated_at is there for pruning alone,
// is set by the database's clock because workers' clocks differ, and has no
// index because every Save would pay for it and a scan once in a while is cheap.
//
// Times go to the database and come back as text in UTC. What drivers make of a
// time.Time depends on how a pool is configured. The default of due_at marks the
// rows that a version of this package without these columns has written.
//
// What reads several rows reads a page of them, so that neither memory nor a
// connection is held for as long as the caller takes.
type dialect struct {
	schema    string
	columns   []string // add to an older table what schema has; each may fail if it was done
	load      string   // key
	save      string   // key, data, and what columns returns
	unfilled  string   // a page of account and data
	fill      string   // what columns returns, key, data
	attention string   // a page after due_at, until, after due_at again, after account
	forget    string   // key
	layout    string   // of a time that is an argument
}

// layout is how a time comes back.
const layout = "2006-01-02 15:04:05.999999"

var dialects = map[Dialect]dialect{
	PostgreSQL: {
		schema: `CREATE TABLE IF NOT EXISTS icloud_store (
	account       char(64) PRIMARY KEY,
	data          bytea NOT NULL,
	updated_at    timestamptz NOT NULL,
	due_at        timestamptz DEFAULT '1970-01-01 00:00:00+00',
	confirmed     boolean,
	reason        varchar(16),
	last_accepted timestamptz
);
CREATE INDEX IF NOT EXISTS icloud_store_due ON icloud_store (due_at, account);
`,
		columns: []string{
			`ALTER TABLE icloud_store
	ADD COLUMN IF NOT EXISTS due_at timestamptz DEFAULT '1970-01-01 00:00:00+00',
	ADD COLUMN IF NOT EXISTS confirmed boolean,
	ADD COLUMN IF NOT EXISTS reason varchar(16),
	ADD COLUMN IF NOT EXISTS last_accepted timestamptz;
CREATE INDEX IF NOT EXISTS icloud_store_due ON icloud_store (due_at, account)`,
		},
		load: `SELECT data FROM icloud_store WHERE account = $1`,
		// The casts are for drivers that send text and do not ask the server
		// what it expects.
		save: `INSERT INTO icloud_store (account, data, updated_at, due_at, confirmed, reason, last_accepted)
VALUES ($1, $2, now(), CAST($3 AS timestamptz), CAST($4 AS boolean), CAST($5 AS text), CAST($6 AS timestamptz))
ON CONFLICT (account) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at, due_at = excluded.due_at,
confirmed = excluded.confirmed, reason = excluded.reason, last_accepted = excluded.last_accepted`,
		unfilled: `SELECT account, data, updated_at, confirmed, reason, last_accepted FROM icloud_store
WHERE due_at = '1970-01-01 00:00:00+00' ORDER BY account LIMIT 1000`,
		fill: `UPDATE icloud_store SET due_at = CAST($1 AS timestamptz), confirmed = CAST($2 AS boolean), reason = CAST($3 AS text),
last_accepted = CAST($4 AS timestamptz) WHERE account = $5 AND data = $6`,
		attention: `SELECT account, data, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
FROM icloud_store WHERE due_at >= CAST($1 AS timestamptz) AND due_at <= CAST($2 AS timestamptz)
AND (due_at > CAST($3 AS timestamptz) OR account > $4) ORDER BY due_at, account LIMIT 1000`,
		forget: `DELETE FROM icloud_store WHERE account = $1`,
		layout: "2006-01-02 15:04:05.000000+00",
	},
	MySQL: {
		// A BLOB would end at 64 KiB. TIMESTAMP would end in 2038.
		schema: `CREATE TABLE IF NOT EXISTS icloud_store (
	account       CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	data          MEDIUMBLOB NOT NULL,
	updated_at    DATETIME NOT NULL,
	due_at        DATETIME(6) DEFAULT '1970-01-01 00:00:00',
	confirmed     BOOLEAN,
	reason        VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
	last_accepted DATETIME(6),
	INDEX icloud_store_due (due_at, account)
) ENGINE=InnoDB;
`,
		columns: []string{
			`ALTER TABLE icloud_store
	ADD COLUMN due_at DATETIME(6) DEFAULT '1970-01-01 00:00:00',
	ADD COLUMN confirmed BOOLEAN,
	ADD COLUMN reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
	ADD COLUMN last_accepted DATETIME(6),
	ADD INDEX icloud_store_due (due_at, account)`,
		},
		load: `SELECT data FROM icloud_store WHERE account = ?`,
		// MySQL would rather have an alias than VALUES(), MariaDB has
		// VALUES() alone, and both take it.
		save: `INSERT INTO icloud_store (account, data, updated_at, due_at, confirmed, reason, last_accepted)
VALUES (?, ?, UTC_TIMESTAMP(), ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE data = VALUES(data), updated_at = VALUES(updated_at), due_at = VALUES(due_at),
confirmed = VALUES(confirmed), reason = VALUES(reason), last_accepted = VALUES(last_accepted)`,
		unfilled: `SELECT account, data, updated_at, confirmed, reason, last_accepted FROM icloud_store
WHERE due_at = '1970-01-01 00:00:00' ORDER BY account LIMIT 1000`,
		fill: `UPDATE icloud_store SET due_at = ?, confirmed = ?, reason = ?, last_accepted = ? WHERE account = ? AND data = ?`,
		attention: `SELECT account, data, DATE_FORMAT(updated_at, '%Y-%m-%d %H:%i:%s'), DATE_FORMAT(due_at, '%Y-%m-%d %H:%i:%s.%f')
FROM icloud_store WHERE due_at >= ? AND due_at <= ? AND (due_at > ? OR account > ?) ORDER BY due_at, account LIMIT 1000`,
		forget: `DELETE FROM icloud_store WHERE account = ?`,
		layout: "2006-01-02 15:04:05.000000",
	},
	SQLite: {
		schema: `CREATE TABLE IF NOT EXISTS icloud_store (
	account       TEXT NOT NULL PRIMARY KEY,
	data          BLOB NOT NULL,
	updated_at    TEXT NOT NULL,
	due_at        TEXT DEFAULT '1970-01-01 00:00:00.000000',
	confirmed     INTEGER,
	reason        TEXT,
	last_accepted TEXT
);
CREATE INDEX IF NOT EXISTS icloud_store_due ON icloud_store (due_at, account);
`,
		// The index comes early: a table that has the last column has it too,
		// even if a program has been interrupted.
		columns: []string{
			`ALTER TABLE icloud_store ADD COLUMN due_at TEXT DEFAULT '1970-01-01 00:00:00.000000'`,
			`CREATE INDEX IF NOT EXISTS icloud_store_due ON icloud_store (due_at, account)`,
			`ALTER TABLE icloud_store ADD COLUMN confirmed INTEGER`,
			`ALTER TABLE icloud_store ADD COLUMN reason TEXT`,
			`ALTER TABLE icloud_store ADD COLUMN last_accepted TEXT`,
		},
		load: `SELECT data FROM icloud_store WHERE account = ?`,
		save: `INSERT INTO icloud_store (account, data, updated_at, due_at, confirmed, reason, last_accepted)
VALUES (?, ?, datetime('now'), ?, ?, ?, ?)
ON CONFLICT (account) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at, due_at = excluded.due_at,
confirmed = excluded.confirmed, reason = excluded.reason, last_accepted = excluded.last_accepted`,
		// A name between double quotes that is no column would be a text to
		// SQLite; these are bare.
		unfilled: `SELECT account, data, updated_at, confirmed, reason, last_accepted FROM icloud_store
WHERE due_at = '1970-01-01 00:00:00.000000' ORDER BY account LIMIT 1000`,
		fill: `UPDATE icloud_store SET due_at = ?, confirmed = ?, reason = ?, last_accepted = ? WHERE account = ? AND data = ?`,
		attention: `SELECT account, data, updated_at, due_at
FROM icloud_store WHERE due_at >= ? AND due_at <= ? AND (due_at > ? OR account > ?) ORDER BY due_at, account LIMIT 1000`,
		forget: `DELETE FROM icloud_store WHERE account = ?`,
		layout: "2006-01-02 15:04:05.000000",
	},
}

// pageSize is the LIMIT of those statements.
const pageSize = 1000

// Schema returns the statements that create the table and its index if they do not exist,
// for programs that manage their schema with another tool. [Store.Create] executes the
// same statements. Only Create adds columns that the table of an older version lacks.
// Schema is "" if d is not one of the three Dialects.
func (d Dialect) Schema() string { return dialects[d].schema }

// The statements, which differ between databases.

package sqlstore

// Dialect is a kind of database. The zero value is not a Dialect: the methods of a Store
// with it return an error.
type Dialect int

const (
	PostgreSQL Dialect = iota + 1 // 9.5 or later
	MySQL                         // MySQL 5.7 or later, and MariaDB
	SQLite                        // 3.24 or later
)

// dialect has the statements for a database. The column of the key is not called key, which
// is a reserved word of MySQL, and the name of the table is one that an application is
// unlikely to use.
//
// Keys are compared byte by byte; by default MySQL would ignore the case. updated_at is
// used only to delete old rows. The database's clock sets it, because the clocks of workers
// differ. It has no index, which would make every Save slower.
//
// Times are written and read as text in UTC, because the treatment of a time.Time depends
// on the driver and its configuration. The default of due_at marks rows that an older
// version of this package, without these columns, has written.
//
// Statements that read several rows read a page of them, so that neither memory nor a
// connection is held while the caller works.
type dialect struct {
	schema    string
	columns   []string // add to an older table what it lacks; each fails if that exists
	load      string   // key
	save      string   // key, data, the fields of conclusion
	unfilled  string   // none; reads a page
	fill      string   // the fields of conclusion, key, data
	attention string   // due_at of the cursor, last, due_at and account of the cursor; reads a page
	forget    string   // key
	layout    string   // the layout of a time that is an argument
}

// layout is the layout of a time that is read.
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
		// The casts are for drivers that send text without a type.
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
		// A BLOB has at most 64 KiB, and a TIMESTAMP ends in 2038.
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
		// MySQL prefers an alias to VALUES(), which it deprecates. MariaDB has only
		// VALUES().
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
		// The index is created before the last columns, so that a table with all
		// columns has it, even if a program was interrupted.
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
		// The names have no double quotes, because SQLite takes a quoted name that is
		// not a column for a text.
		unfilled: `SELECT account, data, updated_at, confirmed, reason, last_accepted FROM icloud_store
WHERE due_at = '1970-01-01 00:00:00.000000' ORDER BY account LIMIT 1000`,
		fill: `UPDATE icloud_store SET due_at = ?, confirmed = ?, reason = ?, last_accepted = ? WHERE account = ? AND data = ?`,
		attention: `SELECT account, data, updated_at, due_at
FROM icloud_store WHERE due_at >= ? AND due_at <= ? AND (due_at > ? OR account > ?) ORDER BY due_at, account LIMIT 1000`,
		forget: `DELETE FROM icloud_store WHERE account = ?`,
		layout: "2006-01-02 15:04:05.000000",
	},
}

// pageSize is the LIMIT in the statements.
const pageSize = 1000

// Schema returns the statements that create the table and its index if they do not exist,
// for programs that manage their schema with another tool. [Store.Create] executes the
// same statements. Only Create adds columns that the table of an older version lacks.
// Schema is "" if d is not one of the three Dialects.
func (d Dialect) Schema() string { return dialects[d].schema }

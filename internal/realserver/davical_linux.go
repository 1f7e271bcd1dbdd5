package realserver

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const davicalScript = "/usr/share/davical/htdocs/caldav.php"

// davical starts DAViCal: PHP, with a PostgreSQL of its own behind it.
func davical(s *starting) (*Server, error) {
	for _, file := range []string{davicalScript, "/usr/share/awl/dba/awl-tables.sql", "/etc/davical"} {
		if _, err := os.Stat(file); err != nil {
			return nil, &missingError{"DAViCal is not installed"}
		}
	}
	if err := havePHP("pdo_pgsql", "xml"); err != nil {
		return nil, err
	}
	p, err := ports(1)
	if err != nil {
		return nil, err
	}
	db, err := s.postgres()
	if err != nil {
		return nil, err
	}
	if err := db.fill(); err != nil {
		return nil, err
	}
	// It looks for the configuration of its host before that of the machine, which
	// may name a real database: so the host's name leads here, until it has been
	// read.
	if err := s.write("davical-conf.php", `<?php
$_SERVER['SERVER_NAME'] = $c->domain_name = '127.0.0.1';
$c->pg_connect[] = 'host={{.Dir}}/postgres user=davical_app dbname=davical';
`, map[string]any{}); err != nil {
		return nil, err
	}
	if err := s.php(p[0], davicalScript, "../.."+s.path("davical")); err != nil {
		return nil, err
	}
	srv := server(p[0], "caldav.php/"+account+"/contacts/")
	srv.URL += "caldav.php/"
	srv.setPassword = func(password string) error {
		return db.sql("davical", fmt.Sprintf("UPDATE usr SET password = '**%s' WHERE username = '%s'", password, account))
	}
	srv.forgetTokens = func() error {
		// What its own clean-up does with tokens of more than a week.
		return db.sql("davical", "DELETE FROM sync_changes; DELETE FROM sync_tokens")
	}
	return srv, srv.makeBook()
}

// postgres is a running PostgreSQL, which is reached by a socket in its folder.
type postgres struct {
	bin, dir string
}

// postgres starts PostgreSQL. As root it runs as the user that its package made,
// because it refuses to be root.
func (s *starting) postgres() (*postgres, error) {
	// Debian keeps the programs of each version out of PATH.
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return nil, &missingError{"PostgreSQL is not installed"}
	}
	db := &postgres{bin: filepath.Dir(slices.Max(found)), dir: s.path("postgres")}
	if err := os.Mkdir(db.dir, 0o700); err != nil {
		return nil, err
	}
	var as *syscall.Credential
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, &missingError{"there is no user postgres"}
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(db.dir, uid, gid); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(db.bin, "initdb"), "--pgdata="+filepath.Join(db.dir, "data"),
		"--username=davical_app", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// No port, and nothing need reach a disk: the tests lose nothing by a crash.
	if err := s.runAs(as, nil, filepath.Join(db.bin, "postgres"), "-D", filepath.Join(db.dir, "data"), "-h", "", "-k", db.dir, "-F"); err != nil {
		return nil, err
	}
	return db, s.until(func() error { return db.sql("postgres", "CREATE DATABASE davical") })
}

// fill makes DAViCal's tables by the files that its package has for that, in the
// order of its script, and the account.
func (db *postgres) fill() error {
	if err := db.psql("davical", "-f", "/usr/share/awl/dba/awl-tables.sql", "-f", "/usr/share/awl/dba/schema-management.sql",
		"-f", "/usr/share/davical/dba/davical.sql"); err != nil {
		return err
	}
	update := exec.Command("/usr/share/davical/dba/update-davical-database", "--nopatch",
		"--dbname", "davical", "--dbuser", "davical_app", "--appuser", "davical_app", "--owner", "davical_app", "--dbhost", db.dir)
	update.Env = append(os.Environ(), db.env()...)
	if out, err := update.CombinedOutput(); err != nil {
		return fmt.Errorf("update-davical-database: %w\n%s", err, out)
	}
	if err := db.psql("davical", "-f", "/usr/share/davical/dba/base-data.sql"); err != nil {
		return err
	}
	return db.sql("davical", strings.NewReplacer("USER", account, "PASSWORD", password).Replace(
		`INSERT INTO usr (username, password, fullname, email, active, email_ok, updated)
		VALUES ('USER', '**PASSWORD', 'USER', 'USER@example.org', true, now(), now());
		INSERT INTO principal (type_id, user_no, displayname, default_privileges)
		SELECT 1, user_no, 'USER', 0::bit(24) FROM usr WHERE username = 'USER'`))
}

func (db *postgres) env() []string {
	return []string{"PGHOST=" + db.dir, "PGUSER=davical_app", "PGPORT=", "PGOPTIONS=--client-min-messages=warning"}
}

func (db *postgres) sql(database, command string) error { return db.psql(database, "-c", command) }

func (db *postgres) psql(database string, args ...string) error {
	cmd := exec.Command(filepath.Join(db.bin, "psql"), append([]string{"-qXAt", "-v", "ON_ERROR_STOP=1", "-d", database}, args...)...)
	cmd.Env = append(os.Environ(), db.env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w\n%s", err, out)
	}
	return nil
}

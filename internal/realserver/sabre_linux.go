package realserver

import (
	"fmt"
	"os"
	"os/exec"
)

// sabre starts a server of sabre/dav's library, in the version that Debian has,
// which knows no sync-collection yet. Its cards are in SQLite.
func sabre(s *starting) (*Server, error) {
	if _, err := os.Stat("/usr/share/php/Sabre/CardDAV/Plugin.php"); err != nil {
		return nil, &missingError{"php-sabre-dav is not installed"}
	}
	if err := havePHP("pdo_sqlite", "xml", "mbstring"); err != nil {
		return nil, err
	}
	p, err := ports(1)
	if err != nil {
		return nil, err
	}
	if err := s.write("password", "{{.Password}}", map[string]any{"Password": password}); err != nil {
		return nil, err
	}
	if err := s.write("tables.php", `<?php
$db = new PDO('sqlite:{{.Dir}}/sabre.sqlite');
$db->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$db->exec("
CREATE TABLE principals (id INTEGER PRIMARY KEY, uri TEXT UNIQUE, email TEXT, displayname TEXT, vcardurl TEXT);
CREATE TABLE groupmembers (id INTEGER PRIMARY KEY, principal_id INTEGER, member_id INTEGER);
CREATE TABLE addressbooks (id INTEGER PRIMARY KEY, principaluri TEXT, displayname TEXT, uri TEXT, description TEXT, ctag INTEGER);
CREATE TABLE cards (id INTEGER PRIMARY KEY, addressbookid INTEGER, carddata BLOB, uri TEXT, lastmodified INTEGER);
INSERT INTO principals (uri, displayname) VALUES ('principals/{{.User}}', '{{.User}}');
INSERT INTO addressbooks (principaluri, displayname, uri, ctag) VALUES ('principals/{{.User}}', 'Contacts', 'contacts', 1);
");
`, map[string]any{"User": account}); err != nil {
		return nil, err
	}
	if out, err := exec.Command("php-cgi", "-q", s.path("tables.php")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("php-cgi: %w\n%s", err, out)
	}
	if err := s.write("server.php", `<?php
error_reporting(E_ALL & ~E_DEPRECATED);
date_default_timezone_set('UTC');
require_once 'Sabre/autoload.php';

class OneUser extends Sabre\DAV\Auth\Backend\AbstractBasic {
	protected function validateUserPass($user, $password) {
		return $user === '{{.User}}' && $password === file_get_contents('{{.Dir}}/password');
	}
}

$db = new PDO('sqlite:{{.Dir}}/sabre.sqlite');
$db->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$principals = new Sabre\DAVACL\PrincipalBackend\PDO($db);
$server = new Sabre\DAV\Server(array(
	new Sabre\DAVACL\PrincipalCollection($principals),
	new Sabre\CardDAV\AddressBookRoot($principals, new Sabre\CardDAV\Backend\PDO($db)),
));
$server->setBaseUri('/');
$server->addPlugin(new Sabre\DAV\Auth\Plugin(new OneUser(), 'sabre'));
$server->addPlugin(new Sabre\CardDAV\Plugin());
$server->addPlugin(new Sabre\DAVACL\Plugin());
$server->exec();
`, map[string]any{"User": account}); err != nil {
		return nil, err
	}
	if err := s.php(p[0], s.path("server.php"), "127.0.0.1"); err != nil {
		return nil, err
	}
	srv := server(p[0], "addressbooks/"+account+"/contacts/")
	srv.setPassword = func(password string) error {
		return s.write("password", "{{.Password}}", map[string]any{"Password": password})
	}
	return srv, nil
}

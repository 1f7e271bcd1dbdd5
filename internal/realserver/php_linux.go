package realserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// havePHP says what is missing of PHP, of these modules, and of nginx.
func havePHP(modules ...string) error {
	for _, program := range []string{"nginx", "php-cgi"} {
		if _, err := find(program); err != nil {
			return err
		}
	}
	out, err := exec.Command("php-cgi", "-m").Output()
	if err != nil {
		return &missingError{"php-cgi does not run"}
	}
	have := strings.Fields(string(out))
	for _, module := range modules {
		if !slices.Contains(have, module) {
			return &missingError{"PHP's " + module + " is not installed"}
		}
	}
	return nil
}

// php starts PHP and nginx in front of it. Every path is answered by one script,
// which is reached under its own name, too: what comes after that is PATH_INFO.
// name is what PHP takes the server's name for.
func (s *starting) php(port int, script, name string) error {
	if err := s.run([]string{"PHP_FCGI_CHILDREN=2", "PHP_FCGI_MAX_REQUESTS=0"}, "php-cgi",
		"-d", "display_errors=0", "-d", "log_errors=1", "-b", s.path("php.sock")); err != nil {
		return err
	}
	if err := s.until(func() error {
		_, err := os.Stat(s.path("php.sock"))
		return err
	}); err != nil {
		return err
	}
	return s.nginx(port, `
    location ~ ^(?:/{{.Base}})?(/.*)$ {
      fastcgi_pass unix:{{.Dir}}/php.sock;
      fastcgi_param SCRIPT_FILENAME {{.Script}};
      fastcgi_param SCRIPT_NAME /{{.Base}};
      fastcgi_param PATH_INFO $1;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param SERVER_NAME {{.Name}};
      fastcgi_param SERVER_ADDR $server_addr;
      fastcgi_param SERVER_PORT $server_port;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param REDIRECT_STATUS 200;
    }`, map[string]any{"Script": script, "Base": filepath.Base(script), "Name": name})
}

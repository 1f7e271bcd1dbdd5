package realserver

import (
	"maps"
	"os"
	"os/user"
)

// nginx starts nginx in front of a server that speaks no HTTP, or asks for no
// password. server is what its server block has besides the port, a template over
// values.
func (s *starting) nginx(port int, server string, values map[string]any) error {
	if err := os.Mkdir(s.path("nginx"), 0o755); err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	values = maps.Clone(values)
	values["Me"], values["Port"] = me.Username, port
	// Who is not root cannot change the user; nginx then only warns.
	err = s.write("nginx.conf", `daemon off;
user {{.Me}};
worker_processes 1;
pid {{.Dir}}/nginx/pid;
error_log stderr;
events { worker_connections 128; }
http {
  access_log off;
  client_max_body_size 20m;
  client_body_temp_path {{.Dir}}/nginx/body;
  proxy_temp_path {{.Dir}}/nginx/proxy;
  fastcgi_temp_path {{.Dir}}/nginx/fastcgi;
  uwsgi_temp_path {{.Dir}}/nginx/uwsgi;
  scgi_temp_path {{.Dir}}/nginx/scgi;
  server {
    listen 127.0.0.1:{{.Port}};`+server+`
  }
}
`, values)
	if err != nil {
		return err
	}
	if err := s.run(nil, "nginx", "-p", s.dir, "-e", "stderr", "-c", s.path("nginx.conf")); err != nil {
		return err
	}
	return s.await(port)
}

# PostgreSQL and MariaDB for the tests of sqlstore/drivertest. To be sourced:
#
#	source .ci/databases.sh
#	trap databases_stop EXIT
#	databases_start
#
# databases_start exports ICLOUD_TEST_POSTGRES and ICLOUD_TEST_MYSQL, the DSNs of
# empty databases on free ports of 127.0.0.1, in folders of their own. As root
# it installs what is missing of Debian's packages; otherwise it takes
# what there is. A database that cannot be had is named on standard error, its
# variable stays unset, and its tests skip. It works under set -euo pipefail.

databases_dir=
databases_pids=()

databases_start() {
	databases_dir=$(mktemp -d "${TMPDIR:-/tmp}/icloud-databases.XXXXXX")
	# The servers run as other users and must get through to their folders.
	chmod 0711 "$databases_dir"
	unset ICLOUD_TEST_POSTGRES ICLOUD_TEST_MYSQL
	databases_install || true
	databases_postgres || databases_missing PostgreSQL "$databases_dir/postgres.log"
	databases_mariadb || databases_missing MariaDB "$databases_dir/mariadb.log"
}

# databases_stop stops what databases_start has started, by process id, and
# removes its folders. Calling it again does nothing.
databases_stop() {
	local pid tries
	for pid in ${databases_pids[@]+"${databases_pids[@]}"}; do
		# To PostgreSQL INT says: do not wait for clients to leave; MariaDB
		# knows TERM alone, and gets it if it is still there.
		kill -INT "$pid" 2>/dev/null || continue
		for ((tries = 0; tries < 100; tries++)); do
			kill -0 "$pid" 2>/dev/null || break
			if ((tries == 5)); then kill -TERM "$pid" 2>/dev/null || true; fi
			if ((tries == 90)); then kill -KILL "$pid" 2>/dev/null || true; fi
			sleep 0.1
		done
		wait "$pid" 2>/dev/null || true
	done
	databases_pids=()
	if [[ -n $databases_dir ]]; then rm -rf "$databases_dir"; fi
	databases_dir=
	unset ICLOUD_TEST_POSTGRES ICLOUD_TEST_MYSQL
}

# databases_missing says why there is no database, with the log's last lines.
databases_missing() {
	echo "no $1: its tests will skip" >&2
	if [[ -s $2 ]]; then tail -n 5 "$2" >&2; fi
}

# databases_install installs the packages that are missing, if it may.
databases_install() {
	local want=() policy=/usr/sbin/policy-rc.d made=
	# The core packages are the servers without a service, a user, or a
	# configuration; PostgreSQL's has them all in one.
	databases_pgbin >/dev/null || want+=(postgresql)
	[[ -x /usr/sbin/mariadbd && -x /usr/bin/mariadb-install-db ]] || want+=(mariadb-server-core)
	[[ -x /usr/bin/mariadb ]] || want+=(mariadb-client-core)
	if ((${#want[@]} == 0)); then return 0; fi
	if ((EUID != 0)) || ! command -v apt-get >/dev/null; then return 1; fi
	# Debian starts a service when it is installed, unless this file says no.
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		made=1
	fi
	local rc=0 log=$databases_dir/install.log apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
	# An update that fails may be for want of a repository that is not needed.
	"${apt[@]}" update >"$log" 2>&1 </dev/null || true
	DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${want[@]}" >>"$log" 2>&1 </dev/null || rc=$?
	if [[ -n $made ]]; then rm -f "$policy"; fi
	if ((rc != 0)); then tail -n 5 "$log" >&2; fi
	return "$rc"
}

# databases_pgbin prints the folder of PostgreSQL's programs, which Debian keeps
# out of PATH: that of the newest version.
databases_pgbin() {
	local found
	found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
	[[ -x $found ]] || return 1
	dirname "$found"
}

# databases_user makes a folder that belongs to a user, and sets the array
# databases_as to the command that runs another as that user. Both servers
# refuse to run as root; whoever else calls this runs them as himself.
databases_user() { # folder user...
	local folder=$1 user
	shift
	mkdir -m 0700 "$folder"
	databases_as=()
	if ((EUID != 0)); then return 0; fi
	for user; do
		if id "$user" >/dev/null 2>&1; then
			chown "$user:$(id -g "$user")" "$folder"
			databases_as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
			return 0
		fi
	done
	return 1
}

# databases_port prints a port that nobody listens on, below those that the
# kernel gives to outgoing connections. Someone may be faster; callers try again.
databases_port() {
	local port tries
	for ((tries = 0; tries < 50; tries++)); do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return 0; }
	done
	return 1
}

# databases_await waits until a command succeeds, for as long as a process lives
# and for a minute at most.
databases_await() { # pid command...
	local pid=$1 tries
	shift
	for ((tries = 0; tries < 600; tries++)); do
		kill -0 "$pid" 2>/dev/null || return 1
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	return 1
}

databases_postgres() {
	local bin port pid tries dir=$databases_dir/postgres log=$databases_dir/postgres.log
	bin=$(databases_pgbin) || return 1
	databases_user "$dir" postgres || return 1
	local as=(${databases_as[@]+"${databases_as[@]}"})
	# Tests lose nothing by a crash: what is written need not reach the disk.
	(cd / && "${as[@]+"${as[@]}"}" "$bin/initdb" --pgdata="$dir/data" --username=icloud --auth=trust --encoding=UTF8 --no-locale --no-sync) >"$log" 2>&1 || return 1
	for ((tries = 0; tries < 5; tries++)); do
		port=$(databases_port) || return 1
		(cd / && exec "${as[@]+"${as[@]}"}" "$bin/postgres" -D "$dir/data" -p "$port" -h 127.0.0.1 -k "$dir" -F -c max_connections=200) >>"$log" 2>&1 </dev/null &
		pid=$!
		databases_pids+=("$pid")
		if databases_await "$pid" "$bin/psql" -X -h 127.0.0.1 -p "$port" -U icloud -d postgres -c 'CREATE DATABASE icloud_test'; then
			export ICLOUD_TEST_POSTGRES="postgres://icloud@127.0.0.1:$port/icloud_test?sslmode=disable"
			return 0
		fi
	done
	return 1
}

databases_mariadb() {
	local port pid tries dir=$databases_dir/mariadb log=$databases_dir/mariadb.log
	[[ -x /usr/sbin/mariadbd && -x /usr/bin/mariadb-install-db && -x /usr/bin/mariadb ]] || return 1
	# The core package has no user of its own; nobody will do.
	databases_user "$dir" mysql nobody || return 1
	local as=(${databases_as[@]+"${databases_as[@]}"})
	(cd / && "${as[@]+"${as[@]}"}" mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db) >"$log" 2>&1 </dev/null || return 1
	for ((tries = 0; tries < 5; tries++)); do
		port=$(databases_port) || return 1
		(cd / && exec "${as[@]+"${as[@]}"}" /usr/sbin/mariadbd --no-defaults --datadir="$dir/data" --socket="$dir/socket" --pid-file="$dir/pid" --tmpdir="$dir" \
			--bind-address=127.0.0.1 --port="$port" --max-connections=200 --innodb-flush-log-at-trx-commit=0) >>"$log" 2>&1 </dev/null &
		pid=$!
		databases_pids+=("$pid")
		if databases_await "$pid" mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port="$port" --user=root -e 'CREATE DATABASE icloud_test'; then
			export ICLOUD_TEST_MYSQL="root@tcp(127.0.0.1:$port)/icloud_test"
			return 0
		fi
	done
	return 1
}

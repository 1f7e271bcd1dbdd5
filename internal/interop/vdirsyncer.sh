#!/bin/sh
# Synchronizes a folder of cards with a CardDAV server by vdirsyncer, both ways.
#
#   vdirsyncer.sh FOLDER URL USER <password
#
# The first time it finds the address book and fetches the cards into
# FOLDER/cards/card; what has changed there since is then sent, and the other way.
set -eu
folder=$1 url=$2 user=$3
if [ ! -e "$folder/config" ]; then
	cat >"$folder/password"
	mkdir -p "$folder/cards"
	cat >"$folder/config" <<-CONFIG
		[general]
		status_path = "$folder/status/"
		[pair contacts]
		a = "local"
		b = "remote"
		collections = ["from b"]
		conflict_resolution = "b wins"
		[storage local]
		type = "filesystem"
		path = "$folder/cards/"
		fileext = ".vcf"
		[storage remote]
		type = "carddav"
		url = "$url"
		username = "$user"
		password.fetch = ["command", "cat", "$folder/password"]
	CONFIG
	# It asks before it makes the local folder.
	echo y | vdirsyncer --config "$folder/config" discover contacts
fi
vdirsyncer --config "$folder/config" sync

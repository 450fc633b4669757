# In the root of our layer: modes of the scripts, and the directories that named volumes take their
# owner from. $1 is the cache entry of the base layer, which knows the numbers of its users.
set -eu
chmod 755 usr usr/local usr/local/bin usr/local/bin/*
numbers() { awk -F: -v user="$1" '$1 == user { print $3 ":" $4 }' "$2/passwd"; }
postgres=$(numbers postgres "$1") redis=$(numbers redis "$1")
install -d var var/lib
install -d -m 700 -o "${postgres%:*}" -g "${postgres#*:}" var/lib/postgresql/data
install -d -m 750 -o "${redis%:*}" -g "${redis#*:}" var/lib/redis
chown "$postgres" var/lib/postgresql
install -d -m 755 etc/shop work

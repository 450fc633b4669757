#!/bin/bash
# PostgreSQL as the official image starts it: a cluster is made in an empty PGDATA, then served.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -D "$PGDATA" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync \
        --auth-local=trust --auth-host=scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    printf '%s\n' "listen_addresses = '*'" "jit = off" "shared_buffers = 32MB" >>"$PGDATA/postgresql.conf"
    sync -f "$PGDATA"
fi
exec postgres -D "$PGDATA" -k /tmp "$@"

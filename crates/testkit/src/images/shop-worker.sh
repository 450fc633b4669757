#!/bin/bash
# Appends numbered rows to the database and remembers which of them were acknowledged.
#
# A line `NUMBER NANOSECONDS` goes into /acked/log after the database has said that the row is
# committed, and never before. Then the number goes to Redis. So at any instant, over all places:
# numbers in Redis <= numbers in the log <= rows in the database. Whoever recovers must keep that.
set -u
export PGPASSWORD="$POSTGRES_PASSWORD" PGHOST=${PGHOST:-db} PGUSER=postgres PGCONNECT_TIMEOUT=3

trap 'exit 0' TERM INT

# One psql for the whole run: a process a row would measure the machine and not the app.
work() {
    local number again reply
    coproc PG { exec psql -XqAt -v ON_ERROR_STOP=1 2>&1; }
    local in=${PG[1]} out=${PG[0]}
    exec 5<>"/dev/tcp/${REDIS_HOST:-cache}/6379" || return
    echo "set client_min_messages = error; create table if not exists ledger (n bigint primary key, at timestamptz default now(), filler text);" >&"$in"
    echo "select 'next', coalesce(max(n), 0) + 1 from ledger;" >&"$in"
    IFS='|' read -r -t 10 again number <&"$out" || return
    [ "$again" = next ] || { echo "database: $again"; return; }
    while :; do
        echo "insert into ledger (n, filler) values ($number, repeat(md5('$number'), 8)) returning n;" >&"$in" || return
        IFS= read -r -t 30 reply <&"$out" || return
        [ "$reply" = "$number" ] || { echo "database: $reply"; return; }
        echo "$number ${EPOCHREALTIME/./}000" >>/acked/log || return
        printf 'SET last %s\r\n' "$number" >&5 || return
        IFS= read -r -t 30 reply <&5 || return
        [ "${reply%$'\r'}" = +OK ] || { echo "redis: $reply"; return; }
        number=$((number + 1))
        read -r -t "${PACE:-0.01}" -u 6 again || :
    done
}

# Nothing is ever written here: reading it with a time-out is a pause that needs no process.
exec 6<> <(:)
while :; do
    work 2>&1
    [ -z "${PG_PID:-}" ] || { kill "$PG_PID"; wait "$PG_PID"; } 2>/dev/null
    exec 5>&-
    read -r -t 0.2 -u 6 again || :
done

# What the service does on a machine that boots: each line "ok …" or "not ok …".
exec 2>&1
check() {
    what=$1
    shift
    if "$@"; then echo "ok $what"; else
        echo "not ok $what"
        systemctl status lifeboat --no-pager -n 20
    fi
}
within() { # seconds, then a command
    left=$1
    shift
    while [ "$left" -gt 0 ]; do
        "$@" >/dev/null 2>&1 && return 0
        sleep 1
        left=$((left - 1))
    done
    return 1
}
pid() { systemctl show -p MainPID --value lifeboat; }
running() { [ "$(docker inspect -f '{{.State.Running}}' web)" = true ]; }

check "the service is up" within 60 systemctl is-active lifeboat
check "it said itself that it is ready" test "$(systemctl show -p NotifyAccess --value lifeboat)" = main
check "the engine is up" within 120 docker info
docker load -i /root/busybox.tar >/dev/null
docker run -d --name web --restart no -l lifeboat.supervise=true lifeboat/busybox:latest \
    sh -c 'while true; do sleep 1; done' >/dev/null
check "a container runs" within 20 running
within 30 sh -c 'lifeboat status | grep -q web'
kill -9 "$(docker inspect -f '{{.State.Pid}}' web)"
check "killed, it is back" within 30 running
before=$(pid)
systemctl reload lifeboat
check "reloaded in the same process" test "$(pid)" = "$before"
check "and it answers" within 30 lifeboat status
printf 'no toml at [all\n' >/etc/lifeboat/lifeboat.toml
systemctl reload lifeboat
sleep 3
check "settings that cannot be read are not taken" test "$(pid)" = "$before"
rm /etc/lifeboat/lifeboat.toml
begin=$(date +%s)
systemctl stop lifeboat
took=$(($(date +%s) - begin))
check "stopped within ten seconds ($took s)" test "$took" -le 10
systemctl start lifeboat
first=$(pid)
kill -STOP "$first"
check "hung, it is replaced by the watchdog" within 150 sh -c "[ \"\$(systemctl show -p MainPID --value lifeboat)\" != $first ] && systemctl is-active lifeboat"
check "and it answers again" within 30 lifeboat status
check "a vault can be made under the unit's folders" lifeboat init --sheet /root/sheet.txt
systemctl restart lifeboat
check "a backup freezes and thaws the app" lifeboat backup web
check "nothing failed" test "$(systemctl --failed --no-legend | wc -l)" = 0
systemd-analyze security lifeboat.service --no-pager | tail -1
echo "CHECK ENDS"

# Kills whatever belongs to the engine whose directory is $1: the engine, its containerd, the shims,
# the proxies, the processes of its containers. They are found by what is mounted where they live:
# the engine's own /etc/docker (named by the token $2), or the files that the engine mounts into
# each container. Nothing is ever found by its name. The process $3 is left alone.
dir=$1 token=$2 except=$3

# With mapped ids (userns-remap) an engine has a data root within its data root.
ids() {
    for all in "$dir"/data/containers "$dir"/data/[0-9]*.[0-9]*/containers; do
        ls "$all" 2>/dev/null
    done
}
patterns() {
    echo "/etc-docker-$token /etc/docker "
    for id in $(ids); do echo "/containers/$id/"; done
}
mine() {
    patterns | grep -lF -f - /proc/[0-9]*/mountinfo 2>/dev/null | sed 's,^/proc/\([0-9]*\)/.*,\1,'
}

passes=0
while [ $passes -lt 200 ]; do
    left=
    for pid in $(mine); do
        [ "$pid" != "$except" ] && [ "$pid" != $$ ] && [ -d "/proc/$pid" ] || continue
        left=$pid
        # With cgroups v1 a process that is frozen dies only when it is thawed.
        group=$(sed -n 's,^[0-9]*:freezer:,,p' "/proc/$pid/cgroup" 2>/dev/null)
        case $group in
            ?*) (echo THAWED >"/sys/fs/cgroup/freezer$group/freezer.state") 2>/dev/null ;;
        esac
        kill -9 "$pid" 2>/dev/null
    done
    [ -n "$left" ] || break
    passes=$((passes + 1))
    sleep 0.02
done

for id in $(ids); do
    for group in /sys/fs/cgroup/docker/"$id" /sys/fs/cgroup/*/docker/"$id"; do
        [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    done
done
[ -z "$left" ] || { echo "process $left of the engine in $dir does not end" >&2; exit 1; }

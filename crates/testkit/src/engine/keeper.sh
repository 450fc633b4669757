# Runs in a new mount, network and UTS namespace and holds them for as long as the engine lives, so
# that an engine that is killed and started again finds its network and its mounts, as on a host.
#
# stdin is a pipe whose other end the test holds. When it closes, however the test ended, everything
# that the engine left is taken away. The word `keep` lets the engine outlive the test.
set -eu
dir=$1 token=$2 hostname=$3 cleanup=$4

[ -z "$hostname" ] || printf %s "$hostname" >/proc/sys/kernel/hostname

# A sysfs mounted in the network namespace shows its devices; the controllers have to come along.
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"

# An own /etc/docker is an own engine id; an own /run hides the machine's containerd and sockets.
mount --bind "$dir/etc-docker-$token" /etc/docker
mount --bind "$dir/run" /run

ip link set lo up
echo ready

word=
read -r word || true
if [ "$word" = keep ]; then
    exec sleep infinity </dev/null >/dev/null 2>&1
fi
exec >/dev/null 2>&1
cd /
sh -c "$cleanup" cleanup "$dir" "$token" $$
# What the containers had mounted is still mounted here, and only here.
while read -r _ _ _ _ at _; do
    case $at in "$dir"/* | /run/*) echo "$at" ;; esac
done </proc/self/mountinfo | sort -r | while read -r at; do umount -l "$at"; done
# The engine's directory goes last: without it nobody could find what is left.
rm -rf "$dir"

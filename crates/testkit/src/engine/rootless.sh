# Runs in new mount, network and UTS namespaces and becomes a user's own engine: the distribution's
# script, started without rights. Nothing of the machine's own settings is changed: the ranges of ids
# and the device for its network are put over the machine's in this namespace alone.
set -eu
dir=$1 hostname=$2
printf %s "$hostname" >/proc/sys/kernel/hostname
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"
for file in /etc/subuid /etc/subgid; do
    mount --bind "$dir/subids" "$file"
done
mknod "$dir/tun" c 10 200
chmod 666 "$dir/tun"
mount --bind "$dir/tun" /dev/net/tun
ip link set lo up
exec setpriv --reuid daemon --regid daemon --clear-groups --pdeathsig KILL \
    env -i HOME="$dir/home" XDG_RUNTIME_DIR="$dir/run" \
    PATH=/usr/share/docker.io/contrib:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    dockerd-rootless.sh --storage-driver vfs

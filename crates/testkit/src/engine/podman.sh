# Runs in new mount, network and UTS namespaces and becomes Podman's service.
set -eu
dir=$1 hostname=$2
printf %s "$hostname" >/proc/sys/kernel/hostname
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"
mount --bind "$dir/machine-run" /run
ip link set lo up
# Its usual limits are above the machine's hard ones.
cat >"$dir/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$dir/networks"
CONF
cat >"$dir/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$dir/root"
runroot = "$dir/run"
CONF
export CONTAINERS_CONF="$dir/containers.conf" CONTAINERS_STORAGE_CONF="$dir/storage.conf"
exec setpriv --pdeathsig KILL podman --root "$dir/root" --runroot "$dir/run" \
    system service --time 0 "unix://$dir/podman.sock"

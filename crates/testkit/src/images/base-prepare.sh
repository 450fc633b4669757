# In the root of the image, before its packages are configured: no service is started, no cluster
# is made, and what nobody reads is not unpacked.
set -eu
mkdir -p etc/postgresql-common etc/dpkg/dpkg.cfg.d usr/sbin
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
echo 'create_main_cluster = false' >etc/postgresql-common/createcluster.conf
printf 'path-exclude=%s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' >etc/dpkg/dpkg.cfg.d/slim

# In the root of the image, at the end: takes away what no running service reads.
set -eu
rm -rf usr/sbin/policy-rc.d debootstrap
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/lintian usr/share/bug
rm -rf usr/share/i18n usr/share/bash-completion usr/share/postgresql/*/man usr/share/common-licenses
rm -rf var/cache var/lib/apt/lists var/log var/lib/dpkg/info/*.md5sums var/lib/dpkg/*-old
rm -rf usr/lib/*/libLLVM* usr/lib/*/libz3.so* usr/lib/llvm* usr/lib/postgresql/*/lib/bitcode usr/lib/postgresql/*/lib/llvmjit*
rm -rf usr/lib/*/perl usr/lib/*/libperl* usr/share/perl usr/share/perl5 usr/lib/*/gconv
rm -rf usr/lib/*/systemd usr/lib/systemd lib/systemd usr/lib/*/libsystemd-shared*
rm -f etc/resolv.conf etc/hostname
# Debian's clients are wrappers in Perl that look for clusters in /etc; these are the programs.
for program in usr/lib/postgresql/*/bin/*; do ln -sf "/$program" usr/bin/; done
mkdir -p var/cache var/log tmp
chmod 1777 tmp

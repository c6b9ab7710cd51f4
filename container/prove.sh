#!/usr/bin/env bash
# Runs the steps of the container recipe where no container can be built: in an empty Debian 12, made by
# mmdebstrap, that shares nothing with this machine but its kernel, its network and its certificates.
# From the commit that is checked out, down to a dry-run of the thesis and one small table. Needs root and takes
# minutes and 10 GB below $TMPDIR, all removed at the end; a part of `make prove`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v mmdebstrap >/dev/null && [ "$(id -u)" = 0 ] ||
    { echo 'container: not proved, which needs root and mmdebstrap (apt install mmdebstrap)' && exit 0; }
root=$(mktemp -d)

leave() { # nothing is removed below a folder of this machine that is still mounted there
    local place
    for place in dev proc; do umount -l "$root/$place" 2>/dev/null || true; done
    if ! grep -q " $root/" /proc/mounts; then rm -rf --one-file-system "$root"; fi
}
trap leave EXIT

inside() { # a command in the root, with a bare environment and what reaches the package servers
    env -i HOME=/root PATH=/opt/ssl_ood/.venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 \
        SSL_CERT_FILE=/lent/certificates.pem PIP_CERT=/lent/certificates.pem \
        ${UV_DEFAULT_INDEX:+UV_DEFAULT_INDEX="$UV_DEFAULT_INDEX"} ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
        chroot "$root" bash -euc "$1"
}

step() { printf '== container: %s (%s s)\n' "$1" "$SECONDS"; }

step 'an empty Debian 12'
mmdebstrap --quiet --variant=minbase --include=bash bookworm "$root"
mkdir -p "$root/lent" "$root/opt/ssl_ood" "$root/work"
cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/lent/certificates.pem"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev"
git archive HEAD | tar -x -C "$root/opt/ssl_ood"
step 'the steps of both recipes'
inside /opt/ssl_ood/container/install.sh
step 'the version that the image tells'
[ "$(inside 'ssl_ood --version')" != 0.1.0+unknown ]
step 'a dry-run of the thesis'
inside 'cd /work && snakemake -s /opt/ssl_ood/Snakefile all -n --quiet rules --config strict=true | grep total'
step 'one small table'
inside 'cd /work && snakemake -s /opt/ssl_ood/Snakefile table_protocol_choices --cores 1 --quiet all &&
    wc -l results/tables/table_protocol_choices.csv'
step 'done'

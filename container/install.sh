#!/bin/sh
# What both recipes run, in a Debian 12 as root: the programs that `make env` needs, then the environment of
# the clone in /opt/ssl_ood, pinned and hashed like everywhere else. `make prove` runs it in an empty root.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
    ca-certificates gcc git libc6-dev make python3 python3-dev python3-venv
rm -rf /var/lib/apt/lists/*
cd /opt/ssl_ood
UV_NO_CACHE=1 make env
.venv/bin/ssl_ood --version

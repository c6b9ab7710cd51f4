#!/usr/bin/env bash
# Resolves the lock for Pythons and processors that are not at hand, with wheels only: says which of them could
# install the environment without a compiler, installs nothing. A part of `make prove`; needs the package index
# and takes two minutes.
#
# Two packages have no wheel: connection-pool anywhere (pure Python, any Python builds it), and immutables, of
# C, for Python 3.14 (`make env` compiles it, with gcc). Nothing else may lack one, where the C library is glibc
# 2.31 or newer (2.28 on aarch64).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=${UV:-.venv/bin/uv}
failed=0

resolve() { # Python, platform, packages that may be built from source
    local python=$1 platform=$2 sources=() name
    shift 2
    for name; do sources+=(--no-binary "$name"); done
    if said=$("$uv" pip compile --quiet --no-header --no-annotate --python-version "$python" \
        --python-platform "$platform" --only-binary :all: "${sources[@]}" envs/requirements.txt 2>&1); then
        printf 'wheels: Python %s on %s: %s packages, from source: %s\n' "$python" "$platform" \
            "$(grep -c '==' <<<"$said")" "$*"
    else
        printf 'wheels: Python %s on %s: NOT RESOLVED\n%s\n' "$python" "$platform" "$said"
        failed=1
    fi
}

for platform in x86_64-manylinux_2_31 aarch64-unknown-linux-gnu; do
    for python in 3.11 3.12 3.13; do resolve "$python" "$platform" connection-pool; done
    resolve 3.14 "$platform" connection-pool immutables
done
exit "$failed"

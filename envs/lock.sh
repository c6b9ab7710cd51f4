#!/usr/bin/env bash
# `make lock`: writes envs/requirements.txt from requirements.in, then envs/torch-cuda12.txt, which has
# only what differs for CUDA 12, envs/docs.txt, which is apart from both, and envs/opponents.txt, which has
# only what benchmarks/speed.py compares with beside. Options are handed to uv: --upgrade takes the newest
# of everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. envs/parts.sh
lock=envs/requirements.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' "$@"
}

compile "$@" envs/requirements.in --output-file "$lock"
# Everything but torch stays at the version of the lock, or this ends with an error.
other_part "$lock" | sed -n 's/ *\\$//; /^[a-z]/p' >"$work/others.txt"
compile --constraints "$work/others.txt" envs/requirements.in envs/torch-cuda12.in \
    --output-file "$work/cuda12.txt"
{
    sed -n '/^#/p' "$lock"
    torch_part "$work/cuda12.txt"
} >"$work/torch-cuda12.txt"
mv "$work/torch-cuda12.txt" envs/torch-cuda12.txt
compile "$@" envs/docs.in --output-file envs/docs.txt

# The opponents of the benchmark: on top of the lock, whose versions stay as they are.
sed -n 's/ *\\$//; /^[a-z]/p' "$lock" >"$work/pinned.txt"
compile "$@" --constraints "$work/pinned.txt" envs/opponents.in --output-file "$work/opponents.txt"
{
    sed -n '/^#/p' "$lock"
    entries_beside "$lock" "$work/opponents.txt"
} >"$work/opponents-only.txt"
mv "$work/opponents-only.txt" envs/opponents.txt

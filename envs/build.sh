#!/usr/bin/env bash
# Builds the environment `.venv` from envs/requirements.txt: pinned, every file checked against its hash.
# `make env` runs it when the requirements changed; PYTHON=/path/to/python3.12 chooses the interpreter,
# CUDA=12, 13 or cpu the build of torch. An environment keeps the build that it has until it is asked
# for another one.
#   13    the lock as it is (the default)
#   12    for older drivers: torch and its libraries from envs/torch-cuda12.txt, all else from the lock
#   cpu   no CUDA libraries, 5 GB less. The default index has no such build for Linux: TORCH_INDEX names
#         the index that has it. The hashes of these two packages are those which that index gives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. envs/parts.sh
venv=.venv
lock=envs/requirements.txt

fail() {
    printf 'make env: %s\n' "$*" >&2
    exit 2
}

recent() { # is $1 a Python that this project supports?
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

version() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo 'not runnable'
}

find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null ||
            fail "PYTHON=$PYTHON is not a program; give the path of a Python 3.11 or newer"
        recent "$PYTHON" || fail "PYTHON=$PYTHON is Python $(version "$PYTHON"), but 3.11 or newer is needed"
        echo "$PYTHON"
        return
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$name" >/dev/null && recent "$name"; then
            echo "$name"
            return
        fi
    done
    command -v python3 >/dev/null || fail 'no python3 on the PATH; install Python 3.11 or newer'
    fail "python3 is Python $(version python3), but 3.11 or newer is needed;" \
        "install one, or name it: make env PYTHON=/path/to/python3.12"
}

# The pinned, hashed entry of one package: cut out of the lock, which stays the only list of versions.
locked() {
    awk -v name="$1==" 'index($0, name) == 1 { on = 1 } on { print } on && !/\\$/ { exit }' "$lock"
}

# Pip is here for one thing: to install uv, which then installs the rest in a tenth of the time.
install_uv() {
    local want=$venv/uv.txt
    local options=(--quiet --disable-pip-version-check --require-hashes --only-binary :all:)
    locked uv >"$want"
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        "$venv/bin/python" -m pip install "${options[@]}" -r "$want"
    elif "$python" -m pip --python "$venv/bin/python" --version >/dev/null 2>&1; then
        "$python" -m pip --python "$venv/bin/python" install "${options[@]}" -r "$want"
    else
        fail "$python can make no environment with pip (the module ensurepip is missing)" \
            "and has no pip itself; on Debian and Ubuntu: sudo apt install python3-venv"
    fi
}

# The version of a package in the lock.
pin() {
    locked "$1" | sed -n "s/^$1==\([^ ]*\).*/\1/p"
}

choose_cuda() {
    local chosen=${CUDA:-${built:-13}}
    case $chosen in
        13) ;;
        12)
            [[ $OSTYPE == linux* && $HOSTTYPE == x86_64 ]] ||
                fail 'CUDA=12 is for Linux on x86_64; other machines take CUDA=13'
            ;;
        cpu)
            [[ $OSTYPE != linux* || -n ${TORCH_INDEX:-} ]] ||
                fail "CUDA=cpu needs TORCH_INDEX=..., the address of a package index that has" \
                    "torch $(pin torch)+cpu and torchvision $(pin torchvision)+cpu: the default index has" \
                    "none for Linux; without it, CUDA=13 runs on a processor too and takes 5 GB more"
            ;;
        *) fail "CUDA=$chosen is not known; it can be 12, 13 or cpu" ;;
    esac
    echo "$chosen"
}

# What is to be installed, all of it with hashes.
requirements() {
    if [ "$cuda" = 12 ]; then
        other_part "$lock"
        torch_part envs/torch-cuda12.txt
    elif [ "$cuda" = cpu ] && [[ $OSTYPE == linux* ]]; then
        other_part "$lock"
        printf '%s\n' "torch==$(pin torch)+cpu" "torchvision==$(pin torchvision)+cpu" |
            "$uv" pip compile --quiet --python "$venv/bin/python" --no-deps --generate-hashes \
                --no-header --no-annotate --no-emit-index-url --no-emit-find-links ${index[@]+"${index[@]}"} -
    else
        cat "$lock"
    fi
}

say() { printf '%-52s' "$1"; }
now() { date +%s; }
done_since() { printf '%4d s\n' $(($(now) - $1)); }

python=$(find_python)
built=
if [ -e "$venv/cuda.txt" ]; then read -r built <"$venv/cuda.txt"; fi
cuda=$(choose_cuda)
# To uv, torch 2.0+cpu is as good as the 2.0 that it is asked for.
again=()
if [ "${built:-$cuda}" != "$cuda" ]; then
    again=(--reinstall-package torch --reinstall-package torchvision)
fi
begin=$(now)
wanted=${PYTHON:+$(version "$python")}
used=$(version "$venv/bin/python")
if ! recent "$venv/bin/python" || [ "$used" != "${wanted:-$used}" ]; then
    echo 'environment: made once, in minutes at most; takes 7 GB of disk'
    say "environment: $venv with Python $(version "$python")"
    rm -rf "$venv"
    if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv "$venv"
    else
        "$python" -m venv --without-pip "$venv" 2>/dev/null ||
            fail "$python has no module venv; on Debian and Ubuntu: sudo apt install python3-venv"
    fi
    done_since "$begin"
fi

uv=$venv/bin/uv
pinned=$(pin uv)
if [ "$("$uv" --version 2>/dev/null | cut -d ' ' -f 2)" != "$pinned" ]; then
    begin=$(now)
    say "environment: installer (uv $pinned)"
    install_uv || fail 'pip could not install uv; its message stands above'
    done_since "$begin"
fi

# Compiled here and now: torch takes three times as long to import from source, and every job imports
# it again. What comes as source is built with pinned, hashed tools too: that is the build constraint.
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
index=()
if [ "$cuda" = cpu ] && [ -n "${TORCH_INDEX:-}" ]; then
    # From the best of both indexes: every version is pinned, and every file has a hash.
    index=(--index "$TORCH_INDEX" --index-strategy unsafe-best-match)
fi
begin=$(now)
all=$venv/requirements.txt
requirements >"$all" ||
    fail "TORCH_INDEX has no torch $(pin torch)+cpu and torchvision $(pin torchvision)+cpu for this" \
        "Python; the message stands above"
case $cuda in cpu) build='for the processor' ;; *) build="for CUDA $cuda" ;; esac
say "environment: up to $(grep -c '==' "$all") packages, $build"
"$uv" pip sync --quiet --python "$venv/bin/python" --require-hashes --build-constraints "$all" \
    ${index[@]+"${index[@]}"} ${again[@]+"${again[@]}"} --compile-bytecode "$all" ||
    fail 'the packages could not be installed; the message stands above.' \
        'After a lost connection run it again, it goes on where it was.' \
        'Behind a mirror set UV_DEFAULT_INDEX: uv does not read the configuration of pip'
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
done_since "$begin"
echo "$cuda" >"$venv/cuda.txt"
touch "$venv/.built"

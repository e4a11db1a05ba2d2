#!/bin/sh
# Makes .venv with every extra; says in one sentence what to install where something is missing.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

usable() {
    "$1" -c 'import sys; sys.exit(not ((3, 12) <= sys.version_info[:2] < (3, 15)))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3.12 python3.13 python3.14 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[234]*/bin/python3; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_python) || fail "no Python 3.12, 3.13 or 3.14 was found; install one (Debian: apt-get install python3.12" \
    "python3.12-venv) or set PYTHON to its path."
compiler=${CC:-}
for candidate in cc gcc clang; do
    [ -n "$compiler" ] || compiler=$(command -v $candidate || true)
done
[ -n "$compiler" ] || fail "no C compiler was found, and DOLFINx compiles its forms with one; install gcc" \
    "(Debian: apt-get install build-essential)."

if ! usable .venv/bin/python; then
    rm -rf .venv
    "$python" -m venv .venv || fail "'$python -m venv' failed; install its venv module" \
        "(Debian: apt-get install python3-venv)."
fi
echo "setup: installing pspgen_pyro with all extras into .venv (torch brings 5.5 GB on Linux)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[cluster,fem,dev,docs,rivals]' ||
    fail "the installation failed; read the message above, and call make again."
touch .venv/installed

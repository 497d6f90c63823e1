# Sourced by deploy/run and tests/setup.sh.
# shellcheck shell=bash

# install_packages LIST...: installs those Debian packages of the list files that are missing. What
# it has to say goes to standard error.
install_packages() {
    local wanted installed package missing=() sudo=()
    mapfile -t wanted < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@")
    # One call for all: this runs at every start.
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
    for package in "${wanted[@]}"; do
        [[ $'\n'$installed$'\n' == *$'\n'"installed $package"$'\n'* ]] || missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    if ! command -v apt-get >/dev/null; then
        echo "this is not Debian; missing here are its packages: ${missing[*]}" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "as root, install first: apt-get install ${missing[*]}" >&2
            return 1
        fi
        sudo=(sudo)
    fi
    echo "installing: ${missing[*]}" >&2
    local apt=(apt-get -qq -y --no-install-recommends -o Acquire::Retries=3
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    "${sudo[@]}" "${apt[@]}" update </dev/null >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "${apt[@]}" install "${missing[@]}" \
        </dev/null >&2
}

#!/usr/bin/env bash
# Debian packages from lists.
#   tools/deps.sh check LIST…    names what is missing and fails
#   tools/deps.sh install LIST…  installs what is missing, as root or with sudo
set -euo pipefail

mode=$1
shift

# On a system without dpkg the build itself reports what it lacks.
command -v dpkg-query >/dev/null || exit 0

missing=()
for package in $(sed 's/#.*//' "$@"); do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [[ $status == *"ok installed" ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $mode == check ]]; then
  echo "Missing Debian packages: ${missing[*]}" >&2
  echo "\`make deps\` installs them." >&2
  exit 1
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "Installing packages needs root or sudo. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

echo "Installing: ${missing[*]}"
# Package lists are fetched only where they are absent or too old to serve.
if ! apt install --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
  apt update >/dev/null
  apt install --no-install-recommends "${missing[@]}" >/dev/null
fi

#!/bin/bash
# The first command on a blank Jetson: sudo bash setup.sh --key ID
#
# Checks every file of the offline package before it uses one, needs no network, and may be run
# again at any time: what it makes for itself is removed when it ends, whatever it ends with, and
# what stays on the device is made by `scanside device provision`, step by step.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: sudo bash setup.sh (--key ID | --allow-unsigned) [--dry-run] [-- OPTION OF PROVISION...]

  --key ID           whose package this must be: the key's id, or its first 16 digits, as whoever
                     made the package told you by another way than the package itself
  --allow-unsigned   take a package that carries no signature (a trial, never a clinic)
  --dry-run          check everything, change nothing
TEXT
}

say() { printf '%s\n' "$*"; }

fail() { # what is wrong, what to do
  local red='' plain=''
  if [ -t 2 ]; then red=$'\033[31m' plain=$'\033[0m'; fi
  printf '%s%s%s\n  next: %s\n' "$red" "$1" "$plain" "$2" >&2
  exit 20
}

key='' unsigned='' dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --key) [ $# -ge 2 ] || fail '--key needs an id' 'see --help'; key=$2; shift 2 ;;
    --allow-unsigned) unsigned=yes; shift ;;
    --dry-run) dry=yes; shift ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; exit 2 ;;
  esac
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cd "$here"

# 1. The sums, by the system's own tool, before anything of the package runs but this.
[ -f SHA256SUMS ] && [ -f package.json ] ||
  fail 'setup.sh lies in no whole package' 'unpack scanside-VERSION-jpJETPACK.tar again'
bad=$(sha256sum --check --strict --quiet SHA256SUMS 2>/dev/null) ||
  fail "not what was packed: $(printf '%s' "${bad:-SHA256SUMS}" | cut -d: -f1 | head -n 3 | tr '\n' ' ')" \
    'copy the package again; the medium may be failing'
said() { sed -n "s/.*\"$1\":\"\([0-9A-Za-z._+-]*\)\".*/\1/p" package.json; }
wanted=$(said python) version=$(said version) jetpack=$(said jetpack)
say "= Scanside $version for JetPack $jetpack: every file is what was packed"

# 2. The machine.
python=/usr/bin/python3
[ "$(uname -m)" = aarch64 ] ||
  fail "this machine is $(uname -m), the package is for aarch64" 'run it on the Jetson'
found=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
  fail "$python does not start" 'flash the device again, or: apt install python3'
[ "$found" = "$wanted" ] ||
  fail "$python is $found, the package is for Python $wanted (JetPack $jetpack)" \
    "take the package of this device's JetPack"
[ -n "$dry" ] || [ "$(id -u)" = 0 ] || fail 'this changes the system' "sudo bash $here/setup.sh ..."
[ -z "$key" ] || [ -z "$unsigned" ] || fail '--key and --allow-unsigned exclude each other' 'see --help'
if [ -z "$key" ] && [ -z "$unsigned" ] && ! compgen -G '/etc/scanside/trust/*.pub' >/dev/null; then
  fail 'no key is trusted on this device yet' \
    'ask whoever made the package for the id of their key, then: sudo bash setup.sh --key ID'
fi
scratch_room=1024
room=$("$python" -I -c 'import shutil; print(shutil.disk_usage("/var/tmp").free >> 20)')
[ "$room" -ge "$scratch_room" ] ||
  fail "only $room MiB are free in /var/tmp, $scratch_room are needed" 'free some, then run it again'

# 3. A passing environment that can run `scanside device`; provision makes the one that stays.
scratch=$(mktemp -d /var/tmp/scanside-setup.XXXXXXXX)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
export PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Of the wheels those that were summed: what else lies there, of an older copy say, was not checked.
pip='' wheels=()
while read -r _ file; do
  case $file in
    wheels/pip-*.whl) pip=$file ;;
    wheels/*.whl) wheels+=("$file") ;;
  esac
done <SHA256SUMS
[ -n "$pip" ] || fail 'the package holds no pip' 'have it made again'
say '+ a passing environment from the wheels, without a network'
"$python" -I -m venv --system-site-packages --without-pip "$scratch/env" ||
  fail 'no environment can be made' "$python must be Ubuntu's own"
"$scratch/env/bin/python" -I "$pip/pip" install --quiet --no-deps --no-compile --ignore-installed \
  "${wheels[@]}" || fail 'the wheels cannot be installed' 'see what pip says above'
scanside=$scratch/env/bin/scanside

# 4. What the device is, and what it is to become. A blank device is red in places: provision
# refuses by itself what must not be provisioned, and a package of another key than was typed.
"$scanside" device doctor || true
provision=("$scanside" device provision --package "$here")
[ -z "$key" ] || provision+=(--key "$key")
[ -z "$unsigned" ] || provision+=(--allow-unsigned)
[ -z "$dry" ] || provision+=(--dry-run)
"${provision[@]}" "$@" || exit

if [ -n "$dry" ]; then
  say 'a dry run: nothing was changed'
  exit 0
fi
say ''
bundle=$(find bundles -name '*.scanside' 2>/dev/null | sort | head -n 1)
say "next: sudo scanside device install '$here/${bundle:-FILE.scanside}'${unsigned:+ --allow-unsigned}"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/dns/changes.sh REGISTRIES   Start from the compiled form, memory, and the tail of latency while 100 changes a
# second arrive, NSD beside it. B: build directory (default build); REGIONS (60, each registry in a set of its own), ROUNDS
# (3), SECS (4), DATA: where data sets are kept (default B/bench-data). See bench/README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
case ${1:-} in '' | *[!0-9]*) sed -n '3,5s/^# //p' "$0" >&2; exit 2 ;; esac
n=$1 B=${B:-$top/build} regions=${REGIONS:-60}
[ "$(id -u)" = 0 ] || { echo "changes.sh: run as root: servers are pinned and have their own directories" >&2; exit 1; }
[ -f "$B/build.ninja" ] || meson setup "$B" "$top" >/dev/null
ninja -C "$B" bench daemon/meridiand cli/meridian >/dev/null
data=${DATA:-$B/bench-data}/${n}x${regions}a
[ -e "$data/change.json" ] || python3 "$here/gen.py" "$n" "$data" --regions "$regions" --arbitrary
echo "$n registries in sets of $regions regions; $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
exec setsid -w taskset -c 1 python3 "$here/changes.py" --build "$B" --data "$data" --rounds "${ROUNDS:-3}" --seconds "${SECS:-4}"

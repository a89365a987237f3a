#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/dns/run.sh REGISTRIES [SERVER...]   Meridian's resolver beside what is installed of nsd, knot and gdnsd, and an
# echo as the ceiling. B: build directory (default build); REGIONS (8), ROUNDS (7), SECS (2) of each, LIMIT (120 s for a
# start or a change), DATA: where data sets are kept (default B/bench-data). See bench/README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
case ${1:-} in '' | *[!0-9]*) sed -n '3,5s/^# //p' "$0" >&2; exit 2 ;; esac
n=$1 B=${B:-$top/build} regions=${REGIONS:-8}
shift
[ $# -gt 0 ] || set -- meridian echo nsd knot gdnsd
[ "$(id -u)" = 0 ] || { echo "run.sh: run as root: servers are pinned and have their own directories" >&2; exit 1; }
[ -f "$B/build.ninja" ] || meson setup "$B" "$top" >/dev/null
ninja -C "$B" bench daemon/meridiand cli/meridian >/dev/null
data=${DATA:-$B/bench-data}/${n}x$regions
[ -e "$data/change.json" ] || python3 "$here/gen.py" "$n" "$data" --regions "$regions"
echo "$n registries, $regions regions; $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
taskset -c 1 "$B/bench/dns/dns_cost" "$data/topology.yaml" "$data/queries.txt"
exec setsid -w taskset -c 1 python3 "$here/bench.py" --build "$B" --data "$data" --rounds "${ROUNDS:-7}" --seconds "${SECS:-2}" --limit "${LIMIT:-120}" "$@"

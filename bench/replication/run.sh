#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures replication next to what else copies images: run.sh [options of bench.py]
#
#   run.sh                                          all rows, three rounds of each: about 40 minutes
#   run.sh --quick --rounds 1                       smaller images and fewer tags: some minutes
#   run.sh --rows small-live,far-small              only those
#
# As root: three regions in network namespaces, with real daemons. Beside them, where they are installed (Debian: skopeo
# docker-registry rsync curl): skopeo sync to a docker-registry, rsync --fsync of the files, curl over the same line.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root (network namespaces)" >&2; exit 1; }
export MERIDIAN_BUILD=$(cd "${BUILD:-$here/../../build}" && pwd)
ninja -C "$MERIDIAN_BUILD" daemon/meridiand cli/meridian bench/replication/replication_relay > /dev/null
exec python3 "$here/bench.py" "$@"

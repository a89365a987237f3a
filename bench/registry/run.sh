#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures a region's data plane next to other servers on this machine: run.sh [options of bench.py]
#
#   run.sh --build ../../build                     all cases, every server that is installed, 3 rounds
#   run.sh --cases ad --targets meridian --rounds 1
#   run.sh --cases futl --disk /srv                 what writes; on that disk too (default: that of the build; none)
#
# As root: users and host names are bound over in a mount namespace of its own, nothing of the host is changed. Servers
# listen on 127.30.0.0/24 and store in a temporary folder under /dev/shm, so that the disk is not measured. The cases
# f, u, t and l run on a real disk as well, below figures of the disk alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root (a mount namespace, and the edge's users)" >&2; exit 1; }
for t in nginx curl wrk ab openssl python3 taskset; do
    command -v $t >/dev/null || { echo "run.sh: $t is missing (Debian: nginx-light curl wrk apache2-utils openssl python3 util-linux)" >&2; exit 1; }
done
ulimit -n "$(ulimit -Hn)"
exec unshare -m --propagation private -- python3 "$here/bench.py" "$@"

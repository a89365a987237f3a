#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures logins under floods of logins: run.sh [BUILD]
#
# As root: one region in a network namespace of its own, attackers and clients outside of it, on the same processors.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root (network namespaces)" >&2; exit 1; }
export MERIDIAN_BUILD=$(cd "${1:-$here/../../build}" && pwd)
exec python3 "$here/bench.py"

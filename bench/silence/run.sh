#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How soon a cut is shown, and how soon all is everywhere after one of CUT_S seconds (75), in which TCP has backed off for a
# minute. As root: three regions in network namespaces. Prints the figures of docs/performance.md.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$here/build}
ninja -C "$build" > /dev/null
cd "$here/tests/system"
i=0
while [ "$i" -lt "${ROUNDS:-3}" ]; do
    CUT_S=${CUT_S:-75} MERIDIAN_BUILD=$build python3 test_silence.py Silence.test_1_a_cut_is_shown_and_healing_is_quick
    i=$((i + 1))
done 2>&1 | grep -E ' s$|FAILED|Error'

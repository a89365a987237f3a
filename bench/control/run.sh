#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The control feed with many registries, on the disk of DIR: bench/control/run.sh [REGISTRIES [CHANGES [BUILD [DIR]]]]
set -eu
cd "$(dirname "$0")/../.."
build=${3:-build}
ninja -C "$build" bench/control/control_feed >/dev/null
dir=$(mktemp -d "${4:-/var/tmp}/control-feed.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$build/bench/control/control_feed" "${1:-500000}" "${2:-10000}" "$dir"

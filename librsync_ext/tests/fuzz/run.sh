#!/bin/sh
# Build the fuzz targets with clang's libFuzzer, ASan and UBSan, and run each for $1 seconds (default 60).
# Usage: tests/fuzz/run.sh [seconds] [target...]; works in $FUZZ_DIR (default: a new temporary folder).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
package=$here/../../src/tarragon_librsync
seconds=${1:-60}
[ $# -gt 0 ] && shift
work=${FUZZ_DIR:-$(mktemp -d)}
for target in ${*:-signature patch search}; do
    mkdir -p "$work/$target"
    clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        -DTL_LEAST_NEED=1 -DTL_WASTE_FREE=4096 \
        -I"$package/kernel" -I"$package" "$here/fuzz_$target.c" "$package"/kernel/*.c -o "$work/fuzz_$target"
    "$work/fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=25 -print_final_stats=1 \
        "$work/$target" "$here/corpus/$target"
done

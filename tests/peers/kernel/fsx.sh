#!/bin/sh
# fsx.sh PROGRAM CONFIGURATION OPERATIONS, in /mnt
set -eu
cd /mnt
"$1" -f "$2" -N "$3" -S 7 -P "$TMPDIR" tested >"$TMPDIR/fsx.log" 2>&1 || { tail -40 "$TMPDIR/fsx.log"; exit 1; }
rm tested
echo fsx done

#!/bin/sh
# fsx.sh PROGRAM CONFIGURATION OPERATIONS WITHOUT, in /mnt. WITHOUT names operations to leave out: `map.*|punch_hole`.
set -eu
cd /mnt
sed -E "s/^(${4:-none}) = .*/\\1 = 0/" "$2" >"$TMPDIR/fsx.toml"
"$1" -f "$TMPDIR/fsx.toml" -N "$3" -S 7 -P "$TMPDIR" tested >"$TMPDIR/fsx.log" 2>&1 || { tail -40 "$TMPDIR/fsx.log"; exit 1; }
rm tested
echo fsx done

# /mnt was mounted with two channels: the client says so, and uses them.
count() { sed -n 's/.*Channel count: \([0-9]*\).*/\1/p; s/.*Channels: \([0-9]*\).*/\1/p' /proc/fs/cifs/DebugData | head -1; }
grep -A40 'Channel\|Interfaces' /proc/fs/cifs/DebugData | head -60
everyday /mnt/everyday
for n in 1 2 3 4; do
    (dd if=/dev/urandom of=/mnt/big-$n bs=1M count=8 conv=fsync 2>/dev/null; cksum <"/mnt/big-$n" >"$TMPDIR/sum-$n") &
done
wait
echo 3 >/proc/sys/vm/drop_caches
for n in 1 2 3 4; do cksum <"/mnt/big-$n" | cmp - "$TMPDIR/sum-$n"; rm "/mnt/big-$n"; done
grep -q 'Extra Channels: 1\|Channel: 2\|\[CONNECTED\|Channel count: 2' /proc/fs/cifs/DebugData
echo channels done

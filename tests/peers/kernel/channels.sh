# /mnt was mounted with two channels: the client says that it has them, and uses them. After `everyday.sh`.
grep -q 'Extra Channels: 1' /proc/fs/cifs/DebugData
grep -q 'Channel: 2 ConnectionId: 0x2' /proc/fs/cifs/DebugData
everyday /mnt/everyday
for n in 1 2 3 4; do
    (
        dd if=/dev/urandom of="$TMPDIR/big-$n" bs=1M count=4 2>/dev/null
        cp "$TMPDIR/big-$n" "/mnt/big-$n"
    ) &
done
wait
sync
echo 3 >/proc/sys/vm/drop_caches
for n in 1 2 3 4; do
    cmp "$TMPDIR/big-$n" "/mnt/big-$n"
    rm "/mnt/big-$n"
done
echo channels done

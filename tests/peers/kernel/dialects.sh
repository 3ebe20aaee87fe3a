# Mounts that differ in dialect, caching and protection, one after the other.
for options in "$@"; do
    kc-mount "$TMPDIR/share" "nosharesock,$options"
    everyday "$TMPDIR/share/everyday"
    umount "$TMPDIR/share"
    echo "with $options: done"
done

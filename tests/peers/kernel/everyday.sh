# What anybody does with a share, in a directory of its own: everyday DIRECTORY
everyday() (
    mkdir "$1"
    cd "$1"
    cp "$TMPDIR/sent" here
    sync
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$TMPDIR/sent" here
    mkdir -p deep/er
    mv here deep/er/there
    test -f deep/er/there
    test ! -e here
    ls -l deep/er | grep -q 3000000
    truncate -s 10 deep/er/there
    test "$(stat -c %s deep/er/there)" = 10
    printf more >>deep/er/there
    test "$(stat -c %s deep/er/there)" = 14
    touch -d '2020-01-02 03:04:05 UTC' deep/er/there
    test "$(stat -c %Y deep/er/there)" = 1577934245
    for n in $(seq 100); do : >"many-$n"; done
    test "$(ls | grep -c ^many-)" = 100
    rm many-*
    df . >/dev/null
    rm -r deep
    test -z "$(ls -A)"
    cd /
    rmdir "$1"
)
head -c 3000000 /dev/urandom >"$TMPDIR/sent"

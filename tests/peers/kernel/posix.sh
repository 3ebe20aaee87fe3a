# The POSIX extensions, as Linux' client uses them with the mount option `posix`.
grep -q ' /mnt cifs .*posix' /proc/mounts
cd /mnt
umask 022
mkdir d
mkdir -m 711 e
echo text >plain
(umask 077 && mkdir f && echo secret >secret)
ln plain d/linked
: >'a:b?'
shown() { test "$(stat -c %a "$1")" = "$2"; }
for again in no yes; do
    shown d 755
    shown e 711
    shown f 700
    shown plain 644
    shown secret 600
    test "$(stat -c %h plain)" = 2
    # What this client has in its caches is forgotten, the files' attributes among it.
    cd / && umount /mnt && kc-mount /mnt posix && cd /mnt
done
listed() { ls -l | grep -q -e "$1"; }
listed '^drwxr-xr-x .* d$'
listed '^drwx------ .* f$'
listed '^-rw-r--r-- .* plain$'
listed '^-rw------- .* secret$'
listed ' a:b?$'
# Linux before 6.13 sends a chmod only with `modefromsid`.
cd / && umount /mnt && kc-mount /mnt posix,modefromsid && cd /mnt
chmod 640 plain
chmod 750 d
(umask 077 && mkdir g && echo secret >hidden)
cd / && umount /mnt && kc-mount /mnt posix && cd /mnt
shown plain 640
shown d 750
shown g 700
shown hidden 600
df . >/dev/null
rm -r d e f g plain secret hidden 'a:b?'
test -z "$(ls -A)"
echo posix done

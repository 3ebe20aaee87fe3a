# The kernel's NFS server with a client of its own, and the commands that ask it. The argument is our binary.
# The server's tools are not needed: what they would answer to the kernel about exports is written in advance
# (nfsd(7), /proc/net/rpc).
shareward=$1
mkdir -p /run/export /run/mounted
mount -t tmpfs export /run/export
mkdir /run/export/plan
echo text >/run/export/plan/report.docx
echo text >/run/export/plan/free.txt
modprobe nfsd
modprobe nfsv4
mount -t nfsd nfsd /proc/fs/nfsd
"$shareward" session && exit 1 || echo "without threads: $?"
echo "-3 +4" >/proc/fs/nfsd/versions
echo 10 >/proc/fs/nfsd/nfsv4gracetime
echo 2 >/proc/fs/nfsd/threads
forever=2147483647
# 0x2402: from any port, without checks of subtrees, with the number of the file system that follows the ids.
echo "nfsd 127.0.0.1 $forever all" >/proc/net/rpc/auth.unix.ip/channel
echo "all 1 \\x00000000 $forever /run/export" >/proc/net/rpc/nfsd.fh/channel
echo "all /run/export $forever $((0x2402)) 65534 65534 0" >/proc/net/rpc/nfsd.export/channel
# There is nobody to wait for; some kernels have noticed that themselves.
echo Y 2>/dev/null >/proc/fs/nfsd/v4_end_grace || :
mount -i -t nfs4 -o addr=127.0.0.1,clientaddr=127.0.0.1,vers=4.2,sec=sys 127.0.0.1:/ /run/mounted

mkfifo /run/ready /run/go
python3 -c '
import fcntl
held = open("/run/mounted/plan/report.docx", "r+")
fcntl.lockf(held, fcntl.LOCK_EX, 10, 0)
open("/run/ready", "w").close()
open("/run/go").read()
' &
cat /run/ready
echo "--- session"
"$shareward" session --verbose
echo "--- file"
"$shareward" file --verbose
"$shareward" file --json
echo "--- who"
"$shareward" who /run/export/plan/report.docx
"$shareward" who /run/export/plan
"$shareward" who /run/export/plan/free.txt
"$shareward" wait /run/export/plan/report.docx --timeout 0 && exit 1 || echo "still open: $?"
id=$("$shareward" session --json | grep '"id"' | tr -dc 0-9)
file=$("$shareward" file --json | grep '"id"' | tr -dc 0-9)
"$shareward" file "$file" /close /y && exit 1 || echo "no close: $?"
echo "--- delete"
grep -c 'type: lock' "/proc/fs/nfsd/clients/$id/states"
"$shareward" session --id "$id" /delete /y
test ! -e "/proc/fs/nfsd/clients/$id" && echo "client $id has gone"
"$shareward" session --id "$id" /delete /y
echo go >/run/go
umount -l /run/mounted
"$shareward" wait /run/export --timeout 60s
echo "nfsd done"

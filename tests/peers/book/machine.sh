# Makes the machine on which the commands of the documents run, in the namespaces of this process: this machine with an
# own name, network and process table, and with private directories in place of those that the commands change.
#
# usage: sh machine.sh ROOT; prints the id of this process, as its parent sees it, when the machine is ready, or "no overlay"
# if the kernel has no overlay file system. The machine ends with the end of standard input.
set -e
root=$1
read -r pid rest </proc/self/stat

mount -t proc proc /proc
hostname files
for place in etc home mnt run srv var/cache var/lib var/log; do
    mount --bind "$root/$place" "/$place"
done
# Programs can be installed; they take memory until the machine ends.
mkdir "$root/usr"
mount -t tmpfs -o mode=755 tmpfs "$root/usr"
mkdir "$root/usr/upper" "$root/usr/work"
mount -t overlay -o "lowerdir=/usr,upperdir=$root/usr/upper,workdir=$root/usr/work" overlay /usr || {
    echo "no overlay"
    exit
}
install -m 755 "$root/stand-ins/"* /usr/local/sbin

# The addresses of the documents' computers are all this machine.
ip link set lo up
for address in 192.0.2.7 192.0.2.8; do
    ip address add "$address/32" dev lo
done
echo "$pid"

# A shell that waits collects the processes that have lost their parents.
exec 3<&0
cat <&3 &
wait

#!/bin/sh
# Two machines and a router between their networks, as network namespaces:
#
#   near (192.0.2.2) --- 192.0.2.1 server 198.51.100.1 --- quiet (198.51.100.2)
#                                                            and far (203.0.113.2), which it routes
#
# The server announces itself on the first network only. Prints a line for each observation.
# Usage: discovery.sh PREFIX BINARY CONFIG SCRATCH PYTHON-SCRIPT
set -eu
prefix=$1 binary=$2 config=$3 scratch=$4 client=$5
server=$prefix-s near=$prefix-n quiet=$prefix-q
pids=
clean() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for space in "$server" "$near" "$quiet"; do ip netns del "$space" 2>/dev/null || true; done
}
trap clean EXIT
for space in "$server" "$near" "$quiet"; do ip netns add "$space"; ip -n "$space" link set lo up; done
link() { # SPACE INTERFACE SERVER-ADDRESS ADDRESS
    ip -n "$server" link add "$2" type veth peer name eth0 netns "$1"
    ip -n "$server" addr add "$3/24" dev "$2"
    ip -n "$server" link set "$2" up
    ip -n "$1" addr add "$4/24" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" route add default via "$3"
}
link "$near" lan 192.0.2.1 192.0.2.2
link "$quiet" other 198.51.100.1 198.51.100.2
# An address that is not of the network, on the near machine: its packets reach the server, too.
ip -n "$near" addr add 203.0.113.2/24 dev eth0
ip -n "$server" route add 203.0.113.0/24 via 192.0.2.2
ip -n "$server" addr add 2001:db8::1/64 dev lan nodad
ip -n "$near" addr add 2001:db8::2/64 dev eth0 nodad
at() { space=$1; shift; ip netns exec "$space" "$@"; }

ip netns exec "$near" python3 "$client" 192.0.2.2 listen >"$scratch/heard" &
pids="$pids $!"
listener=$!
n=0; until grep -q listening "$scratch/heard"; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done
ip netns exec "$server" "$binary" serve --config "$config" >"$scratch/server" 2>&1 &
service=$!
pids="$pids $service"
n=0; until grep -q "listening on" "$scratch/server"; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done

echo "computer: $(at "$near" python3 "$client" 192.0.2.2 computer)"
echo "printer: $(at "$near" python3 "$client" 192.0.2.2 probe x:PrintDeviceType 3)"
echo "other network: $(at "$quiet" python3 "$client" 198.51.100.2 probe p:Device 3)"
echo "foreign address: $(at "$near" python3 "$client" 203.0.113.2 probe p:Device 3)"
echo "computer, IPv6: $(at "$near" python3 "$client" ::%eth0 computer)"
echo "foreign address, IPv6: $(at "$near" python3 "$client" 2001:db8::2%eth0 probe p:Device 3)"
echo "mDNS to the server: $(at "$near" python3 "$client" 192.0.2.2 mdns 192.0.2.1)"
echo "mDNS to the server, IPv6: $(at "$near" python3 "$client" 2001:db8::2 mdns 2001:db8::1)"
echo "mDNS to the server, foreign address: $(at "$near" python3 "$client" 203.0.113.2 mdns 192.0.2.1 3)"
echo "mDNS to the server, other network: $(at "$quiet" python3 "$client" 198.51.100.2 mdns 192.0.2.1 3)"

# avahi would ask from the foreign address.
ip -n "$near" addr del 203.0.113.2/24 dev eth0
# avahi needs a bus and directories of its own.
at "$near" unshare --mount --propagation private sh -c '
    mount -t tmpfs tmpfs /run && mkdir -p /run/dbus /run/avahi-daemon
    dbus-daemon --system --nofork --nopidfile & bus=$!
    n=0; until [ -S /run/dbus/system_bus_socket ]; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done
    avahi-daemon --no-drop-root --no-chroot --no-rlimits >"$0/avahi" 2>&1 & avahi=$!
    n=0
    until avahi-browse --parsable --no-db-lookup --resolve --terminate --all >"$0/browsed" 2>/dev/null &&
        grep -q "^=;eth0;IPv4;.*_smb._tcp.*;192\.0\.2\.1;" "$0/browsed" &&
        grep -q "^=;eth0;IPv4;.*_adisk._tcp" "$0/browsed" &&
        grep -q "^=;eth0;IPv4;.*_device-info._tcp" "$0/browsed"; do
        n=$((n + 1)); [ $n -lt 60 ] || break; sleep 0.5
    done
    # Without a share for Time Machine, the disks are gone.
    sed -i "s/^time_machine = true/time_machine = false/" "$1"
    kill -HUP "$2"
    n=0
    while avahi-browse --parsable --no-db-lookup --terminate _adisk._tcp 2>/dev/null | grep -q "^+;eth0;IPv4;"; do
        n=$((n + 1)); [ $n -lt 60 ] || { echo "disks after the reload"; break; }; sleep 0.5
    done
    kill $avahi $bus; wait' "$scratch" "$config" "$service"
grep '^=.*;IPv4;' "$scratch/browsed" | cut -d';' -f4,5,7,8,9,10 | sort -u | sed 's/^/avahi: /'

kill "$service"
wait "$service" || true
n=0; while kill -0 "$listener" 2>/dev/null; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done
echo "heard: $(sort -u "$scratch/heard" | tr '\n' ' ')"

#!/usr/bin/env bash
# A real Active Directory domain on this machine, for tests: Samba's domain controller in a network namespace, and
# hosts (member servers with clients) in namespaces of their own, each joined to the controller by a veth pair.
#
#   ad-domain.sh up DIR                   makes the domain from nothing, starts it, returns when it answers
#   ad-domain.sh host DIR NAME [LIKE]     makes the host NAME.corp.test; with LIKE, as a copy of that host with its
#                                         machine account: the copy's clients find it by the name of LIKE
#   ad-domain.sh join DIR NAME            joins the host with `net ads join`; its keytab is /etc/krb5.keytab
#   ad-domain.sh exec DIR NAME COMMAND... runs a command on a host; the controller is dc1
#   ad-domain.sh remove DIR NAME          ends the host's processes and removes it
#   ad-domain.sh down DIR                 ends everything and removes DIR
#   ad-domain.sh keep DIR                 waits until nobody has a shared lock of DIR.users, then as `down`
#
# The domain is CORP, the realm CORP.TEST. A host has its own name, address, /etc, /run, /srv, /var/lib, /var/cache
# and /var/log; everything else is the machine's. Needs root and the packages samba-ad-dc, samba-ad-provision, winbind,
# libnss-winbind, krb5-user and iproute2. Nothing outside of DIR and the namespaces is changed.
#
# Users: Administrator (Passw0rd!x), carol (Passw0rd!c), dave (Passw0rd!d), erin (Passw0rd!e), frank (Passw0rd!f) and
# grace (Passw0rd!g), whose user principal name is grace.hopper@corp.test. Groups: helpdesk has carol, staff has
# helpdesk and erin.
set -euo pipefail

verb=${1:-}; dir=$(realpath -m "${2:?a directory}"); shift 2
tag=$(printf %s "$dir" | cksum | cut -d' ' -f1)
realm=CORP.TEST subnet=10.77.0
script=$(realpath "$0")

namespace() { echo "ad$tag-$1"; }
home() { echo "$dir/hosts/$1"; }

# Runs a command on a host: in a child process, or with replace=exec in place of this one.
on() {
  local name=$1; shift
  ${replace:-} ip netns exec "$(namespace "$name")" unshare --uts --mount sh -c '
    home=$1 name=$2; shift 2
    hostname "$name"
    for place in etc run srv var/lib var/cache var/log; do mount --bind "$home/$place" "/$place" || exit 125; done
    exec "$@"' sh "$(home "$name")" "$(cat "$(home "$name")/name")" "$@"
}

# Makes the namespace and the private directories of a host.
make_host() {
  local name=$1 address=$2 like=${3:-} fqdn=${3:-$1} home
  home=$(home "$name")
  mkdir -p "$home/run/samba" "$home/srv" "$home/var/lib" "$home/var/cache/samba" "$home/var/log/samba"
  chmod 755 "$home" "$home/run/samba"
  if [ -n "$like" ]; then
    cp -a "$(home "$like")/etc" "$home/etc"
    cp -a "$(home "$like")/var/lib/samba" "$home/var/lib/"
    fqdn=$(cat "$(home "$like")/name")
  else
    cp -a /etc "$home/etc"
    mkdir -p "$home/etc/samba" "$home/var/lib/samba/private"
    rm -f "$home/etc/krb5.keytab"
    printf 'passwd: files winbind\ngroup: files winbind\nshadow: files\nhosts: files dns\n' >"$home/etc/nsswitch.conf"
    printf 'nameserver %s.1\nsearch corp.test\n' "$subnet" >"$home/etc/resolv.conf"
    cat >"$home/etc/krb5.conf" <<END
[libdefaults]
 default_realm = $realm
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 default_ccache_name = FILE:/run/krb5cc_%{uid}
[realms]
 $realm = {
  kdc = $subnet.1
  kpasswd_server = $subnet.1
 }
[domain_realm]
 .corp.test = $realm
END
    cat >"$home/etc/samba/smb.conf" <<END
[global]
	workgroup = CORP
	realm = $realm
	security = ads
	netbios name = ${name^^}
	interfaces = $address
	bind interfaces only = yes
	disable netbios = yes
	kerberos method = secrets and keytab
	machine password timeout = 0
	idmap config * : backend = tdb
	idmap config * : range = 3000-7999
	idmap config CORP : backend = rid
	idmap config CORP : range = 100000-999999
	load printers = no
	printcap name = /dev/null
	disable spoolss = yes
	include = /etc/samba/shares.conf
END
    : >"$home/etc/samba/shares.conf"
  fi
  sed -i "s/^\tinterfaces = .*/\tinterfaces = $address/" "$home/etc/samba/smb.conf"
  echo "$fqdn" >"$home/name"
  echo "$address" >"$home/address"
  printf '127.0.0.1 localhost\n%s %s.corp.test %s\n%s.1 dc1.corp.test dc1\n' "$address" "$fqdn" "$fqdn" "$subnet" \
    >"$home/etc/hosts"
  connect "$name" "$address"
}

# Makes a namespace with this address and a route to the controller, which forwards to the other hosts: a bridge
# would do, but not every kernel has one.
connect() {
  local space dc number=${2##*.}
  space=$(namespace "$1"); dc=$(namespace dc1)
  ip netns add "$space"
  ip -n "$space" link set lo up
  ip link add "host$number" netns "$dc" type veth peer name eth0 netns "$space"
  ip -n "$dc" link set "host$number" up
  ip -n "$space" link set eth0 up
  ip -n "$space" addr add "$2/32" dev eth0
  ip -n "$space" route add "$subnet.1" dev eth0
  ip -n "$space" route add default via "$subnet.1"
  ip -n "$dc" route add "$2" dev "host$number"
}

up() {
  down
  mkdir -p "$dir"
  chmod 755 "$dir"
  local dc conf=/var/lib/samba/dc/etc/smb.conf user
  dc=$(namespace dc1)
  ip netns add "$dc"
  ip -n "$dc" link set lo up
  ip link add own netns "$dc" type veth peer name peer netns "$dc"
  ip -n "$dc" addr add "$subnet.1/24" dev own
  ip -n "$dc" link set own up
  ip -n "$dc" link set peer up
  ip -n "$dc" route del "$subnet.0/24" dev own
  ip netns exec "$dc" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  local home; home=$(home dc1)
  mkdir -p "$home/run/samba" "$home/srv" "$home/var/lib/samba/private" "$home/var/cache/samba" "$home/var/log/samba"
  cp -a /etc "$home/etc"
  printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n' >"$home/etc/nsswitch.conf"
  printf '127.0.0.1 localhost\n%s.1 dc1.corp.test dc1\n' "$subnet" >"$home/etc/hosts"
  printf 'nameserver %s.1\n' "$subnet" >"$home/etc/resolv.conf"
  mkdir -p "$home/etc/samba"; rm -f "$home/etc/samba/smb.conf" "$home/etc/krb5.conf"
  echo dc1 >"$home/name"; echo "$subnet.1" >"$home/address"
  on dc1 samba-tool domain provision --realm=$realm --domain=CORP --server-role=dc --dns-backend=SAMBA_INTERNAL \
    --adminpass='Passw0rd!x' --targetdir=/var/lib/samba/dc --host-name=dc1 --host-ip=$subnet.1 --use-rfc2307 \
    --option="interfaces=$subnet.1/24" --option='bind interfaces only=yes' >"$dir/provision.log" 2>&1 ||
    { tail -n 20 "$dir/provision.log" >&2; return 1; }
  # Without TLS it need not make keys for it, which takes seconds.
  sed -i '/^\tdns forwarder/d; s/^\[global\]/&\n\ttls enabled = no/' "$home$conf"
  cp "$home/var/lib/samba/dc/private/krb5.conf" "$home/etc/krb5.conf"
  # Before the controller runs, its database is written directly, by one process: Python takes most of the time.
  on dc1 /usr/bin/python3 -B - "$conf" >>"$dir/provision.log" 2>&1 <<'END' ||
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.dcerpc import security
from samba.ndr import ndr_unpack
from samba.samdb import SamDB
conf = LoadParm()
conf.load(sys.argv[1])
db = SamDB(lp=conf, session_info=system_session(conf))
db.set_minPwdAge(0)
db.set_maxPwdAge(0)
db.modify_ldif("dn: " + db.domain_dn() + "\nchangetype: modify\nreplace: pwdHistoryLength\npwdHistoryLength: 0\n")
for name in ["carol", "dave", "erin", "frank", "grace"]:
    db.newuser(name, "Passw0rd!" + name[0])
db.modify_ldif("dn: CN=grace,CN=Users," + db.domain_dn() + "\nchangetype: modify\nreplace: userPrincipalName\n"
    "userPrincipalName: grace.hopper@corp.test\n")
for group in ["helpdesk", "staff"]:
    db.newgroup(group)
db.add_remove_group_members("helpdesk", ["carol"], add_members_operation=True)
db.add_remove_group_members("staff", ["helpdesk", "erin"], add_members_operation=True)
with open("/run/sids", "w") as sids:
    for found in db.search(expression="(sAMAccountName=*)", attrs=["sAMAccountName", "objectSid"]):
        sids.write("%s\t%s\n" % (ndr_unpack(security.dom_sid, found["objectSid"][0]), found["sAMAccountName"]))
END
    { tail -n 20 "$dir/provision.log" >&2; return 1; }
  on dc1 setsid samba -s "$conf" -i --no-process-group </dev/null >"$dir/dc.log" 2>&1 &
  local attempt
  for attempt in $(seq 200); do
    if on dc1 sh -c 'echo "Passw0rd!x" | KRB5CCNAME=/run/ready kinit Administrator@'$realm >/dev/null 2>&1 &&
      on dc1 net -s "$conf" ads search '(cn=carol)' dn -S dc1.corp.test -U 'Administrator%Passw0rd!x' 2>/dev/null |
        grep -q '^Got 1 '; then
      echo "the domain $realm answers at $subnet.1"
      return
    fi
    sleep 0.2
  done
  tail -n 20 "$dir/dc.log" >&2
  return 1
}

host() {
  # Two hosts that are made at the same time must not get the same address.
  exec 9>"$dir/addresses.lock"
  flock 9
  local number
  number=$(($(cat "$dir/last" 2>/dev/null || echo 1) + 1))
  echo "$number" >"$dir/last"
  make_host "$1" "$subnet.$number" "${2:-}"
  echo "$subnet.$number"
}

join() {
  on "$1" net ads join -U 'Administrator%Passw0rd!x' --no-dns-updates
}

# Ends all processes of a namespace and removes it with its directories.
remove() {
  local space pids attempt
  space=$(namespace "$1")
  for attempt in $(seq 50); do
    pids=$(ip netns pids "$space" 2>/dev/null || true)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086 # several numbers
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  ip netns del "$space" 2>/dev/null || true
  rm -rf "$(home "$1")"
}

down() {
  local space
  for space in $(ip netns list | cut -d' ' -f1 | grep "^ad$tag-" || true); do
    remove "${space#ad"$tag"-}"
  done
  rm -rf "$dir"
}

# Removes the domain when nobody uses it any more: its users hold shared locks, which end with their processes.
# A test runner may start a process for each test, so a moment without users is not the end.
keep() {
  exec 8>"$dir.users"
  while :; do
    flock --exclusive 8
    flock --unlock 8
    sleep 5
    if flock --exclusive --nonblock 8; then
      down
      return
    fi
  done
}

case $verb in
up) up ;;
host) host "$@" ;;
join) join "$@" ;;
# Signals to this process are then those of the command.
exec) replace=exec; on "$@" ;;
remove) remove "$@" ;;
down) down ;;
keep) keep ;;
*) sed -n '2,/^set -/s/^# \{0,1\}//p' "$script" >&2; exit 2 ;;
esac

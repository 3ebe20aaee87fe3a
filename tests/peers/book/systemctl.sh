#!/bin/sh
# Stands for systemd on the machine of the documents' commands: it starts the program of a unit and waits until the unit
# is up. The restrictions of units are not applied.
verb=$1
shift
now=no
for word; do
    case $word in
        --now) now=yes ;;
        -*) ;;
        *) unit=${word%.service} ;;
    esac
done
pid() { cat "/run/unit-$unit.pid" 2>/dev/null; }
is_active() { test -n "$(pid)" && kill -0 "$(pid)" 2>/dev/null; }
listens() { cat /proc/net/tcp /proc/net/tcp6 | grep -q ':01BD [0:F]* 0A\|:01BD [0-9A-F]*:0000 0A'; }

start() {
    is_active && return 0
    case $unit in
        smbd)
            program='/usr/sbin/smbd --foreground --no-process-group --debug-stdout'
            up=listens ;;
        *)
            program=$(sed -n 's/^ExecStart=//p' "/etc/systemd/system/$unit.service") || exit 5
            up='test -S /run/shareward/control.sock'
            # RuntimeDirectory= and StateDirectory= of the unit.
            install -d -m 755 /run/shareward
            install -d -m 700 /var/lib/shareward ;;
    esac
    environment=$(sed -n 's/^Environment=//p' "/etc/systemd/system/$unit.service.d/"*.conf 2>/dev/null)
    env $environment setsid $program >>"/var/log/unit-$unit.log" 2>&1 </dev/null &
    echo $! >"/run/unit-$unit.pid"
    until $up; do
        is_active || { echo "Job for $unit.service failed; see 'journalctl -u $unit'." >&2; exit 1; }
        sleep 0.05
    done
}
stop() {
    is_active || return 0
    kill "$(pid)"
    while is_active; do sleep 0.05; done
}

case $verb in
    daemon-reload) ;;
    enable) test $now = no || start ;;
    disable) test $now = no || stop ;;
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    reload) kill -HUP "$(pid)" ;;
    is-active | status) is_active && echo active || { echo inactive; exit 3; } ;;
    *) echo "systemctl: this machine has no $verb" >&2; exit 1 ;;
esac

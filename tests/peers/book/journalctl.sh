#!/bin/sh
# Stands for systemd's journal on the machine of the documents' commands: the output of a unit's program.
pattern=
while test $# -gt 0; do
    case $1 in
        -u) unit=${2%.service}; shift ;;
        --grep) pattern=$2; shift ;;
    esac
    shift
done
grep -e "$pattern" "/var/log/unit-$unit.log"

#!/bin/sh
# iptables-tagged.sh TAG ARGUMENT... — iptables, with chains of its own for each TAG, so that several smbtortures can
# block their connections at once: SMBTORTURE_name is chain tTAG_name.
tag=$1
shift
for word; do
    shift
    case $word in
        SMBTORTURE*) word=t$tag${word#SMBTORTURE} ;;
    esac
    set -- "$@" "$word"
done
PATH=$PATH:/usr/sbin:/sbin exec iptables -w "$@"

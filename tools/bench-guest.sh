#!/bin/sh
# bench-guest.sh — what `cargo xtask bench --vm` runs in the guest of kernel-client.sh,
# whose root may have as many descriptors as the kernel lets anybody have.
#
#   bench-guest.sh COMMAND [ARG...]
ulimit -n "$(cat /proc/sys/fs/nr_open)" && exec "$@"

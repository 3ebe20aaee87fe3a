# Symlinks of the server's disk that the client follows itself.
set -eu
cd /mnt
test -L file && test -L d/up && test -L nowhere
test "$(readlink file)" = d/f
test "$(readlink d/up)" = ../d
test "$(cat file)" = text
test "$(cat d/up/up/f)" = text
test "$(ls d/up/)" = "$(ls d)"
ls -l . d | grep -q "^l.* up -> ../d"
! cat nowhere
echo more >>file
test "$(tail -n 1 d/f)" = more
rm file
test -f d/f && test ! -e file
echo symlinks done

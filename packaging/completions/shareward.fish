# Completion of shareward, net, openfiles, psfile and psloggedon for fish. `shareward complete` has the words; if there are
# none, fish completes file names.

function __shareward_complete
    set -l -- words (commandline -opc) (commandline -ct)
    set -l program (basename -- $words[1])
    # `net` may be Samba's program.
    set -l path (realpath -- (command -s -- $words[1])); or return
    test (basename -- $path) = shareward; or return
    set -l -- given $words[2..-1]
    if test $program != shareward
        set -- given $program $given
    end
    set -l -- found ($path complete -- $given 2>/dev/null)
    if test (count $found) -eq 0
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end

for program in shareward net openfiles psfile psloggedon
    complete -c $program -f -a '(__shareward_complete)'
end

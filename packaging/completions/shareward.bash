# Completion of shareward, net, openfiles, psfile and psloggedon for bash. `shareward complete` has the words; if there are
# none, bash completes file names.

_shareward() {
    local program=${1##*/} path word candidate
    local -a words
    local cur cword
    # `net` may be Samba's program.
    path=$(type -P -- "$1") || return
    path=$(readlink -f -- "$path")
    [[ ${path##*/} == shareward ]] || return

    # bash splits words at colons and equals signs, which are parts of switches here.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n ':=' cur words cword
    else
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
    fi
    words=("${words[@]:1:cword}")
    [[ $program == shareward ]] || words=("$program" "${words[@]}")

    # The part of the word before its last colon or equals sign stays on the command line.
    local kept=
    [[ $cur == *[:=]* && $COMP_WORDBREAKS == *[:=]* ]] && kept=${cur%"${cur##*[:=]}"}

    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        candidate=${candidate#"$kept"}
        # A path with spaces is one word.
        printf -v word %q "$candidate"
        COMPREPLY+=("$word")
    done < <("$path" complete -- "${words[@]}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -o bashdefault -o default -F _shareward shareward net openfiles psfile psloggedon

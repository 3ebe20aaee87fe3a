//! The completion files, in the shells that are installed here: a terminal gets the keys of a user.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory with the program under all its names, and one completion file.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["shareward", "net", "openfiles", "psfile", "psloggedon"] {
            symlink(env!("CARGO_BIN_EXE_shareward"), directory.path().join(name)).unwrap();
        }
        Self { directory }
    }

    /// Runs a shell with these lines of input in a terminal and returns the output.
    fn type_into(&self, shell: &str, keys: &str) -> String {
        // `script` makes the terminal. Without a connection to a server, only words of the program itself are offered.
        let mut command = Command::new("timeout");
        command.args(["60", "script", "--quiet", "--return", "--command", shell, "/dev/null"]);
        command
            .current_dir(self.directory.path())
            .env("PATH", self.path())
            .env("TERM", "dumb")
            .env("PS1", "");
        command
            .env("SHAREWARD_SOCKET", self.directory.path().join("no-server"))
            .env("HOME", self.directory.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(keys.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).replace('\r', "")
    }

    fn path(&self) -> String {
        format!("{}:{}", self.directory.path().display(), std::env::var("PATH").unwrap_or_default())
    }
}

fn completions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completions").canonicalize().unwrap()
}

/// True if the program is installed; otherwise the test is skipped.
fn installed(program: &str) -> bool {
    testkit::find(program).is_some() || {
        testkit::skip(&format!("{program} is not installed"));
        false
    }
}

/// The command lines, and the words that the shell runs after completion. `shown` writes each word in brackets.
const LINES: &[(&str, &str)] = &[
    ("shown shareward sessi\t", "<shareward><session>"),
    ("shown net file --exp\tu\tx", "<net><file><--expect-user><x>"),
    ("shown net user alice /act\tn\t", "<net><user><alice></ACTIVE:NO>"),
    ("shown net file --json=\t", "<net><file><--json=wmi>"),
    ("shown psfile -nob\t", "<psfile><-nobanner>"),
    ("shown shareward check note\t", "<shareward><check><note file.toml>"),
];

#[test]
fn bash_completes_commands_switches_values_and_files() {
    if !installed("bash") || !installed("script") {
        return;
    }
    let place = Place::new();
    std::fs::write(place.directory.path().join("note file.toml"), "").unwrap();
    let mut keys = format!(
        "bind 'set enable-bracketed-paste off'\n\
         test -r /usr/share/bash-completion/bash_completion && . /usr/share/bash-completion/bash_completion\n\
         . {}/shareward.bash\nshown() {{ printf '<%s>' \"$@\"; echo; }}\ncomplete -F _complete_shown shown\n\
         _complete_shown() {{ COMP_WORDS=(\"${{COMP_WORDS[@]:1}}\"); ((COMP_CWORD--)); \
         COMP_LINE=${{COMP_LINE#shown }}; ((COMP_POINT -= 6)); _shareward \"${{COMP_WORDS[0]}}\"; }}\n\
         complete -o bashdefault -o default -F _complete_shown shown\n",
        completions().display()
    );
    LINES.iter().for_each(|(line, _)| keys += &format!("{line}\n"));
    keys += "exit\n";
    let output = place.type_into("bash --norc --noprofile -i", &keys);
    for (line, expected) in LINES {
        assert!(output.contains(&format!("\n{expected}\n")), "{line:?}: {output}");
    }
}

#[test]
fn fish_completes_commands_switches_values_and_files() {
    if !installed("fish") {
        return;
    }
    let place = Place::new();
    std::fs::write(place.directory.path().join("note file.toml"), "").unwrap();
    let script = "source $argv[1]; for line in $argv[2..-1]; complete -C $line; end";
    let lines = [
        "shareward sessi",
        "net file --expect-u",
        "net user alice /act",
        "psfile -nob",
        "shareward check note",
    ];
    let mut command = Command::new("fish");
    command.args(["--no-config", "-c", script]).arg(completions().join("shareward.fish")).args(lines);
    command.current_dir(place.directory.path()).env("PATH", place.path()).env("HOME", place.directory.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["session", "--expect-user", "/ACTIVE:", "-nobanner", "note file.toml"], "{output:?}");
}

#[test]
fn zsh_completes_commands_switches_and_files() {
    if !installed("zsh") || !installed("script") {
        return;
    }
    let place = Place::new();
    std::fs::write(place.directory.path().join("note.toml"), "").unwrap();
    let keys = format!(
        "fpath=({} $fpath); autoload -U compinit; compinit -u -D; shown() {{ printf '<%s>' \"$@\"; echo }}\n\
         _shown() {{ shift words; (( CURRENT-- )); _normal }}; compdef _shown shown\n\
         shown shareward sessi\t\nshown net user alice /act\tn\t\nshown shareward check note\t\nexit\n",
        completions().display()
    );
    let output = place.type_into("zsh -f -i", &keys);
    for expected in
        ["<shareward><session>", "<net><user><alice></ACTIVE:NO>", "<shareward><check><note.toml>"]
    {
        assert!(output.contains(expected), "{expected}: {output}");
    }
}

#[test]
fn completion_of_another_program_named_net_is_left_alone() {
    if !installed("bash") {
        return;
    }
    let place = Place::new();
    let net = place.directory.path().join("net");
    std::fs::remove_file(&net).unwrap();
    symlink("/bin/true", &net).unwrap();
    let script = format!(
        ". {}/shareward.bash; COMP_WORDS=(net sessi); COMP_CWORD=1; COMP_LINE='net sessi'; COMP_POINT=9; \
         for word in net psfile; do COMPREPLY=(); COMP_WORDS[0]=$word; _shareward $word; echo \"$word ${{#COMPREPLY[@]}}\"; \
         COMP_WORDS[1]=-no; done",
        completions().display()
    );
    let mut command = Command::new("bash");
    let output = command.args(["--norc", "-c", &script]).env("PATH", place.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "net 0\npsfile 1\n", "{output:?}");
}

//! Three servers with the same on them, and the playing of lines.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Output, RunAs, Samba, Setup, Share, Shareward, User, need, run, shareward_binary, skip};

use super::Masks;
use super::scene::{DIRECTORIES, Scene};

/// The administrator. Without winbindd, Samba accepts only root.
pub(super) const ROOT: (&str, &str) = ("root", "Adm1n-secret");
/// A user without rights.
pub(super) const ALICE: (&str, &str) = ("alice", "Wonder-Land 1");
/// Another user without rights.
pub(super) const BOB: (&str, &str) = ("bob", "b0b-the-Builder");

/// Longer than any command of these takes.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// The directory of the shares' directories, in one of a random name.
const SHARES: &str = "shares";

/// The first id of the temporary accounts; alice is the second of the setup.
const ALICE_UID: u32 = 64_101;

/// A line that is typed.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// The words, separated by spaces; single quotes keep spaces in a word. `#3` is the third open.
    pub(super) words: &'static str,
    /// The input for questions.
    pub(super) input: &'static str,
    /// The user who runs the line.
    pub(super) by: As,
}

/// The user who runs a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Root,
    Alice,
}

/// A line that the administrator types, with nothing to answer.
pub(super) const fn line(words: &'static str) -> Line {
    Line { words, input: "", by: As::Root }
}

impl Line {
    /// Adds input.
    pub(super) const fn answered(self, input: &'static str) -> Self {
        Self { input, ..self }
    }

    /// Runs the line as alice.
    pub(super) const fn by_alice(self) -> Self {
        Self { by: As::Alice, ..self }
    }
}

/// The servers.
pub(super) struct Stage {
    places: [Place; 3],
}

/// A server, the way to it, and its opens.
pub(super) struct Place {
    way: Way,
    server: Server,
    tree: TempDir,
    ids: Vec<u32>,
    scene: Scene,
}

enum Server {
    Ours(Shareward),
    Samba(Samba),
}

/// The way to ask a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Here,
    Smb,
    Samba,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Smb => "smb",
            Self::Samba => "samba",
        }
    }
}

impl Stage {
    /// Starts the servers and opens the files; `None` if a requirement is missing.
    pub(super) async fn set() -> Option<Self> {
        if !need(&["root", "smbd", "net", "pdbedit", "unshare", "script"]) {
            return None;
        }
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            skip("there is no ::1");
            return None;
        }
        let [here, smb, samba] =
            [Way::Here, Way::Smb, Way::Samba].map(|way| thread::spawn(move || start(way)));
        let mut places = Vec::new();
        for (way, started) in [(Way::Here, here), (Way::Smb, smb), (Way::Samba, samba)] {
            let (server, tree) = started.join().expect("a server");
            let scene = Scene::open(server.address()).await;
            let mut place = Place { way, server, tree, ids: Vec::new(), scene };
            place.ids = place.find_ids();
            places.push(place);
        }
        places.try_into().ok().map(|places| Self { places })
    }

    /// Our server, through its control socket.
    pub(super) fn here(&self) -> &Place {
        &self.places[0]
    }

    /// Opens one file more there.
    pub(super) async fn add(&mut self, path: &str) {
        let [here, ..] = &mut self.places;
        here.scene.add(here.server.address(), path).await;
    }

    /// Our server, over SMB.
    pub(super) fn smb(&self) -> &Place {
        &self.places[1]
    }

    /// Samba.
    pub(super) fn samba(&self) -> &Place {
        &self.places[2]
    }

    /// Runs the lines on all servers and returns their output.
    pub(super) fn play(&self, lines: &[Line]) -> String {
        let mut told = thread::scope(|scope| {
            let played = self.places.each_ref().map(|place| {
                scope.spawn(move || lines.iter().map(|line| place.type_in(line)).collect::<Vec<_>>())
            });
            played.map(|it| it.join().expect("the lines").into_iter())
        });
        let mut text = String::new();
        for line in lines {
            text.push_str(&heading(line));
            let said: Vec<(Way, String)> = (self.places.iter().zip(&mut told))
                .map(|(place, said)| (place.way, said.next().unwrap_or_default()))
                .collect();
            text.push_str(&side_by_side(&said));
        }
        shorten(&text)
    }
}

fn start(way: Way) -> (Server, TempDir) {
    // Names of the same length give columns of the same width; they are random where cut paths have their dots.
    let tree =
        tempfile::Builder::new().prefix("grammar.").rand_bytes(6).tempdir_in("/tmp").expect("a directory");
    open_to_all(tree.path());
    let shares = tree.path().join(SHARES);
    fs::create_dir(&shares).expect("a directory");
    open_to_all(&shares);
    let setup = setup(&shares);
    let server = match way {
        Way::Here | Way::Smb => Server::Ours(Shareward::start(&setup)),
        Way::Samba => {
            let samba = Samba::start(&setup);
            samba.make_administrator(ROOT.0);
            Server::Samba(samba)
        }
    };
    for directory in DIRECTORIES.map(|it| shares.join(it)) {
        fs::create_dir_all(&directory).expect("a directory");
        open_to_all(&directory);
    }
    (server, tree)
}

fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).expect("chmod");
}

fn setup(tree: &Path) -> Setup {
    let user = |(name, password): (&str, &str), administrator| User {
        name: name.into(),
        password: password.into(),
        administrator,
    };
    let default = Setup::default();
    let share = |name: &str| Share { name: name.into(), ..default.shares[0].clone() };
    Setup {
        users: vec![user(ROOT, true), user(ALICE, false), user(BOB, false)],
        shares: vec![share("data"), share("Bücher")],
        tree: Some(tree.to_path_buf()),
        run_as: RunAs::Root,
        ipv6: true,
        ..default.clone()
    }
}

impl Server {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Ours(server) => server.address(),
            Self::Samba(server) => server.address(),
        }
    }
}

impl Place {
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The directory of the shares' directories.
    pub(super) fn tree(&self) -> PathBuf {
        self.tree.path().join(SHARES)
    }

    /// The control socket of our server.
    pub(super) fn socket(&self) -> PathBuf {
        match &self.server {
            Server::Ours(server) => server.socket(),
            Server::Samba(_) => PathBuf::from("/nowhere"),
        }
    }

    fn type_in(&self, line: &Line) -> String {
        let words: Vec<String> = split(line.words).iter().map(|word| self.with_open_number(word)).collect();
        let (program, words) = words.split_first().expect("a program");
        let mut command = command(program, line.by);
        let target = self.target(program, line.by);
        // psfile has its computer in front.
        if program == "psfile" {
            command.args(target).args(words);
        } else {
            command.args(words).args(target);
        }
        shown(&run(command, line.input.as_bytes(), COMMAND_MAX), &self.masks())
    }

    /// The arguments that select the server, in the form of `program`.
    fn target(&self, program: &str, by: As) -> Vec<String> {
        let user = by.user().0;
        let (socket, address) = (self.socket().display().to_string(), self.address().to_string());
        let words: &[&str] = match (program, self.way) {
            ("net" | "shareward", Way::Here) => &["--socket", &socket],
            ("net" | "shareward", _) => &["--server", &address, "--login", user],
            ("openfiles", Way::Here) => &["/socket", &socket],
            ("openfiles", _) => &["/s", &address, "/u", user],
            (_, Way::Here) => &["-socket", &socket],
            ("psfile", _) => &[&format!(r"\\{address}"), "-u", user],
            (_, _) => &["-server", &address, "-login", user],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Replaces a reference to an open with its number.
    fn with_open_number(&self, word: &str) -> String {
        let id = word.strip_prefix('#').and_then(|it| it.parse::<usize>().ok());
        match id.and_then(|it| self.ids.get(it - 1)) {
            Some(id) => id.to_string(),
            None => word.replace("TREE", &self.tree().to_string_lossy()),
        }
    }

    /// The numbers of the opens, in the order of the scene; 0 for an open that the server does not list.
    fn find_ids(&self) -> Vec<u32> {
        let mut command = command("net", As::Root);
        command.args(["file", "--csv", "--no-header"]).args(self.target("net", As::Root));
        let listed = run(command, b"", COMMAND_MAX).success().stdout;
        let id = |path: &str| {
            let line = listed.lines().find(|line| line.contains(path)).unwrap_or_default();
            line.split(',').next().and_then(|id| id.parse().ok()).unwrap_or_default()
        };
        ["報告.txt", "0123456789", "plan,", "cached.docx", "b.txt", "six.txt", "srvsvc"].map(id).to_vec()
    }

    /// The masks for values that differ between runs.
    pub(super) fn masks(&self) -> Masks {
        let mut masks = Masks::new();
        self.add_masks(&mut masks);
        masks
    }

    /// Adds the masks to those of another server.
    pub(super) fn add_masks(&self, masks: &mut Masks) {
        let tree = self.tree.path().to_string_lossy().into_owned();
        let random = tree.rsplit('.').next().unwrap_or_default().to_owned();
        masks.hide(random, "000000");
        masks.hide(format!(":{}", self.address().port()), ":NNNNN");
        if self.way == Way::Samba {
            for (index, id) in self.ids.iter().enumerate().filter(|(_, id)| **id != 0) {
                masks.number(*id, u32::try_from(index + 1).expect("a small number"));
            }
        }
        masks.hide(self.socket().to_string_lossy(), "SOCKET");
        masks.hide(format!("onto {} ", machine()), "onto HOST ");
    }
}

impl As {
    pub(super) const fn user(self) -> (&'static str, &'static str) {
        match self {
            Self::Root => ROOT,
            Self::Alice => ALICE,
        }
    }
}

/// The name of this machine as programs print it.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().to_uppercase()
}

/// The program under this name, for one of the users.
pub(super) fn command(program: &str, by: As) -> Command {
    let mut command = Command::new(shareward_binary());
    command.arg0(program).env("SHAREWARD_PASSWORD", by.user().1).env("TZ", "UTC");
    command.env_remove("XDG_RUNTIME_DIR").env_remove("SHAREWARD_SOCKET");
    if by == As::Alice {
        command.uid(ALICE_UID).gid(ALICE_UID);
    }
    command
}

/// The result of a command, as text.
pub(super) fn shown(output: &Output, masks: &Masks) -> String {
    let exit = output.status.map_or("none".to_owned(), |status| status.to_string());
    let mut text = format!("exit {exit}\n{}", output.stdout);
    if !output.stdout.is_empty() && !output.stdout.ends_with('\n') {
        text.push_str("(no end of line)\n");
    }
    if !output.stderr.is_empty() {
        text.push_str(&format!("[stderr]\n{}", output.stderr));
        if !output.stderr.ends_with('\n') {
            text.push_str("(no end of line)\n");
        }
    }
    masks.applied_to(&text)
}

/// The words of a line; single quotes keep spaces.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    words
}

fn heading(line: &Line) -> String {
    let by = if line.by == As::Alice { "alice" } else { "" };
    let words = line.words.replace('#', "");
    let input = if line.input.is_empty() { String::new() } else { format!("   <<< {:?}", line.input) };
    format!("{by}$ {words}{input}\n")
}

fn side_by_side(said: &[(Way, String)]) -> String {
    let mut groups: Vec<(Vec<&str>, &String)> = Vec::new();
    for (way, text) in said {
        match groups.iter_mut().find(|(_, known)| *known == text) {
            Some((ways, _)) => ways.push(way.name()),
            None => groups.push((vec![way.name()], text)),
        }
    }
    let all = groups.len() == 1;
    let text = |(ways, text): &(Vec<&str>, &String)| {
        format!("[{}] {text}\n", if all { "all".to_owned() } else { ways.join(", ") })
    };
    groups.iter().map(text).collect()
}

/// The text with every syntax block once.
pub(super) fn shorten(text: &str) -> String {
    const START: &str = "The syntax of this command is:\n\n";
    let mut known: Vec<&str> = Vec::new();
    let mut short = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(START) {
        let (block, after) = behind.split_once("\n\n").unwrap_or((behind, ""));
        short.push_str(before);
        if known.contains(&block) {
            short.push_str("(The syntax, as above.)\n\n");
        } else {
            known.push(block);
            short.push_str(&format!("{START}{block}\n\n"));
        }
        rest = after;
    }
    short + rest
}

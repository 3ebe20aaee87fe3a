//! Masks for values that differ between runs; they keep the widths of columns.

/// The masks for a server's answers.
#[derive(Default)]
pub(super) struct Masks {
    texts: Vec<(String, String)>,
    numbers: Vec<(String, String)>,
}

impl Masks {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Replaces `text` with `shown`.
    pub(super) fn hide(&mut self, text: impl Into<String>, shown: &str) {
        self.texts.push((text.into(), shown.to_owned()));
    }

    /// Replaces `text` with `shown` before all other masks; in the first column of a table, it keeps the width.
    pub(super) fn hide_first(&mut self, text: &str, shown: &str) {
        let wide = format!("\n{shown:<width$} ", width = text.chars().count());
        self.texts.insert(0, (text.to_owned(), shown.to_owned()));
        self.texts.insert(0, (format!("\n{text} "), wide));
    }

    /// Shows `shown` for the number, at the width that the number has in a column.
    pub(super) fn number(&mut self, number: u32, shown: u32) {
        self.numbers.push((number.to_string(), shown.to_string()));
    }

    pub(super) fn applied_to(&self, text: &str) -> String {
        let mut text = without_logons(text);
        for (hidden, shown) in &self.texts {
            text = text.replace(hidden, shown);
        }
        // The widths of this program's columns depend on the numbers.
        let squeezes =
            !self.numbers.is_empty() && text.contains("Files opened remotely via local share points");
        if squeezes {
            text = text.lines().map(|line| squeezed(line) + "\n").collect();
        }
        let in_columns = !squeezes && !text.contains("is still open:");
        for (number, shown) in &self.numbers {
            let line =
                |line: &str| numbered(line, number, shown, in_columns && !line.contains("  present  "));
            text = text.lines().map(|it| line(it) + "\n").collect();
        }
        let line = |line: &str| {
            without_askers(&without_csv(&without_kernel(&without_counts(&without_times(&without_machine(
                line,
            ))))))
        };
        text.lines().map(|it| line(it) + "\n").collect()
    }
}

/// Removes the logons at this machine.
fn without_logons(text: &str) -> String {
    match text.split_once("Users logged on locally:\n") {
        Some((before, after)) => {
            let (_logons, after) = after.split_once("\n\n").unwrap_or(("", after));
            format!("{before}No one is logged on locally.\n\n{after}")
        }
        None => text.to_owned(),
    }
}

/// Removes values that depend on the machine: its limits, its Samba, and its resolver's messages.
fn without_machine(line: &str) -> String {
    if line.starts_with("Maximum ") {
        return line.replace(|it: char| it.is_ascii_digit(), "N");
    }
    if let Some((before, after)) = line.split_once("Samba 4.") {
        let version = after.find(['"', ')']).unwrap_or(after.len());
        return format!("{before}Samba VERSION{}", &after[version..]);
    }
    match line.split_once("failed to lookup address information: ") {
        Some((before, words)) => {
            let end = if words.ends_with('"') { "\"" } else { "" };
            format!("{before}(the resolver's words){end}")
        }
        None => line.to_owned(),
    }
}

/// The line with one space for many, and one sign for a rule.
fn squeezed(line: &str) -> String {
    let word = |word: &str| if word.bytes().all(|it| it == b'=') { "=".to_owned() } else { word.to_owned() };
    line.split(' ').filter(|it| !it.is_empty()).map(word).collect::<Vec<_>>().join(" ")
}

/// Replaces the separate occurrences of `number` with `shown`; spaces after it keep the following columns.
fn numbered(text: &str, number: &str, shown: &str, in_columns: bool) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(number) {
        done.push_str(before);
        let alone = !done.ends_with(|it: char| it.is_ascii_digit())
            && !after.starts_with(|it: char| it.is_ascii_digit());
        done.push_str(if alone { shown } else { number });
        if in_columns && alone && after.starts_with(' ') {
            done.push_str(&" ".repeat(number.len() - shown.len()));
        }
        rest = after;
    }
    done + rest
}

/// `HH:MM:SS` for every time of day or span, `YYYY-MM-DD` for every day, `mmm` for thousandths behind a time.
fn without_times(line: &str) -> String {
    let mut shown: Vec<char> = line.chars().collect();
    let is = |part: &[char], form: &str| {
        part.len() == form.len()
            && part.iter().zip(form.chars()).all(|(it, form)| {
                if form.is_ascii_alphabetic() && form != 'T' { it.is_ascii_digit() } else { *it == form }
            })
    };
    for form in ["HH:MM:SS.mmm", "HH:MM:SS", "YYYY-MM-DD"] {
        for at in 0..shown.len() {
            let Some(part) = shown.get(at..at + form.len()) else { break };
            if is(part, form) {
                shown.splice(at..at + form.len(), form.chars());
            }
        }
    }
    shown.into_iter().collect()
}

/// `N` for the values of JSON's fields that only grow with time.
fn without_counts(line: &str) -> String {
    // The line about the history.
    if line.contains(" written, ") && line.ends_with(" left out") {
        let words = line.split(' ').map(|word| {
            let is_number = word.starts_with(|it: char| it.is_ascii_digit());
            if is_number { "N" } else { word }
        });
        return words.collect::<Vec<_>>().join(" ");
    }
    let mut done = line.to_owned();
    for field in GROWING {
        let name = format!("\"{field}\":");
        let Some((before, after)) = done.split_once(&name) else { continue };
        let value = after.trim_start();
        let space = &after[..after.len() - value.len()];
        let digits = value.len() - value.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        if digits > 0 {
            done = format!("{before}{name}{space}N{}", &value[digits..]);
        }
    }
    done
}

/// `N` for the numbers of the sandbox, which depend on the kernel and the processor.
fn without_kernel(line: &str) -> String {
    let start = line.trim_start();
    let fields = ["\"landlock\":", "\"system_calls\":", "Landlock  ", "System calls  "];
    if !fields.iter().any(|field| start.starts_with(field)) {
        return line.to_owned();
    }
    line.chars().map(|it| if it.is_ascii_digit() { 'N' } else { it }).collect()
}

/// `N` for the numbers behind a time of CSV, which are spans and counters.
fn without_csv(line: &str) -> String {
    const TIME: &str = "mmmZ,";
    let Some((before, after)) = line.split_once(TIME) else { return line.to_owned() };
    let mut values: Vec<&str> = after.split(',').collect();
    for value in values.iter_mut().take_while(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
    {
        *value = "N";
    }
    format!("{before}{TIME}{}", values.join(","))
}

/// `*` for the numbers of the pipes that the commands themselves ask through.
fn without_askers(line: &str) -> String {
    if line.starts_with('[') && line.ends_with("] shareward") {
        return "[*] shareward".to_owned();
    }
    let own = line.contains("root") && (line.contains("shareward") || line.contains("srvsvc"));
    if own && line.starts_with('"') {
        let value =
            |it: &str| if it.trim_matches('"').parse::<u32>().is_ok() { "\"*\"" } else { it }.to_owned();
        return line.split(',').map(value).collect::<Vec<_>>().join(",");
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let start = line.find(|it: char| it.is_ascii_digit()).unwrap_or(line.len());
    let (before, rest) = line.split_at(start);
    let length = digits(rest);
    let alone = before.is_empty() || before == "\"" || before.starts_with("ID: ") && length > 1;
    if length == 0 || !alone || !(own || before.starts_with("ID: ")) {
        return line.to_owned();
    }
    let after = &rest[length..];
    let space = if after.starts_with(' ') { length - 1 } else { 0 };
    format!("{before}*{}{after}", " ".repeat(space))
}

const GROWING: [&str; 18] = [
    "idle_seconds",
    "active_seconds",
    "ActiveTime",
    "IdleTime",
    "SecondsExists",
    "SecondsIdle",
    "uptime_seconds",
    "sessions_accepted",
    "bytes_sent",
    "bytes_received",
    "response_milliseconds",
    "devices_opened",
    "ConnectionID",
    "files_per_session_max",
    "users_max",
    "written",
    "waiting",
    "bytes",
];

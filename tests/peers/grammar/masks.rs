//! What differs from run to run, hidden without moving a column.

/// What is hidden in a server's answers.
#[derive(Default)]
pub(super) struct Masks {
    texts: Vec<(String, String)>,
    numbers: Vec<(String, String)>,
}

impl Masks {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Shows `shown` where `text` was said.
    pub(super) fn hide(&mut self, text: impl Into<String>, shown: &str) {
        self.texts.push((text.into(), shown.to_owned()));
    }

    /// Shows `shown` for the number, at the width that the number has in a column.
    pub(super) fn number(&mut self, number: u32, shown: u32) {
        self.numbers.push((number.to_string(), shown.to_string()));
    }

    pub(super) fn applied_to(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (hidden, shown) in &self.texts {
            text = text.replace(hidden, shown);
        }
        for (number, shown) in &self.numbers {
            text = numbered(&text, number, shown);
        }
        text.lines().map(|line| without_counts(&without_times(line)) + "\n").collect()
    }
}

/// The text with `shown` where `number` stands alone; spaces behind it keep what follows in its column.
fn numbered(text: &str, number: &str, shown: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(number) {
        done.push_str(before);
        let alone = !done.ends_with(|it: char| it.is_ascii_digit())
            && !after.starts_with(|it: char| it.is_ascii_digit());
        done.push_str(if alone { shown } else { number });
        if alone && after.starts_with(' ') {
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

const GROWING: [&str; 6] =
    ["idle_seconds", "active_seconds", "ActiveTime", "IdleTime", "SecondsExists", "SecondsIdle"];

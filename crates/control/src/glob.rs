//! Patterns for paths in filters.

use wire::names::upcase;

/// True if `path` matches `pattern`. Case is ignored; `/` is the same as `\`. A pattern with `*` (any characters) or
/// `?` (any one character) must match the whole path or everything after a separator; a pattern without them must be
/// a part of it. The time is at most the product of both lengths.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (folded(pattern), folded(path));
    if !pattern.iter().any(|character| matches!(character, '*' | '?')) {
        return contains(&path, &pattern);
    }
    ends_with(&pattern, &path)
}

fn contains(path: &[char], part: &[char]) -> bool {
    part.is_empty() || path.windows(part.len()).any(|window| window == part)
}

/// True if the pattern matches the whole path, or what follows one of its separators. All beginnings are tried at the same
/// time: `reached` has the places in the pattern that some of them have come to.
fn ends_with(pattern: &[char], path: &[char]) -> bool {
    let mut reached = vec![false; pattern.len().saturating_add(1)];
    let mut next = reached.clone();
    let mut begins = true;
    for character in path {
        begin(pattern, &mut reached, begins);
        next.fill(false);
        for (at, wanted) in pattern.iter().enumerate() {
            if !reached.get(at).is_some_and(|it| *it) {
                continue;
            }
            // A star stays where it is, and has let the next place begin already.
            let to = if *wanted == '*' { at } else { at.saturating_add(1) };
            if matches!(wanted, '*' | '?') || wanted == character {
                next.get_mut(to).into_iter().for_each(|it| *it = true);
            }
        }
        std::mem::swap(&mut reached, &mut next);
        begins = *character == '\\';
    }
    begin(pattern, &mut reached, begins);
    reached.last().is_some_and(|it| *it)
}

/// Lets the pattern begin, if it may, and lets its stars match nothing.
fn begin(pattern: &[char], reached: &mut [bool], begins: bool) {
    let mut is_reached = begins;
    for (at, place) in reached.iter_mut().enumerate() {
        *place |= is_reached;
        is_reached = *place && pattern.get(at) == Some(&'*');
    }
}

fn folded(text: &str) -> Vec<char> {
    text.chars().map(|character| if character == '/' { '\\' } else { upcase(character) }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_and_patterns() {
        let path = r"Reports\2026\May.xlsx";
        for (pattern, expected) in [
            ("", true),
            ("may", true),
            ("reports/2026", true),
            ("june", false),
            ("*.XLSX", true),
            ("May.*", true),
            ("2026\\*", true),
            ("ma?.xlsx", true),
            ("ma?", false),
            ("026*", false),
            ("*", true),
            ("reports*june*", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern}");
        }
        assert!(matches("*ß*", "STRAße"));
    }

    /// The rule as it is written.
    fn by_the_rule(pattern: &str, path: &str) -> bool {
        fn whole(pattern: &[char], path: &[char]) -> bool {
            match pattern.split_first() {
                None => path.is_empty(),
                Some(('*', rest)) => (0..=path.len()).any(|taken| whole(rest, &path[taken..])),
                Some((wanted, rest)) => path
                    .split_first()
                    .is_some_and(|(is, more)| (*wanted == '?' || wanted == is) && whole(rest, more)),
            }
        }
        let (pattern, path) = (folded(pattern), folded(path));
        let behind = path.iter().enumerate().filter(|(_, it)| **it == '\\').map(|(at, _)| at + 1);
        std::iter::once(0).chain(behind).any(|from| whole(&pattern, &path[from..]))
    }

    #[test]
    fn many_separators_take_no_quadratic_time() {
        let path = "\\".repeat(30_000);
        let begin = std::time::Instant::now();
        assert!(!matches("*a*b*c", &path));
        assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{:?}", begin.elapsed());
    }

    proptest! {
        #[test]
        fn patterns_match_by_the_rule(pattern in "[ab*?\\\\]{0,6}[*?]", path in "[ab\\\\]{0,8}") {
            prop_assert_eq!(matches(&pattern, &path), by_the_rule(&pattern, &path));
        }

        #[test]
        fn a_pattern_of_stars_matches_all(path in "\\PC{0,20}", stars in "\\*{1,5}") {
            prop_assert!(matches(&stars, &path));
        }

        #[test]
        fn a_path_with_its_middle_starred_matches(head in "[a-z]{0,8}", middle in "[a-z\\\\]{0,8}", tail in "[a-z]{0,8}") {
            let pattern = format!("{head}*{tail}");
            let path = format!("{head}{middle}{tail}");
            prop_assert!(matches(&pattern, &path));
        }
    }
}

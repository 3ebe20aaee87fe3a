//! Patterns for paths in filters.

use wire::names::upcase;

/// True if `path` matches `pattern`. Case is ignored; `/` is the same as `\`. A pattern with `*` (any characters) or
/// `?` (any one character) must match the whole path or everything after a separator; a pattern without them must be
/// a part of it.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (folded(pattern), folded(path));
    if !pattern.iter().any(|character| matches!(character, '*' | '?')) {
        return contains(&path, &pattern);
    }
    if whole(&pattern, &path) {
        return true;
    }
    let behind = path.iter().enumerate().filter(|(_, character)| **character == '\\');
    behind.filter_map(|(at, _)| path.get(at.saturating_add(1)..)).any(|rest| whole(&pattern, rest))
}

fn contains(path: &[char], part: &[char]) -> bool {
    part.is_empty() || path.windows(part.len()).any(|window| window == part)
}

/// Matches the whole path. It backtracks to the last `*` only, so that the time is at most the product of both
/// lengths.
fn whole(pattern: &[char], path: &[char]) -> bool {
    let (mut at_pattern, mut at_path) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = path.get(at_path) {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_path));
                at_pattern = at_pattern.saturating_add(1);
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at_pattern = at_pattern.saturating_add(1);
                at_path = at_path.saturating_add(1);
            }
            _ => {
                let Some((star_at, taken_to)) = star else { return false };
                let taken_to = taken_to.saturating_add(1);
                star = Some((star_at, taken_to));
                at_pattern = star_at.saturating_add(1);
                at_path = taken_to;
            }
        }
    }
    pattern.iter().skip(at_pattern).all(|character| *character == '*')
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

    proptest! {
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

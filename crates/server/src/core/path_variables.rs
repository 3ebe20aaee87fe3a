//! Names of users and other texts from outside as components of paths.

/// The name as one component of a path. `None` if it cannot be one: a name that is empty, begins with a dot, is too long,
/// or has a separator or a control character. The backslash after a domain becomes `+`.
pub(crate) fn component(name: &str) -> Option<String> {
    let name = name.replacen('\\', "+", 1);
    let is_good = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
    let is_component = !name.is_empty()
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && name.len() <= COMPONENT_BYTES_MAX
        && name.chars().all(is_good);
    is_component.then_some(name)
}

/// The longest component in bytes: less than any file system permits.
const COMPONENT_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_elsewhere_are_no_components() {
        assert_eq!(component("carol").as_deref(), Some("carol"));
        assert_eq!(component("CORP\\carol").as_deref(), Some("CORP+carol"));
        assert_eq!(component("jürgen m.").as_deref(), None);
        let long = "x".repeat(201);
        for name in ["", ".", "..", ".ssh", "a/b", "../a", "a\\b\\c", "a\0b", "a\n", "c:", "a.", &long] {
            assert_eq!(component(name), None, "{name:?}");
        }
    }
}

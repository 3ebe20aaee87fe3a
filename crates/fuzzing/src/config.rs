//! `shareward.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use server::config::{
    Caching, Grant, GrantRight, Grantee, Settings, ShareSettings, check_share_name, edit, parse,
};

/// A configuration file: read, or refused with places that are in it.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if resolves_names(text) {
        return;
    }
    match parse(text, Path::new("/base"), Settings::conventional(true, |_| None)) {
        Ok(settings) => {
            for (index, share) in settings.shares.iter().enumerate() {
                assert_eq!(check_share_name(&share.name), Ok(()));
                assert!(share.path.is_absolute());
                let twice =
                    |other: &server::config::ShareSettings| other.name.eq_ignore_ascii_case(&share.name);
                assert!(!settings.shares[..index].iter().any(twice), "the share {} twice", share.name);
            }
            edited(text, &settings);
            assert!(settings.dialects.0 <= settings.dialects.1);
            assert!(!settings.name.is_empty());
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                let line = text.split('\n').nth(error.line.wrapping_sub(1));
                // The position after the last character counts, too.
                let columns = line.map(|line| line.chars().count() + 1);
                assert!(columns.is_some_and(|columns| (1..=columns).contains(&error.column)), "{error}");
                assert!(!error.message.is_empty());
            }
        }
    }
}

/// After an edit, a file contains the change and the previous settings.
fn edited(text: &str, before: &Settings) {
    let mut after = before.clone();
    after.comment = format!("{} 2", before.comment.chars().take(200).collect::<String>());
    after.autodisconnect = before.autodisconnect.map_or(Some(7), |_| None);
    match after.shares.first_mut() {
        Some(share) => {
            share.remark = String::from("\"'\\\n#");
            share.caching = Caching::Documents;
            share.grants.push(Grant { who: Grantee::Group(String::from("x]")), right: GrantRight::Change });
        }
        None => after.shares.push(ShareSettings::new(String::from("new"), "/srv".into())),
    }
    after.shares.truncate(2);
    let Ok(edited) = edit(text, before, &after) else { return };
    let told = parse(&edited, Path::new("/base"), Settings::conventional(true, |_| None));
    let told = told.unwrap_or_else(|errors| panic!("{errors:?} in {edited}"));
    assert_eq!(told.shares, after.shares, "{edited}");
    assert_eq!((told.comment, told.autodisconnect), (after.comment, after.autodisconnect), "{edited}");
    assert_eq!((told.name, told.listen, told.users_file), (after.name, after.listen, after.users_file));
}

/// True if parsing this would resolve a host name.
fn resolves_names(text: &str) -> bool {
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    let Some(listen) =
        table.get("server").and_then(|server| server.get("listen")).and_then(|it| it.as_array())
    else {
        return false;
    };
    listen.iter().filter_map(|entry| entry.as_str()).any(|entry| {
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        entry.parse::<SocketAddr>().is_err()
            && bare.parse::<IpAddr>().is_err()
            && entry.strip_prefix(':').is_none_or(|port| port.parse::<u16>().is_err())
    })
}

//! Servers as command lines and files name them.

use client::{NamedServer, ServerWord, servers_of_file, servers_of_list};

/// A list of servers: a parsed server is written in a form that parses to the same, and is valid in a UNC path.
pub fn servers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match servers_of_list(text) {
        Ok(words) => {
            for word in words {
                match word {
                    ServerWord::Named(server) => check(&server),
                    ServerWord::File(file) => assert!(text.contains(&format!("@{file}"))),
                }
            }
        }
        Err(word) => assert!(!word.is_empty() && text.contains(word)),
    }
    match servers_of_file(text) {
        Ok(servers) => servers.iter().for_each(check),
        Err(line) => assert!(!line.is_empty() && text.contains(line)),
    }
}

fn check(server: &NamedServer) {
    assert_eq!(server.to_string().parse().as_ref(), Ok(server));
    let host = server.place.unc_host();
    let strange = |c: char| c.is_whitespace() || c.is_control() || r"\/:[],".contains(c);
    assert!(!host.is_empty() && !host.contains(strange), "{host:?}");
}

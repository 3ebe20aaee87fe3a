//! The secret of the cluster, which its nodes have and etcd does not. It seals values that readers of etcd, and of its
//! backups, must not know.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::ids::NodeName;
use zeroize::Zeroizing;

use crate::core::state_file;

/// The secret.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; 32]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A new secret.
    pub(super) fn random() -> Result<Self, String> {
        let mut bytes = Zeroizing::new([0; 32]);
        crate::core::random::fill(&mut *bytes).map_err(|_| String::from("the system has no random bytes"))?;
        Ok(Self(bytes))
    }

    /// The secret of this text. `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The parser of numbers takes a sign, too.
        if text.len() != 64 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = Zeroizing::new([0; 32]);
        for (byte, at) in bytes.iter_mut().zip((0..64_usize).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at.saturating_add(2))?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The text.
    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The secret that this machine has for the cluster of this name. `None` if it has none.
    pub(super) fn load(state_directory: &Path, cluster: &NodeName) -> Result<Option<Self>, String> {
        let name = file(cluster);
        match state_file::read(state_directory, &name, SECRET_BYTES_MAX) {
            Ok(text) => match Self::parse(text.trim()) {
                Some(secret) => Ok(Some(secret)),
                None => Err(format!("{} has no secret of a cluster", state_directory.join(name).display())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", state_directory.join(name).display())),
        }
    }

    /// Stores the secret on this machine; only the server's user can read it.
    pub(super) fn store(&self, state_directory: &Path, cluster: &NodeName) -> Result<(), String> {
        store(state_directory, &file(cluster), &self.text())
    }

    /// Removes the file of the secret, unless it has another one meanwhile.
    pub(super) fn discard(&self, state_directory: &Path, cluster: &NodeName) -> Result<(), String> {
        if Self::load(state_directory, cluster)?.is_none_or(|it| it.mark() != self.mark()) {
            return Ok(());
        }
        let path = state_directory.join(file(cluster));
        std::fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))
    }

    /// The text by which nodes know that they have the same secret. It does not tell what the secret is.
    pub(super) fn mark(&self) -> String {
        self.derived("shareward cluster mark").iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals a text for the key of etcd with this path, in the cluster with this id.
    pub(super) fn seal(&self, cluster: &str, path: &str, text: &str) -> Result<String, String> {
        let mut nonce = [0; NONCE_LEN];
        crate::core::random::fill(&mut nonce).map_err(|_| String::from("the system has no random bytes"))?;
        let mut bytes = Zeroizing::new(text.as_bytes().to_vec());
        let aad = Aad::from(format!("{cluster}\n{path}"));
        let (at, key) = (Nonce::assume_unique_for_key(nonce), self.key()?);
        let tag = key.seal_in_place_separate_tag(at, aad, &mut bytes);
        let tag = tag.map_err(|_| String::from("cannot encrypt"))?;
        Ok(STANDARD.encode([&nonce, bytes.as_slice(), tag.as_ref()].concat()))
    }

    /// Opens a text that was sealed for the same key in the same cluster.
    pub(super) fn open(&self, cluster: &str, path: &str, sealed: &str) -> Result<Zeroizing<String>, String> {
        let wrong = || String::from("the value was not sealed with the secret of this node");
        let bytes = Zeroizing::new(STANDARD.decode(sealed).map_err(|_| wrong())?);
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(format!("{cluster}\n{path}"));
        let opened = self.key()?.open_in_place(nonce, aad, &mut sealed).map_err(|_| wrong())?;
        let text = std::str::from_utf8(opened).map_err(|_| wrong())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn key(&self) -> Result<LessSafeKey, String> {
        let bytes = self.derived("shareward cluster seal");
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| String::from("cannot encrypt"))?;
        Ok(LessSafeKey::new(key))
    }

    fn derived(&self, label: &str) -> Zeroizing<Vec<u8>> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.0);
        Zeroizing::new(hmac::sign(&key, label.as_bytes()).as_ref().to_vec())
    }
}

/// Replaces a file of the state directory for the user of the server, who is perhaps not that of the command: the directory is
/// that user's.
pub(super) fn store(state_directory: &Path, name: &str, text: &str) -> Result<(), String> {
    let stored = state_file::replace_for_owner(state_directory, name, text);
    stored.map_err(|error| format!("cannot write {}: {error}", state_directory.join(name).display()))
}

/// The file of the state directory with the secret.
pub(super) fn file(cluster: &NodeName) -> String {
    format!("cluster-{cluster}.secret")
}

/// The file of the state directory with the id of a cluster that is being made. While it is there, the secret is that of this
/// cluster, so that `init` can be run again.
pub(super) fn unfinished_file(cluster: &NodeName) -> String {
    format!("cluster-{cluster}.init")
}

const SECRET_BYTES_MAX: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_texts_open_for_their_key_and_cluster_only() {
        let secret = Secret::random().unwrap();
        let again = Secret::parse(&secret.text()).unwrap();
        let sealed = secret.seal("id", "/k", "a line").unwrap();
        assert_eq!(*again.open("id", "/k", &sealed).unwrap(), "a line");
        assert!(again.open("id", "/other", &sealed).is_err());
        assert!(again.open("other", "/k", &sealed).is_err());
        assert!(Secret::random().unwrap().open("id", "/k", &sealed).is_err());
        for wrong in ["", "AAAA", "*", &sealed[..sealed.len() - 4]] {
            assert!(again.open("id", "/k", wrong).is_err(), "{wrong}");
        }
        assert_eq!(secret.mark(), again.mark());
        assert_ne!(secret.mark(), Secret::random().unwrap().mark());
        let digits = secret.text();
        for wrong in
            ["zz", &format!("+{}", &digits[1..]), &format!(" {}", &digits[1..]), &format!("{}\n", *digits)]
        {
            assert!(Secret::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn the_secret_is_stored_for_the_servers_user_only() {
        let directory = tempfile::tempdir().unwrap();
        let name = NodeName::new("office").unwrap();
        assert!(Secret::load(directory.path(), &name).unwrap().is_none());
        let secret = Secret::random().unwrap();
        secret.store(directory.path(), &name).unwrap();
        assert_eq!(Secret::load(directory.path(), &name).unwrap().unwrap().mark(), secret.mark());
        std::fs::write(directory.path().join("cluster-office.secret"), "no").unwrap();
        assert!(Secret::load(directory.path(), &name).is_err());
    }
}

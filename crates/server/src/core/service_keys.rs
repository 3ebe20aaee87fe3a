//! The keys for tickets: those of the keytab as it is now.
//!
//! The machine's password changes every month or so, and the program that changes it adds the new keys to the keytab. A
//! logon checks if the file is still the one that was read, so that the new keys are in force without a restart. A file
//! that cannot be read, or that is being written, changes nothing; the log has this once for each version of the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use auth::AcceptorConfig;
use auth::kerberos::{KerberosOptions, KerberosService, Keytab, KeytabError, MAX_KEYTAB, UsedAuthenticators};
use parking_lot::Mutex;

use crate::core::config::DomainSettings;
use crate::core::file_version::Version;
use crate::core::replay_journal;
use crate::core::server::Server;

/// The keys in force, and the version of the file that they were read from.
#[derive(Default)]
pub(crate) struct ServiceKeys {
    loaded: Mutex<Loaded>,
    /// The authenticators that were used with any of the server's keys.
    used: OnceLock<UsedAuthenticators>,
    /// Keys were read from the keytab of the settings. Its own field, because the lock is held while the file is read.
    are_there: AtomicBool,
}

#[derive(Default)]
struct Loaded {
    path: PathBuf,
    /// The version that was read last; `None` if the file has to be read again in any case.
    version: Option<Version>,
    /// The version that the log has reported as unusable.
    told: Option<Version>,
    service: Option<Arc<KerberosService>>,
}

/// The reason for not reading a keytab.
#[derive(Debug, thiserror::Error)]
enum NotLoaded {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Keytab(#[from] KeytabError),
    #[error("the keytab has no keys of supported encryption types")]
    Empty,
}

impl ServiceKeys {
    /// The service with the keys that are in the file now. Waits for the file system.
    fn current(
        &self,
        domain: &DomainSettings,
        used: impl FnOnce() -> UsedAuthenticators,
    ) -> Option<Arc<KerberosService>> {
        let options = KerberosOptions { rc4: domain.rc4, clock_skew: domain.clock_skew };
        let mut loaded = self.loaded.lock();
        let loaded = &mut *loaded;
        if loaded.path != domain.keytab {
            *loaded = Loaded { path: domain.keytab.clone(), ..Loaded::default() };
        }
        // The version is taken before the file is read: a change in between has another version the next time.
        let (version, is_young) = Version::of(&loaded.path);
        if loaded.version != Some(version) {
            loaded.version = (!is_young).then_some(version);
            match load(&loaded.path) {
                Ok(keytab) => loaded.replace(keytab, options, self.used.get_or_init(used)),
                Err(error) => loaded.tell(version, &error),
            }
        }
        self.are_there.store(loaded.service.is_some(), Ordering::Relaxed);
        let service = loaded.service.as_ref()?;
        if service.options() != options {
            loaded.service = Some(Arc::new(service.with_options(options)));
        }
        loaded.service.clone()
    }
}

impl Loaded {
    fn replace(&mut self, keytab: Keytab, options: KerberosOptions, used: &UsedAuthenticators) {
        let keys = keytab.entries().len();
        match &self.service {
            Some(service) if service.keytab().entries() == keytab.entries() => {}
            Some(service) => {
                tracing::info!(target: "audit", path = %self.path.display(), keys, "the keytab has changed");
                service.replace_keytab(keytab);
            }
            None => {
                tracing::info!(path = %self.path.display(), keys, "keytab read; tickets are accepted");
                self.service = Some(Arc::new(KerberosService::new(keytab, options, used.clone())));
            }
        }
    }

    fn tell(&mut self, version: Version, error: &NotLoaded) {
        if self.told.replace(version) == Some(version) {
            return;
        }
        let consequence = match self.service {
            Some(_) => "the keys in force stay as they were",
            None => "no tickets are accepted",
        };
        tracing::warn!(path = %self.path.display(), "cannot read the keytab: {error}; {consequence}");
    }
}

fn load(path: &Path) -> Result<Keytab, NotLoaded> {
    let mut data = zeroize::Zeroizing::new(Vec::new());
    // One byte more than allowed shows that the file is too large.
    let most = u64::try_from(MAX_KEYTAB).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut data)?;
    let keytab = Keytab::parse(&data)?;
    if keytab.entries().iter().all(|entry| entry.key.is_none()) {
        return Err(NotLoaded::Empty);
    }
    Ok(keytab)
}

impl Server {
    /// The keys for tickets that are in the keytab now; `None` if the server is in no domain or has no keys. Waits for
    /// the file system.
    pub(crate) fn kerberos(&self) -> Option<Arc<KerberosService>> {
        let settings = self.settings();
        let used = || replay_journal::restore(&settings.state_directory, self.file_time());
        self.logons.keys.current(settings.domain.as_ref()?, used)
    }

    /// True if the server has keys for tickets, as far as it has read them: at its start, with new settings, and at
    /// each logon. A stranger's first message has no file read, unless there were no keys until now.
    pub(crate) fn offers_kerberos(&self) -> bool {
        self.settings().domain.is_some()
            && (self.logons.keys.are_there.load(Ordering::Relaxed) || self.kerberos().is_some())
    }

    /// The parameters of logons of SMB clients. Waits for the file system.
    pub(crate) fn acceptor_config(&self) -> AcceptorConfig {
        AcceptorConfig { kerberos: self.kerberos(), ..self.settings().acceptor_config() }
    }
}

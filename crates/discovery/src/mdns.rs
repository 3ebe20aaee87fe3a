//! mDNS with DNS-SD.

use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};

use crate::Announced;

/// Announces a server by mDNS until it is dropped, which says good-bye. It has a thread of its own.
pub struct Mdns {
    daemon: ServiceDaemon,
    names: Vec<String>,
}

impl Mdns {
    /// Begins to announce the server. Another responder on the machine, such as avahi, can run beside it.
    ///
    /// # Errors
    ///
    /// Those of opening UDP port 5353.
    pub fn start(announced: &Announced) -> Result<Self, mdns_sd::Error> {
        let mut this = Self { daemon: ServiceDaemon::new()?, names: Vec::new() };
        // Of several rules for an interface, the last one counts.
        let listening = &announced.listening;
        if !listening.iter().any(|it| it.is_unspecified()) {
            this.daemon.disable_interface(IfKind::All)?;
            this.daemon.enable_interface(listening.iter().copied().map(IfKind::Addr).collect::<Vec<_>>())?;
        }
        let mut silent = vec![IfKind::LoopbackV4, IfKind::LoopbackV6];
        silent.extend(announced.leave_out.iter().cloned().map(IfKind::Name));
        this.daemon.disable_interface(silent)?;
        let host = format!("{}.local.", announced.name.to_ascii_lowercase());
        // The model selects the icon in Finder.
        for (kind, port, texts) in [
            ("_smb._tcp.local.", announced.port, None),
            ("_device-info._tcp.local.", 0, Some(("model", "RackMac"))),
        ] {
            let texts: Vec<_> = texts.into_iter().collect();
            let service = ServiceInfo::new(kind, &announced.name, &host, "", port, texts.as_slice())?;
            let service = service.enable_addr_auto();
            this.names.push(service.get_fullname().to_owned());
            this.daemon.register(service)?;
        }
        Ok(this)
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        // Without the answers, the names disappear from the lists later.
        for name in &self.names {
            if let Ok(done) = self.daemon.unregister(name) {
                let _ = done.recv_timeout(GOODBYE);
            }
        }
        let _ = self.daemon.shutdown();
    }
}

/// The time to say good-bye.
const GOODBYE: Duration = Duration::from_millis(500);

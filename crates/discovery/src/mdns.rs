//! mDNS with DNS-SD.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo, TxtProperty};

use crate::limits::{DISKS_MAX, MDNS_PORT, RECORD_TEXT_MAX};
use crate::links::{self, Link};
use crate::near::Ignored;
use crate::{Announced, Disk};

/// Announces a server by mDNS until it is dropped, which says good-bye. It has a thread of its own.
///
/// The crate keeps to the rates of RFC 6762 6: a record is sent to the group once a second on each link, except to defend it.
pub struct Mdns {
    daemon: ServiceDaemon,
    ignored: Ignored,
    announced: Announced,
    changing: Mutex<Changing>,
}

/// The part of the announcement that changes.
struct Changing {
    names: Vec<String>,
    disks: Vec<Disk>,
    links: Vec<Link>,
}

impl Mdns {
    /// Begins to announce the server. Another responder on the machine, such as avahi, can run beside it.
    ///
    /// # Errors
    ///
    /// Those of opening UDP port 5353.
    pub fn start(announced: &Announced) -> io::Result<Self> {
        let ignored = Ignored::open(MDNS_PORT)?;
        let links = links::current(announced);
        ignored.except(&links)?;
        let daemon = ServiceDaemon::new().map_err(io::Error::other)?;
        let changing = Mutex::new(Changing { names: Vec::new(), disks: Vec::new(), links });
        let this = Self { daemon, ignored, announced: announced.clone(), changing };
        this.announce().map_err(io::Error::other)?;
        this.refresh(&announced.disks);
        Ok(this)
    }

    fn announce(&self) -> Result<(), mdns_sd::Error> {
        // Of several rules for an interface, the last one counts.
        let listening = &self.announced.listening;
        if !listening.iter().any(|it| it.is_unspecified()) {
            self.daemon.disable_interface(IfKind::All)?;
            self.daemon.enable_interface(listening.iter().copied().map(IfKind::Addr).collect::<Vec<_>>())?;
        }
        let mut silent = vec![IfKind::LoopbackV4, IfKind::LoopbackV6];
        silent.extend(self.announced.leave_out.iter().cloned().map(IfKind::Name));
        self.daemon.disable_interface(silent)?;
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // The model selects the icon in Finder.
        for (kind, port, texts) in [
            ("_smb._tcp.local.", self.announced.port, None),
            ("_device-info._tcp.local.", 0, Some(("model", "RackMac"))),
        ] {
            let service = self.service(kind, port, texts.into_iter().map(TxtProperty::from).collect())?;
            changing.names.push(service.get_fullname().to_owned());
            self.daemon.register(service)?;
        }
        Ok(())
    }

    /// Announces these disks for Time Machine instead of those before, and answers the networks that the machine is in now.
    pub fn refresh(&self, disks: &[Disk]) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let links = links::current(&self.announced);
        if links != changing.links {
            match self.ignored.except(&links) {
                Ok(()) => changing.links = links,
                Err(error) => {
                    tracing::warn!(%error, "cannot answer questions by mDNS that are sent from new networks to the server itself");
                }
            }
        }
        if changing.disks == disks {
            return;
        }
        match self.announce_disks(disks) {
            Ok(()) => changing.disks = disks.to_vec(),
            Err(error) => tracing::warn!(%error, "cannot announce the shares for Time Machine"),
        }
    }

    fn announce_disks(&self, disks: &[Disk]) -> Result<(), mdns_sd::Error> {
        let texts = disk_texts(disks);
        let has_disks = texts.len() > 1;
        let service = self.service(DISKS, DISKS_PORT, texts.into_iter().map(TxtProperty::from).collect())?;
        if has_disks {
            // The new record takes the place of the one before.
            return self.daemon.register(service);
        }
        self.daemon.unregister(service.get_fullname()).map(drop)
    }

    fn service(&self, kind: &str, port: u16, texts: Vec<TxtProperty>) -> Result<ServiceInfo, mdns_sd::Error> {
        let host = format!("{}.local.", self.announced.name.to_ascii_lowercase());
        Ok(ServiceInfo::new(kind, &self.announced.name, &host, "", port, texts)?.enable_addr_auto())
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !changing.disks.is_empty()
            && let Ok(service) = self.service(DISKS, DISKS_PORT, Vec::new())
        {
            changing.names.push(service.get_fullname().to_owned());
        }
        // Without the answers, the names disappear from the lists later.
        for name in &changing.names {
            if let Ok(done) = self.daemon.unregister(name) {
                let _ = done.recv_timeout(GOODBYE);
            }
        }
        let _ = self.daemon.shutdown();
    }
}

/// The texts of the record of the disks, as Samba and Netatalk write them: first one for the machine, then one for each disk
/// with its name (adVN), its abilities (adVF, where 0x82 is Time Machine over SMB) and its number (adVU).
fn disk_texts(disks: &[Disk]) -> Vec<(String, String)> {
    let mut texts = vec![(String::from("sys"), String::from("waMa=0,adVF=0x100"))];
    for disk in disks {
        let (key, without) = (format!("dk{}", texts.len() - 1), format!("adVN={},adVF=0x82", disk.name));
        let with = format!("{without},adVU={}", disk.uuid);
        let fits = |text: &String| key.len() + 1 + text.len() <= RECORD_TEXT_MAX;
        // The name matters; without the number, Macs find the disk again by its name.
        let text = [with, without].into_iter().find(fits).filter(|_| texts.len() <= DISKS_MAX);
        match text {
            Some(text) => texts.push((key, text)),
            None => tracing::warn!(
                share = disk.name,
                "a share for Time Machine is not announced: its name is too long, or there are too many"
            ),
        }
    }
    texts
}

/// The time to say good-bye.
const GOODBYE: Duration = Duration::from_millis(500);

/// The type of the record of the disks.
const DISKS: &str = "_adisk._tcp.local.";

/// The port in it, which means nothing.
const DISKS_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str) -> Disk {
        Disk { name: name.into(), uuid: "11111111-2222-8333-8444-555555555555".into() }
    }

    #[test]
    fn disks_are_texts_of_one_record() {
        let texts = disk_texts(&[disk("backup"), disk("Sicherung für Macs")]);
        let lines: Vec<String> = texts.iter().map(|(key, text)| format!("{key}={text}")).collect();
        assert_eq!(
            lines,
            [
                "sys=waMa=0,adVF=0x100",
                "dk0=adVN=backup,adVF=0x82,adVU=11111111-2222-8333-8444-555555555555",
                "dk1=adVN=Sicherung für Macs,adVF=0x82,adVU=11111111-2222-8333-8444-555555555555",
            ]
        );
    }

    #[test]
    fn long_names_lose_the_number_and_too_many_disks_are_left_out() {
        let long = "名".repeat(76);
        let texts = disk_texts(&[disk(&long), disk(&"名".repeat(80)), disk("next")]);
        assert_eq!(texts[1].1, format!("adVN={long},adVF=0x82"));
        assert!(texts[2].1.starts_with("adVN=next,") && texts[2].0 == "dk1", "{texts:?}");
        assert_eq!(disk_texts(&vec![disk("a"); DISKS_MAX + 5]).len(), DISKS_MAX + 1);
    }
}

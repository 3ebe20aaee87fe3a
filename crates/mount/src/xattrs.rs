//! Extended attributes: `user.NAME` is the server's attribute NAME (MS-FSCC 2.4.16); the server may change
//! its case.

use std::ffi::OsStr;

use client::smb::Error;
use fuser::{Errno, INodeNo};
use wire::fscc::FileInfoClass;
use wire::fscc::ea::{EaEntry, decode_eas, encode_eas};
use wire::msg::{AdditionalInformation, CreateOptions, InfoType};
use wire::{AccessMask, NtStatus};

use crate::limits::EA_BYTES_MAX;
use crate::volume::Volume;

/// The condition for setting an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// XATTR_CREATE.
    Absent,
    /// XATTR_REPLACE.
    Present,
}

type Attributes = Vec<(String, Vec<u8>)>;

impl Volume {
    /// The value of an attribute.
    pub(crate) async fn attribute(&self, number: INodeNo, name: &OsStr) -> Result<Vec<u8>, Errno> {
        let name = server_name(name)?;
        let all = self.all_attributes(number).await?;
        let found = all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).ok_or(Errno::ENODATA)
    }

    /// The names of all attributes, each followed by a zero.
    pub(crate) async fn attribute_names(&self, number: INodeNo) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        for (name, _) in self.all_attributes(number).await? {
            names.extend_from_slice(PREFIX.as_bytes());
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        Ok(names)
    }

    /// Sets an attribute. An empty value is refused, because servers take it for a removal.
    pub(crate) async fn set_attribute(
        &self,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        when: When,
    ) -> Result<(), Errno> {
        let name = server_name(name)?;
        if value.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        if when != When::Always {
            let all = self.all_attributes(number).await?;
            let present = all.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            match (when, present) {
                (When::Absent, true) => return Err(Errno::EEXIST),
                (When::Present, false) => return Err(Errno::ENODATA),
                _ => {}
            }
        }
        self.put_attribute(number, name, value).await
    }

    /// Removes an attribute.
    pub(crate) async fn remove_attribute(&self, number: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let server = server_name(name)?;
        self.attribute(number, name).await?;
        self.put_attribute(number, server, &[]).await
    }

    async fn put_attribute(&self, number: INodeNo, name: &str, value: &[u8]) -> Result<(), Errno> {
        let mut buffer = Vec::new();
        let entry = EaEntry { flags: 0, name: name.as_bytes(), value };
        let max = usize::try_from(EA_BYTES_MAX).unwrap_or(usize::MAX);
        if encode_eas([entry], &mut buffer, max) != wire::fscc::Fit::Whole || buffer.is_empty() {
            return Err(Errno::E2BIG);
        }
        let class = FileInfoClass::FULL_EA.0;
        let set = self.with_number(number, AccessMask::WRITE_EA, CreateOptions::NONE, async |file| {
            file.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &buffer).await
        });
        set.await.map(|((), _)| ())
    }

    async fn all_attributes(&self, number: INodeNo) -> Result<Attributes, Errno> {
        let class = FileInfoClass::FULL_EA.0;
        let none = [NtStatus::NO_EAS_ON_FILE, NtStatus::NO_MORE_ENTRIES, NtStatus::NONEXISTENT_EA_ENTRY];
        let buffer = self.with_number(number, AccessMask::READ_EA, CreateOptions::NONE, async |file| {
            let answer =
                file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, EA_BYTES_MAX).await;
            match answer {
                Err(Error::Status(status, _)) if none.contains(&status) => Ok(Default::default()),
                answer => answer,
            }
        });
        let (buffer, _) = buffer.await?;
        decode_eas(&buffer)
            .map(|entry| {
                let entry = entry.map_err(|_| Errno::EIO)?;
                Ok((String::from_utf8_lossy(entry.name).into_owned(), entry.value.to_vec()))
            })
            .collect()
    }
}

/// The server's name of an attribute. Only the name space `user` exists there.
fn server_name(name: &OsStr) -> Result<&str, Errno> {
    let name = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).ok_or(Errno::EOPNOTSUPP)?;
    if name.is_empty() || !name.is_ascii() { Err(Errno::EINVAL) } else { Ok(name) }
}

const PREFIX: &str = "user.";

//! The POSIX extensions: requests on POSIX opens (POSIX-SMB2, POSIX-FSCC).

use wire::fscc::FileInfoClass;
use wire::msg::{AdditionalInformation, InfoType};
use wire::posix::PosixInfo;
use wire::security::{Ace, AceFlags, Acl, SdControl, SecurityDescriptor, Sid};
use wire::{AccessMask, ReadCursor};

use super::error::Error;
use super::file::File;

impl File {
    /// FilePosixInformation.
    pub async fn posix_info(&self) -> Result<PosixInfo, Error> {
        let class = FileInfoClass::POSIX.0;
        let info = self.query_info(InfoType::FILE, class, AdditionalInformation::NONE, INFO_BYTES).await?;
        Ok(PosixInfo::read(&mut ReadCursor::new(&info))?)
    }

    /// Sets the mode, as chmod(2) does: a DACL whose one entry says it.
    pub async fn set_posix_mode(&self, mode: u32) -> Result<(), Error> {
        let entry = Ace::allow(Sid::of(5, [88, 3, mode]), AccessMask::NONE, AceFlags::NONE);
        self.set_security(
            AdditionalInformation::DACL,
            &SecurityDescriptor {
                dacl: Some(Acl { aces: vec![entry] }),
                control: SdControl::DACL_PRESENT,
                ..SecurityDescriptor::default()
            },
        )
        .await
    }

    /// SET_INFO with the parts of a security descriptor.
    pub async fn set_security(
        &self,
        which: AdditionalInformation,
        descriptor: &SecurityDescriptor,
    ) -> Result<(), Error> {
        let mut buffer = Vec::new();
        descriptor.encode(&mut buffer).map_err(|_| Error::Unable("a security descriptor is too large"))?;
        self.set_info(InfoType::SECURITY, 0, which, &buffer).await
    }
}

/// Room for the longest FilePosixInformation.
#[expect(clippy::cast_possible_truncation, reason = "it is a few hundred bytes")]
const INFO_BYTES: u32 = PosixInfo::SIZE_MAX as u32;

//! SMB2_0_INFO_FILE of files: MS-SMB2 3.3.5.20.1, MS-FSA 2.1.5.12, MS-FSCC 2.4.

use vfs::short_name::short_name;
use vfs::{Stat, Xattr};
use wire::fscc::file_info::{
    AccessInfo, AlignmentInfo, AttributeTagInfo, BasicInfo, CompressionInfo, EaInfo, IdInfo, InternalInfo,
    ModeInfo, NetworkOpenInfo, PositionInfo, StandardInfo, StandardLinkInfo,
};
use wire::fscc::named_info::{AllInfo, encode_name_info};
use wire::fscc::stream_info::{StreamEntry, encode_streams};
use wire::fscc::{FileInfoClass, Fit, encode_fixed};
use wire::msg::QueryInfoRequest;
use wire::posix::PosixInfo;
use wire::{AccessMask, Dialect, NtStatus};

use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};
use crate::smb::handlers::ea;
use crate::smb::handlers::{display_path, posix, put_output};

/// Answers with one class of a file, directory or stream.
pub(super) fn answer(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    query: &QueryInfoRequest<'_>,
    answer: &mut AnswerBuilder,
) -> Outcome {
    let class = FileInfoClass(query.file_info_class);
    if !open.access().contains(needed(class)) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let subject = Subject { request, open, file };
    let fit =
        put_output(answer, |out| subject.encode(class, query, out, query.output_buffer_length as usize))?;
    super::status(fit)
}

/// The access that the open needs (MS-FSA 2.1.5.12).
fn needed(class: FileInfoClass) -> AccessMask {
    match class {
        FileInfoClass::BASIC
        | FileInfoClass::ALL
        | FileInfoClass::NETWORK_OPEN
        | FileInfoClass::ATTRIBUTE_TAG
        | FileInfoClass::POSIX => AccessMask::READ_ATTRIBUTES,
        FileInfoClass::FULL_EA => AccessMask::READ_EA,
        _ => AccessMask::NONE,
    }
}

/// The queried file.
struct Subject<'a> {
    request: &'a Request<'a>,
    open: &'a Open,
    file: &'a OpenFile,
}

impl Subject<'_> {
    fn encode(
        &self,
        class: FileInfoClass,
        query: &QueryInfoRequest<'_>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<Fit, NtStatus> {
        Ok(match class {
            FileInfoClass::BASIC => encode_fixed(&basic(&self.stat()?), out, max),
            FileInfoClass::STANDARD => encode_fixed(&self.standard(&self.stat()?), out, max),
            FileInfoClass::INTERNAL => encode_fixed(&self.internal(&self.stat()?)?, out, max),
            FileInfoClass::EA => encode_fixed(&self.ea()?, out, max),
            FileInfoClass::ACCESS => encode_fixed(&self.access(), out, max),
            FileInfoClass::POSITION => encode_fixed(&self.position(), out, max),
            FileInfoClass::MODE => encode_fixed(&self.mode(), out, max),
            FileInfoClass::ALIGNMENT => encode_fixed(&AlignmentInfo::default(), out, max),
            FileInfoClass::ALL => self.all()?.encode_with_name(&self.name(), out, max),
            FileInfoClass::NORMALIZED_NAME => {
                let negotiated = self.request.connection.negotiated.get();
                if negotiated.is_none_or(|it| it.dialect < Dialect::SMB311) {
                    return Err(NtStatus::NOT_SUPPORTED);
                }
                encode_name_info(&display_path(&self.file.path()), out, max)
            }
            FileInfoClass::ALTERNATE_NAME => {
                let path = self.file.path();
                let name = path.name().and_then(short_name).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
                encode_name_info(&name, out, max)
            }
            FileInfoClass::STREAM => self.streams(out, max)?,
            FileInfoClass::NETWORK_OPEN => encode_fixed(&network_open(&self.stat()?), out, max),
            FileInfoClass::ATTRIBUTE_TAG => {
                let Stat { attributes, reparse_tag, .. } = self.stat()?;
                encode_fixed(&AttributeTagInfo { attributes, reparse_tag }, out, max)
            }
            FileInfoClass::COMPRESSION => {
                let compressed_size = self.stat()?.size;
                encode_fixed(&CompressionInfo { compressed_size, ..CompressionInfo::default() }, out, max)
            }
            FileInfoClass::FULL_EA => {
                let xattrs = self.xattrs()?;
                ea::query(&xattrs, query, &mut self.file.state().next_ea, out)?
            }
            FileInfoClass::ID => encode_fixed(&self.id()?, out, max),
            FileInfoClass::STANDARD_LINK => encode_fixed(&self.standard_link()?, out, max),
            FileInfoClass::POSIX if self.file.posix => self.posix()?.encode_within(out, max),
            FileInfoClass::OBJECT_ID
            | FileInfoClass::QUOTA
            | FileInfoClass::REPARSE_POINT
            | FileInfoClass::SFIO_RESERVE
            | FileInfoClass::SFIO_VOLUME
            | FileInfoClass::HARD_LINK
            | FileInfoClass::CASE_SENSITIVE => return Err(NtStatus::NOT_SUPPORTED),
            _ => return Err(NtStatus::INVALID_INFO_CLASS),
        })
    }

    fn stat(&self) -> Result<Stat, NtStatus> {
        self.file.stat().or_status().map(|stat| self.shown(stat))
    }

    fn shown(&self, mut stat: Stat) -> Stat {
        stat.attributes = self.open.tree().shown_attributes(self.file.path().name(), stat.attributes);
        stat
    }

    /// The path from the share's root, in the form of FileAllInformation (MS-FSCC 2.4.2).
    fn name(&self) -> String {
        format!("\\{}", display_path(&self.file.path()))
    }

    /// FileStandardInformation; links that are being deleted do not count (MS-FSA 2.1.5.12.27).
    fn standard(&self, stat: &Stat) -> StandardInfo {
        let registry = &self.request.connection.server.registry;
        let (is_deleted, deleted_links) = match registry.has_pending_deletes() {
            true => {
                let registry = registry.lock("query_info");
                let target = registry.open(self.open.file_id()).and_then(|info| info.target.file());
                let deleted_links = target.map_or(0, |key| registry.deleted_links(key));
                (registry.is_open_deleted(self.open.file_id()), deleted_links)
            }
            false => (false, 0),
        };
        let number_of_links = stat.links.saturating_sub(u32::try_from(deleted_links).unwrap_or(u32::MAX));
        StandardInfo {
            allocation_size: stat.allocation,
            end_of_file: stat.size,
            number_of_links,
            delete_pending: is_deleted || number_of_links == 0,
            directory: self.file.is_directory,
        }
    }

    /// POSIX-FSCC 2.4.1.
    fn posix(&self) -> Result<PosixInfo, NtStatus> {
        let stat = self.stat()?;
        let user = crate::smb::handlers::user_of_files(self.request)?;
        Ok(PosixInfo {
            created: stat.created,
            accessed: stat.accessed,
            modified: stat.modified,
            changed: stat.changed,
            size: stat.size,
            allocation_size: stat.allocation,
            attributes: stat.attributes,
            file_id: self.internal(&stat)?.index_number,
            device: posix::device(&stat),
            posix: posix::attributes(&user.token, &stat, self.standard(&stat).number_of_links),
        })
    }

    fn standard_link(&self) -> Result<StandardLinkInfo, NtStatus> {
        let stat = self.stat()?;
        let standard = self.standard(&stat);
        Ok(StandardLinkInfo {
            accessible_links: standard.number_of_links,
            total_links: stat.links,
            delete_pending: standard.delete_pending,
            directory: standard.directory,
        })
    }

    fn access(&self) -> AccessInfo {
        AccessInfo { access: self.open.access() }
    }

    fn position(&self) -> PositionInfo {
        PositionInfo { current_byte_offset: self.file.state().position }
    }

    fn mode(&self) -> ModeInfo {
        ModeInfo { mode: self.file.current_mode() }
    }

    fn all(&self) -> Result<AllInfo, NtStatus> {
        let (stat, ea_size) = self.file.stat_and_ea_size().or_status()?;
        let stat = self.shown(stat);
        Ok(AllInfo {
            basic: basic(&stat),
            standard: self.standard(&stat),
            internal: self.internal(&stat)?,
            ea: EaInfo { ea_size },
            access: self.access(),
            position: self.position(),
            mode: self.mode(),
            alignment: AlignmentInfo::default(),
        })
    }

    fn id(&self) -> Result<IdInfo, NtStatus> {
        let backend = self.open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
        let volume = backend.volume(&*self.file.handle).or_status()?;
        Ok(IdInfo {
            volume_serial: volume.serial.into(),
            file_id: u128::from(self.internal(&self.stat()?)?.index_number).to_le_bytes(),
        })
    }

    fn internal(&self, stat: &Stat) -> Result<InternalInfo, NtStatus> {
        let backend = self.open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
        Ok(InternalInfo { index_number: backend.file_id(&*self.file.handle, stat) })
    }

    fn xattrs(&self) -> Result<Vec<Xattr>, NtStatus> {
        match self.file.handle.xattrs() {
            Err(vfs::Error::NotSupported) => Ok(Vec::new()),
            result => result.or_status(),
        }
    }

    fn ea(&self) -> Result<EaInfo, NtStatus> {
        Ok(EaInfo { ea_size: self.file.handle.ea_size().or_status()? })
    }

    /// MS-FSCC 2.4.49: the data of a file first, then its named streams.
    fn streams(&self, out: &mut Vec<u8>, max: usize) -> Result<Fit, NtStatus> {
        let named = match self.file.handle.streams() {
            Err(vfs::Error::NotSupported) => Vec::new(),
            result => result.or_status()?,
        };
        let mut streams = Vec::with_capacity(named.len() + 1);
        if let Some(data) = self.data()? {
            streams.push((String::from("::$DATA"), data.size, data.allocation));
        }
        for stream in named {
            streams.push((format!(":{}:$DATA", stream.name), stream.size, stream.allocation));
        }
        let entries = streams.iter().map(|(name, size, allocation)| StreamEntry {
            name: name.as_str(),
            size: *size,
            allocation_size: *allocation,
        });
        Ok(encode_streams(entries, out, max))
    }

    /// The metadata of the unnamed stream; `None` for a directory. An open of a named stream has other sizes,
    /// so the file itself is queried.
    fn data(&self) -> Result<Option<Stat>, NtStatus> {
        let path = self.file.path();
        let stat = if path.stream().is_none() {
            self.stat()?
        } else {
            let backend = self.open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
            let actor = crate::smb::handlers::actor(self.request)?;
            backend.file_of(&actor, &*self.file.handle).or_status()?.stat
        };
        Ok((!stat.is_directory()).then_some(stat))
    }
}

fn basic(stat: &Stat) -> BasicInfo {
    BasicInfo {
        created: stat.created,
        accessed: stat.accessed,
        modified: stat.modified,
        changed: stat.changed,
        attributes: stat.attributes,
    }
}

fn network_open(stat: &Stat) -> NetworkOpenInfo {
    NetworkOpenInfo {
        created: stat.created,
        accessed: stat.accessed,
        modified: stat.modified,
        changed: stat.changed,
        allocation_size: stat.allocation,
        end_of_file: stat.size,
        attributes: stat.attributes,
    }
}

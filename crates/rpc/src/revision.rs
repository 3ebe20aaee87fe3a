//! The abilities of both sides of an interface, which its first call exchanges.

use crate::ndr::{NdrError, Parameter, Reader, Writer};

ndr_struct! {
    /// LSAPR_REVISION_INFO_V1 (MS-LSAD 2.2.2.6) and SAMPR_REVISION_INFO_V1 (MS-SAMR 2.2.7.15): the abilities of one
    /// side that the calls themselves do not express.
    RevisionInfo1 {
        revision: u32 = "Revision",
        supported_features: u32 = "SupportedFeatures",
    }
}

/// Two parameters: a version, and the LSAPR_REVISION_INFO (MS-LSAD 2.2.2.7) or SAMPR_REVISION_INFO
/// (MS-SAMR 2.2.7.16) of that version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RevisionInfo {
    /// Version 1, the only one that is specified.
    V1(RevisionInfo1),
    /// Another version, whose content is unknown.
    Unknown(u32),
}

impl RevisionInfo {
    const VERSION_1: u32 = 1;
}

impl Default for RevisionInfo {
    fn default() -> Self {
        Self::V1(RevisionInfo1 { revision: 1, supported_features: 0 })
    }
}

impl Parameter for RevisionInfo {
    fn write_whole(&self, to: &mut Writer) {
        let version = match self {
            Self::V1(_) => Self::VERSION_1,
            Self::Unknown(version) => *version,
        };
        to.u32(version);
        to.u32(version);
        if let Self::V1(info) = self {
            info.write_whole(to);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let (version, discriminant) = (from.u32()?, from.u32()?);
        if version != discriminant {
            return Err(NdrError::Discriminant { level: version, discriminant });
        }
        if version == Self::VERSION_1 {
            return Parameter::read_whole(from).map(Self::V1);
        }
        from.lose_way();
        Ok(Self::Unknown(version))
    }
}

#[cfg(test)]
mod any {
    use super::RevisionInfo;
    use crate::entropy::{Any, Entropy};

    impl Any for RevisionInfo {
        fn any(from: &mut Entropy<'_>) -> Self {
            match from.below(2) {
                0 => Self::V1(Any::any(from)),
                // Unlike version 1 whatever is drawn.
                _ => Self::Unknown(u32::any(from) | 2),
            }
        }
    }
}

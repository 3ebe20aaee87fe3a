//! NEGOTIATE: MS-SMB2 3.3.5.3 (from SMB1) and 3.3.5.4.

use auth::sealing::Cipher;
use auth::signing::SigningAlgorithm;
use registry::ConnectionDetails;
use wire::header::{Command, Header, HeaderFlags};
use wire::msg::{
    CipherId, GlobalCapabilities, HashAlgorithmId, NegotiateContext, NegotiateContexts, NegotiateRequest,
    NegotiateResponse, SecurityMode, SigningAlgorithmId, U16List,
};
use wire::posix::{POSIX_VERSION, offers_posix};
use wire::smb1::Smb1Negotiate;
use wire::{Dialect, Guid, MessageId, NtStatus};

use super::malformed;
use crate::core::config::{Encryption, Signing};
use crate::core::limits;
use crate::smb::connection::{Answer, AnswerBuilder, Negotiated, Outcome, Request, SmbConnection, Violation};

/// Handles NEGOTIATE.
pub(crate) fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let connection = request.connection;
    let settings = connection.server.settings();
    let negotiate = NegotiateRequest::decode(request.message).map_err(malformed)?;
    let dialect = best_dialect(negotiate.dialects(), settings.dialects).ok_or(NtStatus::NOT_SUPPORTED)?;
    let contexts =
        if dialect == Dialect::SMB311 { Contexts::read(negotiate.contexts)? } else { Contexts::default() };

    let may_seal = settings.encryption != Encryption::Off;
    let cipher = match dialect {
        Dialect::SMB311 => contexts.cipher.filter(|_| may_seal),
        Dialect::SMB300 | Dialect::SMB302 if may_seal => {
            negotiate.capabilities.contains(GlobalCapabilities::ENCRYPTION).then_some(Cipher::Aes128Ccm)
        }
        _ => None,
    };
    let signing = match dialect {
        Dialect::SMB311 => contexts.signing.unwrap_or(SigningAlgorithm::AesCmac),
        Dialect::SMB300 | Dialect::SMB302 => SigningAlgorithm::AesCmac,
        _ => SigningAlgorithm::HmacSha256,
    };
    let negotiated = Negotiated {
        dialect,
        served_dialects: settings.dialects,
        client_guid: negotiate.client_guid,
        client_capabilities: negotiate.capabilities,
        client_security_mode: negotiate.security_mode,
        capabilities: capabilities(
            dialect,
            negotiate.capabilities,
            cipher,
            connection.server.files.watches.supports_leases(),
            settings.shares.iter().any(|share| share.continuous) || connection.server.cluster.is_member(),
            connection.server.cluster.is_member(),
        ),
        security_mode: security_mode(settings.signing),
        cipher,
        signing,
        posix: contexts.posix && settings.posix_extensions,
        max_io: if dialect == Dialect::SMB202 { limits::MAX_IO_SIZE_202 } else { limits::MAX_IO_SIZE },
    };

    let mut salt = [0; SALT_BYTES];
    let (mut hash_ids, mut cipher_ids, mut signing_ids) = (Vec::new(), Vec::new(), Vec::new());
    let mut answer_contexts = Vec::new();
    if dialect == Dialect::SMB311 {
        crate::core::random::fill(&mut salt)?;
        connection.preauth().update(request.message);
        answer_contexts.push(NegotiateContext::PreauthIntegrity {
            hash_algorithms: U16List::build([HashAlgorithmId::SHA_512.0], &mut hash_ids),
            salt: &salt,
        });
        if contexts.offers_ciphers {
            // Zero: there is no common cipher (MS-SMB2 3.3.5.4).
            let id = cipher.map_or(0, Cipher::id);
            let ciphers = U16List::build([id], &mut cipher_ids);
            answer_contexts.push(NegotiateContext::Encryption { ciphers });
        }
        if let Some(signing) = contexts.signing {
            let algorithms = U16List::build([signing.id()], &mut signing_ids);
            answer_contexts.push(NegotiateContext::Signing { algorithms });
        }
        if negotiated.posix {
            answer_contexts.push(NegotiateContext::Posix { versions: &POSIX_VERSION });
        }
    }
    let mut list = Vec::new();
    let contexts = NegotiateContexts::build(&answer_contexts, &mut list);
    respond(connection, &negotiated, contexts, answer);
    tell_registry(connection, &negotiated);
    if connection.negotiated.set(negotiated).is_err() {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok(NtStatus::SUCCESS)
}

/// The highest dialect that both sides support (MS-SMB2 3.3.5.4).
pub(crate) fn best_dialect(
    offered: impl Iterator<Item = Dialect>,
    (lowest, highest): (Dialect, Dialect),
) -> Option<Dialect> {
    offered
        .filter(|dialect| {
            dialect.name().is_some() && *dialect != Dialect::WILDCARD && (lowest..=highest).contains(dialect)
        })
        .max()
}

/// Handles the NEGOTIATE of SMB1 with which a client checks for SMB2 support (MS-SMB2 3.3.5.3.1, 3.3.5.3.2).
/// SMB1 itself is not supported.
pub(crate) fn handle_smb1(connection: &SmbConnection, message: &[u8]) -> Result<Option<Answer>, Violation> {
    let offered = Smb1Negotiate::decode(message).map_err(|_| Violation::Smb1)?;
    let settings = connection.server.settings();
    let (lowest, highest) = settings.dialects;
    let dialect = if offered.smb_2_wildcard && highest > Dialect::SMB202 {
        Dialect::WILDCARD
    } else if offered.smb_2_002 && lowest == Dialect::SMB202 {
        Dialect::SMB202
    } else {
        return Err(Violation::Smb1);
    };
    // Both kinds of NEGOTIATE count as message 0.
    let header = Header { command: Command::NEGOTIATE, message_id: MessageId(0), ..Header::default() };
    if connection.negotiated.get().is_some() || !connection.take_message_ids(&header) {
        return Err(Violation::Negotiation);
    }
    let negotiated = Negotiated {
        dialect,
        served_dialects: settings.dialects,
        client_guid: Guid::default(),
        client_capabilities: GlobalCapabilities::NONE,
        client_security_mode: SecurityMode::NONE,
        capabilities: GlobalCapabilities::NONE,
        security_mode: security_mode(settings.signing),
        cipher: None,
        signing: SigningAlgorithm::HmacSha256,
        posix: false,
        max_io: if dialect == Dialect::SMB202 { limits::MAX_IO_SIZE_202 } else { limits::MAX_IO_SIZE },
    };
    let mut answer = AnswerBuilder::new(connection.buffer(), None);
    answer.begin();
    respond(connection, &negotiated, NegotiateContexts::default(), &mut answer);
    let credits = connection.grant_credits(1);
    let header = Header { flags: HeaderFlags::SERVER_TO_REDIR, credits, ..header };
    answer.finish(&header, None);
    if dialect == Dialect::SMB202 {
        tell_registry(connection, &negotiated);
        connection.negotiated.set(negotiated).map_err(|_| Violation::Negotiation)?;
    }
    Ok(answer.complete())
}

fn tell_registry(connection: &SmbConnection, negotiated: &Negotiated) {
    let details = ConnectionDetails {
        client_guid: negotiated.client_guid,
        dialect: negotiated.dialect,
        client_name: None,
    };
    connection.server.registry.lock("negotiate").connection_negotiated(connection.id, details);
}

fn respond(
    connection: &SmbConnection,
    negotiated: &Negotiated,
    contexts: NegotiateContexts<'_>,
    answer: &mut AnswerBuilder,
) {
    let token = auth::Acceptor::offer(connection.server.offers_kerberos());
    let base = answer.base();
    NegotiateResponse {
        security_mode: negotiated.security_mode,
        dialect_revision: negotiated.dialect,
        server_guid: connection.server.identity.guid,
        capabilities: negotiated.capabilities,
        max_transact_size: negotiated.max_io,
        max_read_size: negotiated.max_io,
        max_write_size: negotiated.max_io,
        system_time: connection.server.file_time(),
        // Zero, as in Windows: the uptime is not disclosed before a logon.
        server_start_time: wire::FileTime::NONE,
        security_buffer: &token,
        contexts,
    }
    .encode(answer.body(), base);
}

fn security_mode(signing: Signing) -> SecurityMode {
    match signing {
        Signing::Enabled => SecurityMode::SIGNING_ENABLED,
        Signing::Required => SecurityMode::SIGNING_ENABLED | SecurityMode::SIGNING_REQUIRED,
    }
}

fn capabilities(
    dialect: Dialect,
    client: GlobalCapabilities,
    cipher: Option<Cipher>,
    leases_directories: bool,
    has_continuous_shares: bool,
    refers: bool,
) -> GlobalCapabilities {
    let mut capabilities = GlobalCapabilities::NONE;
    if refers {
        capabilities |= GlobalCapabilities::DFS;
    }
    if dialect >= Dialect::SMB210 {
        capabilities |= GlobalCapabilities::LEASING | GlobalCapabilities::LARGE_MTU;
    }
    if dialect >= Dialect::SMB300 {
        capabilities |= client & GlobalCapabilities::MULTI_CHANNEL;
        if leases_directories {
            capabilities |= client & GlobalCapabilities::DIRECTORY_LEASING;
        }
        if has_continuous_shares {
            capabilities |= client & GlobalCapabilities::PERSISTENT_HANDLES;
        }
    }
    // In 3.1.1, the negotiate context contains this (MS-SMB2 3.3.5.4).
    if cipher.is_some() && dialect < Dialect::SMB311 {
        capabilities |= GlobalCapabilities::ENCRYPTION;
    }
    capabilities
}

/// The evaluated negotiate contexts of a 3.1.1 client.
#[derive(Debug, Default)]
struct Contexts {
    offers_ciphers: bool,
    cipher: Option<Cipher>,
    signing: Option<SigningAlgorithm>,
    posix: bool,
}

impl Contexts {
    /// Reads the contexts. Ciphers and signing algorithms are chosen in the client's order of preference.
    fn read(contexts: NegotiateContexts<'_>) -> Result<Self, NtStatus> {
        let mut found = Self::default();
        let (mut preauth, mut ciphers_seen, mut signing_seen) = (false, false, false);
        for context in contexts.iter() {
            match context.map_err(malformed)? {
                NegotiateContext::PreauthIntegrity { hash_algorithms, .. } => {
                    if std::mem::replace(&mut preauth, true) {
                        return Err(NtStatus::INVALID_PARAMETER);
                    }
                    if !hash_algorithms.contains(HashAlgorithmId::SHA_512.0) {
                        return Err(NtStatus::SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP);
                    }
                }
                NegotiateContext::Encryption { ciphers } => {
                    if std::mem::replace(&mut ciphers_seen, true) {
                        return Err(NtStatus::INVALID_PARAMETER);
                    }
                    found.offers_ciphers = !ciphers.is_empty();
                    found.cipher = ciphers.iter().find_map(Cipher::from_id);
                }
                NegotiateContext::Signing { algorithms } => {
                    if std::mem::replace(&mut signing_seen, true) {
                        return Err(NtStatus::INVALID_PARAMETER);
                    }
                    found.signing = algorithms.iter().find_map(SigningAlgorithm::from_id);
                }
                NegotiateContext::Posix { versions } => found.posix |= offers_posix(versions),
                _ => {}
            }
        }
        if preauth { Ok(found) } else { Err(NtStatus::INVALID_PARAMETER) }
    }
}

/// Length of the preauthentication salt, bytes (MS-SMB2 3.3.5.4).
const SALT_BYTES: usize = 32;

// The identifiers in `auth` equal those on the wire.
const _: () = assert!(Cipher::Aes128Gcm.id() == CipherId::AES_128_GCM.0);
const _: () = assert!(SigningAlgorithm::AesGmac.id() == SigningAlgorithmId::AES_GMAC.0);

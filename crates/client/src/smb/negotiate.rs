//! NEGOTIATE (MS-SMB2 3.2.4.2.2.2, 3.2.5.2) and its later check (3.2.5.5).

use auth::spnego::{Mechanism, Token};
use auth::{Cipher, PreauthHash, Random, SigningAlgorithm, SystemRandom};
use wire::ioctl::{ValidateNegotiateRequest, ValidateNegotiateResponse};
use wire::layout::FixedLayout;
use wire::msg::{
    GlobalCapabilities, HashAlgorithmId, NegotiateContext, NegotiateContexts, NegotiateRequest,
    NegotiateResponse, SecurityMode, U16List,
};
use wire::posix::{POSIX_VERSION, offers_posix};
use wire::{Command, Dialect, FileTime, Guid, Utf16, utf16le};

use super::connection::ClientConnection;
use super::error::Error;
use super::options::{ConnectOptions, Signing};
use super::request::{Part, Scope};

/// The result of a negotiation.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// `Connection.Dialect`.
    pub dialect: Dialect,
    /// `Connection.ServerGuid`.
    pub server_guid: Guid,
    /// `Connection.ServerSecurityMode`.
    pub security_mode: SecurityMode,
    /// `Connection.ServerCapabilities`.
    pub capabilities: GlobalCapabilities,
    /// `Connection.MaxTransactSize`.
    pub max_transact_size: u32,
    /// `Connection.MaxReadSize`.
    pub max_read_size: u32,
    /// `Connection.MaxWriteSize`.
    pub max_write_size: u32,
    /// `Connection.CipherId`; `None` if encryption is not possible.
    pub cipher: Option<Cipher>,
    /// `Connection.SigningAlgorithmId`.
    pub signing_algorithm: SigningAlgorithm,
    /// True if requests cost credits by their size.
    pub multi_credit: bool,
    /// True if everything is signed for which a key exists.
    pub signing_required: bool,
    /// True if the server has the POSIX extensions, and the client offered them.
    pub posix: bool,
    /// True unless the server's list of mechanisms lacks Kerberos (MS-SPNG 3.2.5.2). A server may send no list.
    pub kerberos: bool,
    /// The server's clock when it answered (`SystemTime`).
    pub system_time: FileTime,
    /// `Connection.PreauthIntegrityHashValue`.
    pub preauth: PreauthHash,
}

pub(crate) async fn negotiate(connection: &ClientConnection) -> Result<Negotiated, Error> {
    let options = connection.options();
    let part = Part::new(Command::NEGOTIATE, |_, _| {});
    let part = request(options, part)?;
    let mut preauth = PreauthHash::new();
    let scope = Scope::default();
    let in_flight = connection.submit_tapped(&scope, part, |message| preauth.update(message)).await?;
    let answer = in_flight.response().await?.success()?;
    preauth.update(&answer.message);
    let body = NegotiateResponse::decode(&answer.message)?;
    let dialect = body.dialect_revision;
    if !options.dialects.contains(&dialect) {
        return Err(Error::Protocol("the server chose a dialect that was not offered"));
    }
    let (cipher, signing_algorithm) = algorithms(options, &body)?;
    let server_requires = body.security_mode.contains(SecurityMode::SIGNING_REQUIRED);
    Ok(Negotiated {
        dialect,
        server_guid: body.server_guid,
        security_mode: body.security_mode,
        capabilities: body.capabilities,
        max_transact_size: body.max_transact_size,
        max_read_size: body.max_read_size,
        max_write_size: body.max_write_size,
        cipher,
        signing_algorithm,
        multi_credit: dialect != Dialect::SMB202 && body.capabilities.contains(GlobalCapabilities::LARGE_MTU),
        signing_required: server_requires || options.signing == Signing::Required,
        posix: options.posix && has_posix(&body)?,
        kerberos: may_take_kerberos(body.security_buffer),
        system_time: body.system_time,
        preauth,
    })
}

fn may_take_kerberos(offer: &[u8]) -> bool {
    match Token::decode(offer) {
        Ok(Token::Init(offer)) => {
            offer.mechanisms.iter().any(|one| matches!(one, Mechanism::Kerberos | Mechanism::MsKerberos))
        }
        Ok(Token::Response(_)) | Err(_) => true,
    }
}

/// The input of FSCTL_VALIDATE_NEGOTIATE_INFO: the fields of the NEGOTIATE request (MS-SMB2 3.2.5.5).
pub(crate) fn validation_request(options: &ConnectOptions) -> Vec<u8> {
    let mut input = Vec::new();
    ValidateNegotiateRequest {
        capabilities: options.sent_capabilities().0,
        client_guid: options.sent_client_guid(),
        security_mode: options.security_mode().0,
        dialects: options.dialects.iter().map(|dialect| dialect.0).collect(),
    }
    .encode(&mut input);
    input
}

/// Checks that the signed answer repeats the unsigned NEGOTIATE response.
pub(crate) fn validate(negotiated: &Negotiated, output: &[u8]) -> Result<(), Error> {
    let said = ValidateNegotiateResponse::decode(output)?;
    let expected = ValidateNegotiateResponse {
        capabilities: negotiated.capabilities.0,
        server_guid: negotiated.server_guid,
        security_mode: negotiated.security_mode.0,
        dialect: negotiated.dialect.0,
    };
    if said == expected { Ok(()) } else { Err(Error::Protocol("somebody changed the negotiation")) }
}

fn request(options: &ConnectOptions, mut part: Part) -> Result<Part, Error> {
    let (mut dialects, mut hashes, mut ciphers, mut signing) = Default::default();
    let mut list = Vec::new();
    let mut salt = [0; 32];
    SystemRandom.fill(&mut salt)?;
    let name = utf16le(&options.server_name);
    let mut contexts = vec![NegotiateContext::PreauthIntegrity {
        hash_algorithms: U16List::build([HashAlgorithmId::SHA_512.0], &mut hashes),
        salt: &salt,
    }];
    if !options.ciphers.is_empty() {
        let ids = options.ciphers.iter().map(|cipher| cipher.id());
        contexts.push(NegotiateContext::Encryption { ciphers: U16List::build(ids, &mut ciphers) });
    }
    contexts.push(NegotiateContext::NetName { name: Utf16::new(&name)? });
    if !options.signing_algorithms.is_empty() {
        let ids = options.signing_algorithms.iter().map(|algorithm| algorithm.id());
        contexts.push(NegotiateContext::Signing { algorithms: U16List::build(ids, &mut signing) });
    }
    if options.posix {
        contexts.push(NegotiateContext::Posix { versions: &POSIX_VERSION });
    }
    let modern = options.dialects.contains(&Dialect::SMB311);
    let body = NegotiateRequest {
        security_mode: options.security_mode(),
        capabilities: options.sent_capabilities(),
        client_guid: options.sent_client_guid(),
        dialects: U16List::build(options.dialects.iter().map(|dialect| dialect.0), &mut dialects),
        contexts: if modern {
            NegotiateContexts::build(&contexts, &mut list)
        } else {
            NegotiateContexts::default()
        },
    };
    body.encode(&mut part.buffer, super::send::HEAD_ROOM);
    Ok(part)
}

/// Returns true if the server has the POSIX extensions.
fn has_posix(body: &NegotiateResponse<'_>) -> Result<bool, Error> {
    for context in body.contexts.iter() {
        if let NegotiateContext::Posix { versions } = context? {
            return Ok(offers_posix(versions));
        }
    }
    Ok(false)
}

fn algorithms(
    options: &ConnectOptions,
    body: &NegotiateResponse<'_>,
) -> Result<(Option<Cipher>, SigningAlgorithm), Error> {
    match body.dialect_revision {
        Dialect::SMB311 => {}
        Dialect::SMB300 | Dialect::SMB302 => {
            let can_seal = body.capabilities.contains(GlobalCapabilities::ENCRYPTION);
            return Ok((can_seal.then_some(Cipher::Aes128Ccm), SigningAlgorithm::AesCmac));
        }
        _ => return Ok((None, SigningAlgorithm::HmacSha256)),
    }
    let (mut hash, mut cipher, mut signing) = (None, None, SigningAlgorithm::AesCmac);
    for context in body.contexts.iter() {
        match context? {
            NegotiateContext::PreauthIntegrity { hash_algorithms, .. } => {
                hash = hash_algorithms.iter().next()
            }
            NegotiateContext::Encryption { ciphers } => {
                cipher = match ciphers.iter().next() {
                    None | Some(0) => None,
                    Some(id) => Some(
                        Cipher::from_id(id)
                            .filter(|chosen| options.ciphers.contains(chosen))
                            .ok_or(Error::Protocol("the server chose a cipher that was not offered"))?,
                    ),
                };
            }
            NegotiateContext::Signing { algorithms } => {
                signing = algorithms
                    .iter()
                    .next()
                    .and_then(SigningAlgorithm::from_id)
                    .filter(|chosen| options.signing_algorithms.contains(chosen))
                    .ok_or(Error::Protocol("the server chose a signing algorithm that was not offered"))?;
            }
            _ => {}
        }
    }
    if hash != Some(HashAlgorithmId::SHA_512.0) {
        return Err(Error::Protocol("the server chose no preauthentication hash, or another"));
    }
    Ok((cipher, signing))
}

//! The part of Kerberos in a client's SPNEGO exchange (RFC 4178 3.2, MS-SPNG 3.1).

use core::fmt;
use std::error::Error;

use zeroize::Zeroizing;

use super::{ClientStep, InitiatorError};
use crate::spnego::{Mechanism, NegState, NegTokenResp};

/// The Kerberos mechanism of a client (RFC 4121): the tickets, and the exchange with the server under them.
///
/// The caller brings it, because tickets need files and the network. It has made its first token already, which
/// [`Initiator::with_kerberos`](super::Initiator::with_kerberos) sends. Its calls may block.
pub trait KerberosExchange: Send {
    /// Processes a token of the server.
    fn step(&mut self, token: &[u8]) -> Result<KerberosStep, KerberosError>;

    /// The session key that both sides have (MS-KILE 3.1.1.2), once the exchange is complete: 16 bytes or more.
    fn session_key(&mut self) -> Result<Zeroizing<Vec<u8>>, KerberosError>;

    /// A message integrity code (RFC 4121 4.2.6.1), once the exchange is complete.
    fn get_mic(&mut self, message: &[u8]) -> Result<Vec<u8>, KerberosError>;

    /// Verifies a message integrity code of the server.
    fn verify_mic(&mut self, message: &[u8], mic: &[u8]) -> Result<(), KerberosError>;
}

/// An error of the Kerberos mechanism.
pub type KerberosError = Box<dyn Error + Send + Sync>;

/// The result of a step of a [`KerberosExchange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KerberosStep {
    /// Send this token, and bring the server's answer.
    Token(Vec<u8>),
    /// The exchange is complete, and the server has proved that it has the key of its name. A token, if there is one,
    /// is still to be sent.
    Done(Option<Vec<u8>>),
}

/// An exchange under way.
pub(super) struct Negotiation {
    exchange: Box<dyn KerberosExchange>,
    /// The DER of the offered mechanisms, which `mechListMIC` covers.
    mechanism_list: Vec<u8>,
    complete: bool,
    /// The server asked for the MIC of the list, so it owes its own (RFC 4178 5).
    mic_due: bool,
    mic_sent: bool,
}

/// The server's choice.
pub(super) enum Choice {
    /// Kerberos, with the answer to it.
    Kerberos(Box<Negotiation>, ClientStep),
    /// NTLM: the exchange begins again with this list of offered mechanisms.
    Ntlm(Vec<u8>),
}

impl Negotiation {
    pub(super) fn new(exchange: Box<dyn KerberosExchange>, mechanism_list: Vec<u8>) -> Box<Self> {
        Box::new(Self { exchange, mechanism_list, complete: false, mic_due: false, mic_sent: false })
    }

    /// Processes the server's answer.
    pub(super) fn answer(mut self: Box<Self>, response: NegTokenResp) -> Result<Choice, InitiatorError> {
        match response.mechanism {
            // Both identifiers mean the mechanism whose token was sent (MS-SPNG 3.1.5.1).
            None | Some(Mechanism::Kerberos | Mechanism::MsKerberos) => {}
            // A server that has verified the token cannot turn to another mechanism.
            Some(Mechanism::NtlmSsp) if !self.complete && response.token.is_none() => {
                return Ok(Choice::Ntlm(self.mechanism_list));
            }
            Some(_) => return Err(InitiatorError::NoCommonMechanism),
        }
        self.mic_due |= response.state == Some(NegState::RequestMic);
        let mut token = None;
        if !self.complete {
            // Without a token the server has proved nothing.
            let answer = response.token.ok_or(InitiatorError::Malformed)?;
            match self.exchange.step(&answer).map_err(InitiatorError::Kerberos)? {
                KerberosStep::Token(next) => {
                    let next = NegTokenResp { token: Some(next), ..NegTokenResp::default() };
                    return Ok(Choice::Kerberos(self, ClientStep::Token(next.encode())));
                }
                KerberosStep::Done(last) => token = last,
            }
            self.complete = true;
        } else if response.token.is_some() {
            return Err(InitiatorError::Malformed);
        }
        let accepted = matches!(response.state, None | Some(NegState::AcceptCompleted));
        match response.mechanism_list_mic {
            Some(mic) => {
                let verified = self.exchange.verify_mic(&self.mechanism_list, &mic);
                verified.map_err(|_| InitiatorError::BadMic)?;
                self.mic_due = false;
            }
            None if accepted && self.mic_due => return Err(InitiatorError::BadMic),
            None => {}
        }
        let step = if accepted {
            if token.is_some() {
                return Err(InitiatorError::Malformed);
            }
            self.done()?
        } else {
            if self.mic_sent {
                return Err(InitiatorError::Malformed);
            }
            self.mic_sent = true;
            let mic = self.exchange.get_mic(&self.mechanism_list).map_err(InitiatorError::Kerberos)?;
            let next = NegTokenResp { token, mechanism_list_mic: Some(mic), ..NegTokenResp::default() };
            ClientStep::Token(next.encode())
        };
        Ok(Choice::Kerberos(self, step))
    }

    /// The end of an exchange by a server that accepts by its status alone.
    pub(super) fn end(mut self) -> Result<ClientStep, InitiatorError> {
        match (self.complete, self.mic_due) {
            (true, false) => self.done(),
            (true, true) => Err(InitiatorError::BadMic),
            (false, _) => Err(InitiatorError::Malformed),
        }
    }

    fn done(&mut self) -> Result<ClientStep, InitiatorError> {
        Ok(ClientStep::Done { session_key: self.exchange.session_key().map_err(InitiatorError::Kerberos)? })
    }
}

impl fmt::Debug for dyn KerberosExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KerberosExchange")
    }
}

//! Logons with tickets: RFC 4121 in the negotiation of RFC 4178, as MS-SMB2 3.3.5.5.3 uses them.

use wire::FileTime;

use super::{
    Acceptor, Claim, Framing, Identity, IdentityKind, Logon, MessageContext, Negotiation, State, Step,
    expect_response,
};
use crate::domain_user::Method;
use crate::kerberos::{Accepted, KerberosSeal, Mics, Refused, ThirdLeg};
use crate::refusal::Refusal;
use crate::spnego::{NegState, NegTokenResp};

impl Acceptor {
    /// Accepts an AP-REQ, with the client's `mechListMIC` if it has sent one. `may_retry` is false for the second
    /// ticket of a logon.
    pub(super) fn ticket(
        &mut self,
        token: &[u8],
        mic: Option<Vec<u8>>,
        framing: Framing,
        may_retry: bool,
        now: FileTime,
    ) -> Result<Step, Refusal> {
        let service = self.config.kerberos.clone().ok_or(Refusal::NoCommonMechanism)?;
        let accepted = match service.accept(token, &self.purpose, self.random.as_mut(), now) {
            Ok(accepted) => accepted,
            Err(Refused { reason, client, error }) => {
                self.holder = client.map(|(user, domain)| claim(user, domain));
                let Some(error) = error.filter(|_| may_retry) else { return Err(reason.into()) };
                let token = match &framing {
                    Framing::Raw => error,
                    Framing::Spnego(negotiation) => NegTokenResp {
                        state: Some(NegState::AcceptIncomplete),
                        mechanism: negotiation.mechanism_to_announce(),
                        token: Some(error),
                        mechanism_list_mic: None,
                    }
                    .encode(),
                };
                self.state = State::TicketRefused(framing.prolonged());
                return Ok(Step::Again { reason: reason.into(), token });
            }
        };
        let Accepted { user, session_key, reply, expires, mics, for_rpc } = accepted;
        self.holder = Some(claim(user.name.clone(), user.domain.clone()));
        let mut logon = Logon {
            token: Vec::new(),
            identity: Identity {
                user: user.qualified_name(),
                domain: user.domain.clone(),
                kind: IdentityKind::User,
                workstation: None,
                method: Method::Kerberos,
                domain_user: Some(Box::new(user)),
            },
            session_key,
            client_time: None,
            expires: Some(expires),
            messages: MessageContext::None,
        };
        if let Some((seal, third)) = for_rpc {
            let reply = reply.unwrap_or_default();
            let token = match &framing {
                Framing::Raw => reply,
                Framing::Spnego(negotiation) => NegTokenResp {
                    state: Some(negotiation.incomplete_state()),
                    mechanism: negotiation.mechanism_to_announce(),
                    token: Some(reply),
                    mechanism_list_mic: None,
                }
                .encode(),
            };
            self.state = State::Replied(Replied {
                third,
                framing,
                mics,
                seal: Box::new(seal),
                logon: Box::new(logon),
            });
            return Ok(Step::Continue(token));
        }
        let negotiation = match framing {
            Framing::Raw => {
                logon.token = reply.unwrap_or_default();
                return Ok(Step::Done(Box::new(logon)));
            }
            Framing::Spnego(negotiation) => negotiation,
        };
        // The acceptor sends the last token of the mechanism, so its MIC is the first (RFC 4178 5, 2.).
        let list = &negotiation.mechanism_list;
        if mic.as_ref().is_some_and(|mic| !mics.verify(list, mic)) {
            return Err(Refusal::BadMic);
        }
        let own_mic = (negotiation.mic_required || mic.is_some()).then(|| mics.sign(list));
        let is_complete = mic.is_some() || !negotiation.mic_required;
        let token = NegTokenResp {
            state: Some(if is_complete { NegState::AcceptCompleted } else { NegState::AcceptIncomplete }),
            mechanism: negotiation.mechanism_to_announce(),
            token: reply,
            mechanism_list_mic: own_mic,
        }
        .encode();
        if is_complete {
            logon.token = token;
            return Ok(Step::Done(Box::new(logon)));
        }
        let mechanism_list = negotiation.mechanism_list;
        self.state = State::ListUnproven(ListUnproven { mechanism_list, mics, logon: Box::new(logon) });
        Ok(Step::Continue(token))
    }
}

/// A logon that lacks the client's MIC of the list of mechanisms, which the server's choice has made necessary.
pub(super) struct ListUnproven {
    mechanism_list: Vec<u8>,
    mics: Mics,
    logon: Box<Logon>,
}

impl ListUnproven {
    /// Takes the token with the MIC.
    pub(super) fn prove(mut self, token: &[u8]) -> Result<Step, Refusal> {
        let response = expect_response(token)?;
        let mic = response.mechanism_list_mic.ok_or(Refusal::BadMic)?;
        if !self.mics.verify(&self.mechanism_list, &mic) {
            return Err(Refusal::BadMic);
        }
        self.logon.token =
            NegTokenResp { state: Some(NegState::AcceptCompleted), ..NegTokenResp::default() }.encode();
        Ok(Step::Done(self.logon))
    }
}

/// A logon for RPC that lacks the client's last reply.
pub(super) struct Replied {
    third: ThirdLeg,
    framing: Framing,
    mics: Mics,
    seal: Box<KerberosSeal>,
    logon: Box<Logon>,
}

impl Replied {
    /// Takes the client's reply, with its `mechListMIC`.
    pub(super) fn prove(mut self, token: &[u8]) -> Result<Step, Refusal> {
        match self.framing {
            Framing::Raw => self.third.prove(token)?,
            Framing::Spnego(negotiation) => {
                let response = expect_response(token)?;
                self.third.prove(&response.token.ok_or(Refusal::Malformed)?)?;
                let list = &negotiation.mechanism_list;
                let mic = response.mechanism_list_mic;
                let is_right = mic.as_ref().map(|mic| self.mics.verify(list, mic));
                if is_right == Some(false) || is_right.is_none() && negotiation.mic_required {
                    return Err(Refusal::BadMic);
                }
                let own_mic = mic.map(|_| {
                    self.seal.count_client_mic();
                    self.seal.count_own_mic();
                    self.mics.sign(list)
                });
                self.logon.token = NegTokenResp {
                    state: Some(NegState::AcceptCompleted),
                    mechanism_list_mic: own_mic,
                    ..NegTokenResp::default()
                }
                .encode();
            }
        }
        self.logon.messages = MessageContext::Kerberos(self.seal);
        Ok(Step::Done(self.logon))
    }

    pub(super) const fn is_spnego(&self) -> bool {
        self.framing.is_spnego()
    }
}

impl Negotiation {
    /// `negState` of an answer that is not the last. The demand for a MIC is in the first answer (RFC 4178 4.2.2).
    const fn incomplete_state(&self) -> NegState {
        if self.mic_required && !self.announced { NegState::RequestMic } else { NegState::AcceptIncomplete }
    }

    /// `supportedMech`, which is in the first answer only.
    fn mechanism_to_announce(&self) -> Option<crate::spnego::Mechanism> {
        (!self.announced).then(|| self.mechanism.clone())
    }
}

impl Framing {
    /// The negotiation of a client that sends a second ticket. It is not decided by the client's first message any
    /// more, so both sides prove the list (RFC 4178 5): smbclient fails if the server does not.
    fn prolonged(mut self) -> Self {
        if let Self::Spnego(negotiation) = &mut self {
            negotiation.announced = true;
            negotiation.mic_required = true;
        }
        self
    }
}

/// The client of a ticket, for the log.
const fn claim(user: String, domain: String) -> Claim {
    Claim { user, domain, workstation: String::new() }
}

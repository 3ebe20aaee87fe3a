//! Processing a logon message when an attempt is permitted: MS-SMB2 3.3.5.5.3. Attempts at passwords are
//! limited (`crate::core::guesses`).

use std::sync::Arc;
use std::time::Duration;

use auth::preauth::PreauthHash;
use auth::{Acceptor, Claim, IdentityKind, PassThrough, Refusal, Step};
use registry::EndReason;
use wire::{FileTime, NtStatus};

use super::session_setup::{end, logons};
use crate::core::audit::{Why, account_locked, clock_differs, logon_refused};
use crate::core::guesses::{Attempt, Guesses, Origin, Spent, Turn};
use crate::core::limits;
use crate::core::logon_user::account_tried;
use crate::core::session::{PendingLogon, Session};
use crate::smb::connection::{DelayedLogon, SmbConnection};

/// One message of a logon.
pub(super) struct LogonExchange<'a> {
    pub(super) connection: &'a SmbConnection,
    /// The session of the logon, or to be bound.
    pub(super) session: &'a Arc<Session>,
    pub(super) binds: bool,
    /// The client's token.
    pub(super) token: &'a [u8],
}

/// A message that was processed.
pub(super) struct Decision {
    pub(super) judged: Judged,
    pub(super) preauth: PreauthHash,
    /// The client of the message's ticket, if it had one that was decrypted.
    pub(super) ticket_holder: Option<Claim>,
}

impl Decision {
    /// A message that was not given to the acceptor.
    fn without_step(judged: Judged) -> Self {
        Self { judged, preauth: PreauthHash::default(), ticket_holder: None }
    }
}

/// The result of a message.
pub(super) enum Judged {
    /// The acceptor has processed it.
    Step(Step),
    /// The account is locked, so the password was not checked.
    Locked,
    /// An attempt was not permitted in time, so the password was not checked.
    OutOfPatience,
}

impl LogonExchange<'_> {
    /// The user name that this message is to prove, if any.
    pub(super) fn claim(&self) -> Option<Claim> {
        logons(self.connection).get(&self.session.id()).and_then(|logon| logon.acceptor.claim(self.token))
    }

    fn origin(&self) -> Origin {
        Origin::of(self.connection.peer.ip())
    }

    /// Processes the message as soon as an attempt is permitted.
    pub(super) async fn judge_in_turn(
        &self,
        message: &[u8],
        claim: Option<&Claim>,
        place: Option<&DelayedLogon<'_>>,
    ) -> Result<Decision, NtStatus> {
        let server = &self.connection.server;
        let (Some(claim), Some(place)) = (claim, place) else {
            return Ok(self.judge(message));
        };
        let origin = self.origin();
        server.refresh_accounts();
        let patience = tokio::time::Instant::now() + limits::GUESS_PATIENCE;
        loop {
            let turned = {
                let mut guesses = server.logons.guesses();
                let attempt = guesses.attempt(&account_tried(server, claim), origin);
                match guesses.turn(&attempt, server.now()) {
                    // The table stays locked until the result is recorded, so that no other attempt comes in
                    // between.
                    Turn::Now => {
                        let decision = self.judge(message);
                        match decision.judged {
                            // While the controller decides, the attempt counts as one with a wrong password.
                            Judged::Step(Step::PassThrough(request)) => {
                                let spent = guesses.spent(&attempt, server.now());
                                Turned::PassOn { request, attempt, spent, preauth: decision.preauth }
                            }
                            Judged::Step(step) => {
                                self.note(&mut guesses, &attempt, claim, &step);
                                return Ok(Decision { judged: Judged::Step(step), ..decision });
                            }
                            _ => return Ok(decision),
                        }
                    }
                    Turn::Locked => return Ok(Decision::without_step(Judged::Locked)),
                    Turn::In(wait) => Turned::Wait(wait),
                }
            };
            let wait = match turned {
                Turned::Wait(wait) => wait,
                Turned::PassOn { request, attempt, spent, preauth } => {
                    // The client may leave while the controller decides.
                    let left =
                        self.left(claim, "the client left while a controller decided about its password");
                    let step = self.pass_through(*request).await?;
                    left.disarm();
                    self.note_decided(&attempt, spent, claim, &step);
                    return Ok(Decision { judged: Judged::Step(step), preauth, ticket_holder: None });
                }
            };
            let left =
                self.left(claim, "the client left while its attempt at a password waited for its turn");
            if tokio::time::Instant::now() + wait > patience {
                place.wait(patience.saturating_duration_since(tokio::time::Instant::now())).await;
                left.disarm();
                return Ok(Decision::without_step(Judged::OutOfPatience));
            }
            place.wait(wait).await;
            if place.is_over() || self.session.has_ended() {
                return Err(NtStatus::USER_SESSION_DELETED);
            }
            left.disarm();
            if place.has_to_go() {
                return Ok(Decision::without_step(Judged::OutOfPatience));
            }
        }
    }

    fn left<'a>(&'a self, claim: &'a Claim, reason: &'static str) -> Left<'a> {
        Left { connection: self.connection, claim, reason, is_audited: false }
    }

    /// Passes the message to the acceptor.
    fn judge(&self, message: &[u8]) -> Decision {
        let server = &self.connection.server;
        let mut logons = logons(self.connection);
        let exchange = logons.entry(self.session.id()).or_insert_with(|| PendingLogon {
            acceptor: Acceptor::new(server.acceptor_config()),
            preauth: *self.connection.preauth(),
            rounds: 0,
            binding: self.binds.then(|| Arc::clone(self.session)),
        });
        exchange.preauth.update(message);
        exchange.rounds += 1;
        let step = if exchange.rounds > limits::MAX_LOGON_ROUNDS {
            Step::Refused { reason: Refusal::OutOfOrder, token: None }
        } else {
            let (accounts, now) = (server.accounts(), server.file_time());
            exchange.acceptor.step(self.token, &accounts.at(now, server.password_age_max()), now)
        };
        let preauth = exchange.preauth;
        let ticket_holder = exchange.acceptor.ticket_holder().cloned();
        if !matches!(step, Step::Continue(_) | Step::Again { .. } | Step::PassThrough(_)) {
            logons.remove(&self.session.id());
        }
        Decision { judged: Judged::Step(step), preauth, ticket_holder }
    }

    /// Records the result of an attempt at a password.
    fn note(&self, guesses: &mut Guesses, attempt: &Attempt, claim: &Claim, step: &Step) {
        let server = &self.connection.server;
        match step {
            Step::Done(logon) if logon.identity.kind == IdentityKind::User => {
                guesses.accepted(attempt, server.now());
                self.note_clock(claim, logon.client_time);
            }
            Step::Refused { reason, .. } => {
                if guesses.refused(attempt, reason.is_wrong_guess(), server.settings().lockout, server.now())
                {
                    account_locked(&claim.user, &self.connection.peer.ip().to_canonical().to_string());
                }
            }
            Step::Done(_) | Step::Continue(_) | Step::Again { .. } | Step::PassThrough(_) => {}
        }
    }

    /// Has a controller decide about a response, and continues the logon with that.
    async fn pass_through(&self, request: PassThrough) -> Result<Step, NtStatus> {
        let server = &self.connection.server;
        let challenge = request.challenge;
        let decided = server.decided_by_controller(request).await;
        if self.session.has_ended() && !self.binds {
            return Err(NtStatus::USER_SESSION_DELETED);
        }
        let mut logons = logons(self.connection);
        // A client that has not waited for the decision may have begun another logon, which this decision is not about.
        let awaits =
            logons.get(&self.session.id()).is_some_and(|logon| logon.acceptor.awaits_decision(&challenge));
        let pending = if awaits { logons.remove(&self.session.id()) } else { None };
        Ok(match pending {
            Some(mut pending) => pending.acceptor.passed_through(decided),
            None => Step::Refused { reason: Refusal::OutOfOrder, token: None },
        })
    }

    /// Records the controller's decision about an attempt. Locking accounts after wrong passwords is the domain's task.
    fn note_decided(&self, attempt: &Attempt, spent: Spent, claim: &Claim, step: &Step) {
        let server = &self.connection.server;
        if let Step::Done(logon) = step
            && logon.identity.kind == IdentityKind::User
        {
            let mut guesses = server.logons.guesses();
            guesses.accepted(attempt, server.now());
            guesses.give_back(spent, server.now());
            drop(guesses);
            self.note_clock(claim, logon.client_time);
        }
    }

    /// Logs a client whose clock differs much, or that sends no time.
    fn note_clock(&self, claim: &Claim, client_time: Option<FileTime>) {
        let server = &self.connection.server;
        let Some(time) = client_time else { return };
        let now = server.file_time();
        if time.0.abs_diff(now.0) <= limits::CLOCK_SKEW
            || !server.logons.log.is_news_of_clock(self.connection.peer.ip(), server.now())
        {
            return;
        }
        let seconds = time.to_unix().0.saturating_sub(now.to_unix().0);
        let hours = (time != FileTime::NONE).then_some(seconds / 3_600);
        clock_differs(&self.connection.peer, claim, hours);
    }

    /// Ends a refused logon; returns when the answer may be sent.
    pub(super) async fn refuse(
        &self,
        claim: Option<&Claim>,
        method: &'static str,
        why: &Why,
        status: NtStatus,
        place: Option<DelayedLogon<'_>>,
    ) -> NtStatus {
        logons(self.connection).remove(&self.session.id());
        if self.connection.has_log_room() {
            logon_refused(&self.connection.server, &self.connection.peer, claim, method, why);
        }
        // A failed repeated logon ends the session, as in Windows; a failed binding does not.
        if !self.binds {
            end(self.connection, self.session, EndReason::LogonFailed);
        }
        if let Some(place) = place {
            place.wait(limits::REFUSED_LOGON_DELAY).await;
        }
        status
    }
}

/// Writes the audit line of an attempt that nobody waits for any more, although a controller may have counted it.
struct Left<'a> {
    connection: &'a SmbConnection,
    claim: &'a Claim,
    reason: &'static str,
    is_audited: bool,
}

impl Left<'_> {
    /// The attempt has a result, which is audited.
    fn disarm(mut self) {
        self.is_audited = true;
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if !self.is_audited && self.connection.has_log_room() {
            logon_refused(
                &self.connection.server,
                &self.connection.peer,
                Some(self.claim),
                "NTLM",
                &Why::from(self.reason),
            );
        }
    }
}

/// The result of a turn.
enum Turned {
    /// The attempt has to wait.
    Wait(Duration),
    /// A controller has to decide.
    PassOn { request: Box<PassThrough>, attempt: Attempt, spent: Spent, preauth: PreauthHash },
}

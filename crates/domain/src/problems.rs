//! The problems that a report shows, with advice.

use crate::status::{Report, ServiceFault, WinbindState};

/// Something that is wrong, or may become so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// True if users of the domain cannot log on, or soon cannot.
    pub is_error: bool,
    /// The problem.
    pub what: String,
    /// Advice on how to go on.
    pub hint: String,
}

/// The settings that a report is compared with.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The NetBIOS name of the domain in the settings.
    pub name: &'a str,
    /// The realm.
    pub realm: &'a str,
    /// The difference of clocks that the server accepts, in seconds.
    pub clock_skew: u32,
    /// True if tickets with RC4 are accepted.
    pub rc4: bool,
    /// True if users of the domain may log on with NTLM.
    pub ntlm: bool,
}

/// The problems in a report, the most severe first.
pub fn problems(report: &Report, expected: &Expected<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |is_error, what: String, hint: String| found.push(Problem { is_error, what, hint });
    match &report.controllers {
        Err(reason) => add(true, reason.clone(), String::from(NO_CONTROLLER)),
        Ok(controllers) => {
            let is_any = controllers.iter().any(|it| it.reached.is_ok());
            for controller in controllers {
                if let Err(reason) = &controller.reached {
                    add(!is_any, format!("the controller {reason}"), String::from(NO_CONTROLLER));
                }
                let Some(skew) = controller.skew_ms else { continue };
                let seconds = skew.unsigned_abs() / 1000;
                let limit = u64::from(expected.clock_skew);
                if seconds.saturating_mul(2) >= limit {
                    let direction = if skew > 0 { "behind" } else { "ahead of" };
                    add(
                        seconds >= limit,
                        format!("this machine's clock is {seconds} seconds {direction} {}", controller.host),
                        format!(
                            "set the clock from the controller (for example with chrony); tickets are refused beyond \
                             {limit} seconds"
                        ),
                    );
                }
            }
        }
    }
    match &report.keys {
        Err(reason) => add(true, reason.clone(), join(expected.realm)),
        Ok(keys) => {
            let has_aes = keys
                .principals
                .iter()
                .any(|it| it.encryption_types.iter().any(|kind| kind.starts_with("aes")));
            if !has_aes && !expected.rc4 {
                add(
                    true,
                    String::from("the keytab has no AES keys, and tickets with RC4 are refused"),
                    String::from(
                        "have the account's attribute msDS-SupportedEncryptionTypes include AES (24) and join again; \
                         or set rc4 = true in [domain]",
                    ),
                );
            }
        }
    }
    let is_reached = report.controllers.as_ref().is_ok_and(|all| all.iter().any(|it| it.reached.is_ok()));
    match &report.channel {
        Err(reason) if report.keys.is_ok() && is_reached => {
            add(true, format!("the machine cannot log on with its own key: {reason}"), join(expected.realm));
        }
        Ok(domain) if !wire::eq_ignore_case(&domain.name, expected.name) => {
            add(
                true,
                format!("the domain is called {}, and the settings say {}", domain.name, expected.name),
                format!("set name = {:?} in [domain]", domain.name),
            );
        }
        Ok(domain) if !wire::eq_ignore_case(&domain.dns_name, expected.realm) => {
            add(
                true,
                format!("the controller is of the domain {}, not {}", domain.dns_name, expected.realm),
                String::from("correct realm or controllers in [domain]"),
            );
        }
        _ => {}
    }
    if let Some(service) = &report.service
        && let Err(fault) = &service.result
    {
        let problem = match fault {
            ServiceFault::NoTicket(reason) => {
                format!("the domain gives no ticket for {}: {reason}", service.name)
            }
            ServiceFault::Refused(reason) => format!("a ticket for {} is refused: {reason}", service.name),
        };
        let hint = format!(
            "the keytab must have the current key of the account that has {} as a service; {}",
            service.name,
            join(expected.realm)
        );
        // If the machine cannot log on at all, its problem has been reported above.
        if report.channel.is_ok() {
            add(true, problem, hint);
        }
    }
    if expected.ntlm {
        match &report.winbind {
            WinbindState::Absent(error) => add(
                false,
                format!("users of the domain cannot log on with NTLM: {error}"),
                String::from(
                    "clients that use an address instead of the server's name need NTLM: run Samba's winbind as a member of \
                     the domain; or set ntlm = false in [domain]",
                ),
            ),
            WinbindState::Running { controller: Err(refusal), .. } => add(
                false,
                format!("users of the domain cannot log on with NTLM: winbind: {refusal}"),
                String::from(
                    "'wbinfo -t' and winbind's log tell more; winbind needs a join of its own ('net ads join')",
                ),
            ),
            WinbindState::Running { running, .. }
                if !wire::eq_ignore_case(&running.domain, expected.name) =>
            {
                add(
                    false,
                    format!("winbind is a member of {}, not of {}", running.domain, expected.name),
                    String::from("logons with NTLM go to winbind's domain; correct smb.conf"),
                );
            }
            WinbindState::Running { .. } => {}
        }
    }
    found.sort_by_key(|problem| !problem.is_error);
    found
}

fn join(realm: &str) -> String {
    format!("'shareward domain join {realm}' makes the machine's account and its keys anew")
}

const NO_CONTROLLER: &str = "the name server in /etc/resolv.conf must know the domain, and a controller must be \
                             reachable on the ports 53, 88, 389 and 445; or set controllers in [domain]";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::security::Sid;

    use super::*;
    use crate::names::DomainInfo;
    use crate::status::{Controller, Keys, Principal, Service};
    use crate::winbind;

    fn good() -> Report {
        let name = |text: &str| text.to_owned();
        Report {
            controllers: Ok(vec![Controller {
                host: name("dc1.corp.example"),
                reached: Ok(Duration::from_millis(3)),
                skew_ms: Some(-900),
            }]),
            keys: Ok(Keys {
                machine: name("FILES$@CORP.EXAMPLE"),
                principals: vec![Principal {
                    name: name("FILES$@CORP.EXAMPLE"),
                    version: 2,
                    encryption_types: vec![name("aes256-cts-hmac-sha1-96"), name("rc4-hmac")],
                    time: 1,
                }],
                newest: 1,
            }),
            channel: Ok(DomainInfo {
                name: name("CORP"),
                dns_name: name("corp.example"),
                forest: name("corp.example"),
                sid: Sid::of(5, [21, 1, 2, 3]),
            }),
            service: Some(Service { name: name("cifs/files.corp.example"), result: Ok(()) }),
            winbind: WinbindState::Running {
                running: winbind::Running {
                    version: name("4"),
                    host: name("FILES"),
                    domain: name("CORP"),
                    dns_domain: name("corp.example"),
                },
                controller: Ok(name("dc1")),
            },
        }
    }

    const EXPECTED: Expected<'_> =
        Expected { name: "CORP", realm: "CORP.EXAMPLE", clock_skew: 300, rc4: false, ntlm: true };

    fn kinds(report: &Report) -> Vec<(bool, String)> {
        problems(report, &EXPECTED).into_iter().map(|it| (it.is_error, it.what)).collect()
    }

    #[test]
    fn sound_membership_has_no_problems() {
        assert_eq!(problems(&good(), &EXPECTED), []);
    }

    #[test]
    fn each_fault_is_a_problem_with_its_severity() {
        let mut report = good();
        report.controllers.as_mut().unwrap()[0].skew_ms = Some(160_000);
        assert_eq!(
            kinds(&report),
            [(false, String::from("this machine's clock is 160 seconds behind dc1.corp.example"))]
        );
        report.controllers.as_mut().unwrap()[0].skew_ms = Some(-300_000);
        assert!(kinds(&report)[0].0);

        let mut report = good();
        report.keys.as_mut().unwrap().principals[0].encryption_types.remove(0);
        assert!(kinds(&report)[0].1.contains("no AES keys"));

        let mut report = good();
        report.channel.as_mut().unwrap().name = String::from("OTHER");
        assert_eq!(
            kinds(&report),
            [(true, String::from("the domain is called OTHER, and the settings say CORP"))]
        );

        let mut report = good();
        report.service.as_mut().unwrap().result =
            Err(ServiceFault::Refused(String::from("no key of version 3")));
        assert_eq!(
            kinds(&report),
            [(true, String::from("a ticket for cifs/files.corp.example is refused: no key of version 3"))]
        );

        let mut report = good();
        report.winbind = WinbindState::Absent(winbind::Error::NotRunning);
        assert!(!kinds(&report)[0].0);
        assert_eq!(problems(&report, &Expected { ntlm: false, ..EXPECTED }), []);
    }

    #[test]
    fn one_controller_of_two_is_enough() {
        let mut report = good();
        let gone =
            Controller { host: String::from("dc2"), reached: Err(String::from("dc2: gone")), skew_ms: None };
        report.controllers.as_mut().unwrap().push(gone.clone());
        assert_eq!(kinds(&report), [(false, String::from("the controller dc2: gone"))]);
        report.controllers = Ok(vec![gone]);
        report.channel = Err(String::from("not reached"));
        assert_eq!(kinds(&report), [(true, String::from("the controller dc2: gone"))]);
    }
}

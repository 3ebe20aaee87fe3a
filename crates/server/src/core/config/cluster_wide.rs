//! Settings that all nodes of a cluster have in common: the rules for accounts and passwords, and the time of leases. They are
//! in etcd, and hold on each node instead of those of its file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::cluster_table::LEASE_SECONDS;
use super::edit::rules;
use super::{Lockout, PasswordPolicy, Settings, parse};

/// The settings that a cluster has, by their names in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterWide(BTreeMap<String, u32>);

impl ClusterWide {
    /// The settings that a cluster can have.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        let rules = rules(&Settings::conventional(false, |_| None)).map(|(key, _)| key);
        rules.into_iter().chain([LEASE])
    }

    /// The settings of these values.
    ///
    /// # Errors
    /// The reason in words, if a setting is not one of [`ClusterWide::keys`], a value is out of its bounds, or two contradict
    /// each other.
    pub fn new(values: BTreeMap<String, u32>) -> Result<Self, String> {
        values.keys().try_for_each(|key| Self::check_key(key))?;
        let (least, most) = LEASE_SECONDS;
        if values.get(LEASE).is_some_and(|it| !(least..=most).contains(it)) {
            return Err(format!("{LEASE} is {least} to {most}"));
        }
        let rules = values.iter().filter(|(key, _)| *key != LEASE);
        let lines = rules.map(|(key, value)| format!("{key} = {value}\n"));
        let text = format!("[server]\n{}", lines.collect::<String>());
        match parse(&text, Path::new("/"), Settings::conventional(false, |_| None)) {
            Ok(_) => Ok(Self(values)),
            Err(errors) => Err(errors.first().map(|it| it.message.clone()).unwrap_or_default()),
        }
    }

    /// Checks that this is a setting that a cluster can have.
    pub(crate) fn check_key(key: &str) -> Result<(), String> {
        if Self::keys().any(|it| it == key) {
            return Ok(());
        }
        let all = Self::keys().collect::<Vec<_>>().join(", ");
        Err(format!("{key} is no setting of a cluster: these are {all}"))
    }

    /// The time of leases. `None` if it is that of the file of each node.
    pub(crate) fn lease(&self) -> Option<Duration> {
        self.0.get(LEASE).map(|seconds| Duration::from_secs((*seconds).into()))
    }

    /// The settings of values that were valid before.
    pub(crate) fn unchecked(values: BTreeMap<String, u32>) -> Self {
        Self(values)
    }

    /// The settings, by name.
    pub fn values(&self) -> &BTreeMap<String, u32> {
        &self.0
    }

    /// The rules of a node whose file has these. The values of the cluster hold; where the rule of the file for the age of
    /// passwords contradicts that of the cluster, it gives way by as much as it must, because users whose password has expired
    /// could not change it.
    pub(crate) fn over(&self, own: (Lockout, PasswordPolicy)) -> (Lockout, PasswordPolicy) {
        let (lockout, mut passwords) = self.laid_over(own);
        if self.contradicts(own.1) {
            if self.0.contains_key("min_password_age") {
                passwords.max_age_days = passwords.min_age_days.saturating_add(1);
            } else {
                passwords.min_age_days = passwords.max_age_days.saturating_sub(1);
            }
        }
        (lockout, passwords)
    }

    /// True if the rules of a file contradict these.
    pub(crate) fn contradicts(&self, own: PasswordPolicy) -> bool {
        let ages = ["min_password_age", "max_password_age"];
        let (_, PasswordPolicy { min_age_days, max_age_days, .. }) =
            self.laid_over((Lockout::default(), own));
        let is_mixed = ages.iter().filter(|it| self.0.contains_key(**it)).count() == 1;
        is_mixed && max_age_days != 0 && min_age_days >= max_age_days
    }

    /// The rules with those of these in their place, whether they contradict each other or not.
    pub(crate) fn laid_over(&self, own: (Lockout, PasswordPolicy)) -> (Lockout, PasswordPolicy) {
        let (mut lockout, mut passwords) = own;
        for (key, field) in [
            ("lockout_threshold", &mut lockout.threshold),
            ("lockout_duration", &mut lockout.duration),
            ("lockout_window", &mut lockout.window),
            ("min_password_length", &mut passwords.min_length),
            ("max_password_age", &mut passwords.max_age_days),
            ("min_password_age", &mut passwords.min_age_days),
            ("password_history", &mut passwords.history),
        ] {
            if let Some(value) = self.0.get(key) {
                *field = *value;
            }
        }
        (lockout, passwords)
    }

    /// The first setting of the cluster that differs in two settings of a server.
    pub(crate) fn changed(&self, before: &Settings, after: &Settings) -> Option<&'static str> {
        let mut both = rules(before).into_iter().zip(rules(after));
        both.find(|((key, one), (_, other))| one != other && self.0.contains_key(*key))
            .map(|((key, _), _)| key)
    }
}

/// The name of the setting for the time of leases, which is one of `[cluster]` in the file.
const LEASE: &str = "lease_seconds";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&str, u32)]) -> Result<ClusterWide, String> {
        ClusterWide::new(values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect())
    }

    #[test]
    fn settings_of_a_cluster_are_known_and_do_not_contradict_each_other() {
        let set = of(&[("min_password_length", 9), ("lockout_threshold", 3)]).unwrap();
        let (lockout, passwords) = set.over((Lockout::default(), PasswordPolicy::default()));
        assert_eq!((lockout.threshold, lockout.duration, passwords.min_length), (3, 10, 9));
        assert!(of(&[("listen", 1)]).unwrap_err().contains("no setting of a cluster"));
        assert!(of(&[("lockout_threshold", 1000)]).unwrap_err().contains("0 to 999"));
        assert_eq!(of(&[(LEASE, 10)]).unwrap().lease(), Some(Duration::from_secs(10)));
        assert_eq!(of(&[(LEASE, 61)]).unwrap_err(), "lease_seconds is 2 to 60");
        assert_eq!(set.lease(), None);
        let contradictory = of(&[("min_password_age", 9), ("max_password_age", 3)]);
        assert!(contradictory.is_err());
        // Of a pair, the value of the file gives way to that of the cluster.
        let policy = |min_age_days, max_age_days| PasswordPolicy {
            min_age_days,
            max_age_days,
            ..PasswordPolicy::default()
        };
        for (values, own, combined) in [
            (&[("min_password_age", 9)][..], policy(1, 3), policy(9, 10)),
            (&[("max_password_age", 3)][..], policy(9, 0), policy(2, 3)),
            (&[("max_password_age", 3)][..], policy(2, 0), policy(2, 3)),
            (&[("min_password_age", 9)][..], policy(0, 0), policy(9, 0)),
            (&[("max_password_age", 0)][..], policy(9, 10), policy(9, 0)),
        ] {
            let set = of(values).unwrap();
            assert_eq!(set.over((Lockout::default(), own)).1, combined, "{values:?}");
            assert_eq!(set.contradicts(own), set.laid_over((Lockout::default(), own)).1 != combined);
        }
        // Each key has its field.
        for key in ClusterWide::keys().filter(|key| *key != LEASE) {
            let plain = Settings::conventional(false, |_| None);
            let (lockout, passwords) = of(&[(key, 7)]).unwrap().over((plain.lockout, plain.passwords));
            let after = Settings { lockout, passwords, ..plain.clone() };
            assert_eq!(of(&[(key, 7)]).unwrap().changed(&plain, &after), Some(key));
        }
    }
}

//! The rules of the machine's packet filter.

use server::config::Settings;

use super::{Finding, find, output, shell_word};

const AREA: &str = "firewall";
const WHY: &str = "clients on other machines get no answer and report a timeout";

/// Examines the rules for the ports of the settings. Only root can read them.
pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let mut ports: Vec<u16> =
        settings.listen.iter().filter(|it| !it.ip().is_loopback()).map(|it| it.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return Vec::new();
    }
    let rules = match output("nft", &["list", "ruleset"]) {
        Some(text) => Rules::of_nft(&text),
        None => match output("iptables", &["-S"]) {
            Some(text) => Rules::of_iptables(&text),
            None => return Vec::new(),
        },
    };
    ports.into_iter().map(|port| judge(&rules, port)).collect()
}

fn judge(rules: &Rules, port: u16) -> Finding {
    let fix = || {
        if find("ufw").is_some() {
            return format!("ufw allow {port}/tcp");
        }
        if find("firewall-cmd").is_some() {
            return format!("firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload");
        }
        match &rules.input {
            Some(chain) => format!("nft insert rule {} tcp dport {port} accept", shell_words(chain)),
            None => format!("iptables -I INPUT -p tcp --dport {port} -j ACCEPT"),
        }
    };
    let verdict = rules.verdict(port);
    match verdict {
        Verdict::Dropped(rule) => Finding::error(
            AREA,
            format!("a rule drops port {port}: {rule}"),
            WHY,
            format!("remove the rule, or: {}", fix()),
        ),
        Verdict::ByDefault => Finding::warning(
            AREA,
            format!("incoming packets are dropped by default, and no rule accepts port {port}"),
            WHY,
            fix(),
        ),
        Verdict::Accepted => Finding::ok(AREA, format!("no rule drops port {port}")),
    }
}

fn shell_words(text: &str) -> String {
    text.split(' ').map(shell_word).collect::<Vec<_>>().join(" ")
}

/// The rules that matter for a port.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    /// True if packets that no rule accepts are dropped.
    drops: bool,
    /// The chain of nftables that packets to this machine pass first, as `FAMILY TABLE CHAIN`.
    input: Option<String>,
    /// The rules about destination ports.
    of_ports: Vec<PortRule>,
}

#[derive(Debug, PartialEq, Eq)]
struct PortRule {
    ports: Vec<(u16, u16)>,
    accepts: bool,
    text: String,
}

/// The fate of packets to a port.
#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    Accepted,
    ByDefault,
    Dropped(&'a str),
}

impl Rules {
    /// Reads `nft list ruleset`. Rules with more conditions than a port count as well.
    fn of_nft(text: &str) -> Self {
        let mut rules = Self::default();
        let (mut table, mut chain) = (String::new(), String::new());
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("table ") {
                table = name.trim_end_matches('{').trim().to_owned();
            } else if let Some(name) = line.strip_prefix("chain ") {
                chain = name.trim_end_matches('{').trim().to_owned();
            } else if line.contains("hook input") {
                rules.input.get_or_insert_with(|| format!("{table} {chain}"));
                rules.drops |= line.contains("policy drop");
            } else {
                rules.rule(line, "dport ", &["accept"], &["drop", "reject"]);
            }
        }
        rules
    }

    /// Reads `iptables -S`.
    fn of_iptables(text: &str) -> Self {
        let mut rules = Self::default();
        for line in text.lines() {
            match line {
                "-P INPUT DROP" => rules.drops = true,
                line if line.contains("--dports ") => {
                    rules.rule(line, "--dports ", &["-j ACCEPT"], &["-j DROP", "-j REJECT"]);
                }
                line => rules.rule(line, "--dport ", &["-j ACCEPT"], &["-j DROP", "-j REJECT"]),
            }
        }
        rules
    }

    fn rule(&mut self, line: &str, before_ports: &str, accept: &[&str], drop: &[&str]) {
        let Some((head, rest)) = line.split_once(before_ports) else { return };
        if head.contains("udp") {
            return;
        }
        let accepts = accept.iter().any(|word| line.contains(word));
        if accepts || drop.iter().any(|word| line.contains(word)) {
            self.of_ports.push(PortRule { ports: ports(rest), accepts, text: line.to_owned() });
        }
    }

    fn verdict(&self, port: u16) -> Verdict<'_> {
        let about =
            |rule: &&PortRule| rule.ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
        match self.of_ports.iter().find(about) {
            Some(rule) if rule.accepts => Verdict::Accepted,
            Some(rule) => Verdict::Dropped(&rule.text),
            None if self.drops => Verdict::ByDefault,
            None => Verdict::Accepted,
        }
    }
}

/// The ports at the start of a text: `445`, `microsoft-ds`, `137-139`, `{ 22, 445 }`, `22,445`, `1000:2000`.
fn ports(text: &str) -> Vec<(u16, u16)> {
    let list = match text.strip_prefix('{') {
        Some(set) => set.split('}').next().unwrap_or_default(),
        None => text.split_whitespace().next().unwrap_or_default(),
    };
    let one = |word: &str| match word.trim() {
        "microsoft-ds" => Some(445),
        number => number.parse().ok(),
    };
    let range =
        |word: &str| match word.trim().split_once([':', '-']).filter(|_| word.trim() != "microsoft-ds") {
            Some((first, last)) => Some((one(first)?, one(last)?)),
            None => one(word).map(|port| (port, port)),
        };
    list.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NFT: &str = "\
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		iifname \"lo\" accept
		udp dport 446 accept
		tcp dport { 22, 1000-2000 } ct state new accept
		tcp dport 4451 counter packets 0 bytes 0 drop
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
";

    #[test]
    fn rules_of_nftables_decide_about_a_port() {
        let rules = Rules::of_nft(NFT);
        assert_eq!(rules.input.as_deref(), Some("inet filter input"));
        assert_eq!(rules.verdict(445), Verdict::ByDefault);
        assert_eq!(rules.verdict(446), Verdict::ByDefault);
        assert_eq!(rules.verdict(1445), Verdict::Accepted);
        assert!(matches!(rules.verdict(4451), Verdict::Dropped(rule) if rule.ends_with("drop")));
        let open = Rules::of_nft(&NFT.replace("policy drop", "policy accept"));
        assert_eq!(open.verdict(445), Verdict::Accepted);
        let named = Rules::of_nft(&NFT.replace("{ 22, 1000-2000 }", "microsoft-ds"));
        assert_eq!(named.verdict(445), Verdict::Accepted);
    }

    #[test]
    fn rules_of_iptables_decide_about_a_port() {
        let text = "-P INPUT DROP\n-P FORWARD ACCEPT\n-A INPUT -p tcp -m multiport --dports 139,445 -j ACCEPT\n\
                    -A INPUT -p tcp -m tcp --dport 4450:4460 -j REJECT --reject-with tcp-reset\n";
        let rules = Rules::of_iptables(text);
        assert_eq!(rules.verdict(445), Verdict::Accepted);
        assert_eq!(rules.verdict(4449), Verdict::ByDefault);
        assert!(matches!(rules.verdict(4455), Verdict::Dropped(_)));
        assert_eq!(Rules::of_iptables("-P INPUT ACCEPT\n").verdict(445), Verdict::Accepted);
    }
}

//! The Linux kernel's client, in a machine that boots for each round.

use std::time::Duration;

use testkit::peer::KernelClient;

use crate::allowed::{Operation, may_break};
use crate::world::World;

/// Runs once: a virtual machine takes about as long as a round.
pub(crate) fn work(world: &World) {
    let round = world.round();
    let user = world.user("alice");
    let port = world.server().address().port();
    let client = KernelClient { limit: LIMIT, ..KernelClient::at(port, &user, "") };
    let output = client.run(SCRIPT, &[&format!("r{round}-k")]);
    if output.status == Some(0) && output.stdout.contains("all as it was written") {
        world.count(Operation::Peer, "SUCCESS");
    } else if may_break(&world.troubles()) {
        world.count(Operation::Peer, "a broken connection");
    } else {
        world.finding("kernel", output);
    }
}

/// Files that are written, flushed and compared, by a program that a lost connection does not stop.
const SCRIPT: &str = r#"
mkdir -p "/mnt/$1" && cd "/mnt/$1" || exit 1
for number in 1 2 3 4 5 6 7 8; do
    head -c $((number * 50000)) /dev/urandom > "/tmp/f$number"
    cp "/tmp/f$number" "f$number" && sync "f$number" || exit 1
    cmp "/tmp/f$number" "f$number" || exit 1
    mv "f$number" "g$number" || exit 1
done
for number in 1 2 3 4 5 6 7 8; do cmp "/tmp/f$number" "g$number" || exit 1; done
echo all as it was written
"#;

const LIMIT: Duration = Duration::from_secs(180);

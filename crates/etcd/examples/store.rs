//! The costs of a cluster of many nodes and shares for etcd: keys, leases and watches as `docs/cluster.md` has them, against one
//! real member.
//!
//! Arguments: the number of nodes, of shares, and of the shares of the node that dies; by default 1,000, 100,000 and 10,000.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd::{Client, Compare, Condition, Endpoint, Operation, Settings, TlsFiles};
use testkit::Etcd;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual| arguments.get(index).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (nodes, shares, of_dead) = (number(0, 1_000), number(1, 100_000), number(2, 10_000));
    let etcd = Etcd::start(1);
    let runtime = tokio::runtime::Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(measure(&etcd, nodes, shares, of_dead));
}

async fn measure(etcd: &Etcd, nodes: usize, shares: usize, of_dead: usize) {
    let endpoint = etcd.endpoints().remove(0);
    let client = client(&endpoint);
    let figures = Figures { address: endpoint.trim_start_matches("http://").to_owned() };
    let memory = figures.memory();
    println!(
        "{nodes} nodes, {shares} shares, one node owns {of_dead}; memory of etcd at first: {memory:.0} MB"
    );

    let began = Instant::now();
    let writes = (0..shares).map(|it| put(&format!("{PREFIX}shares/share-{it}"), DEFINITION, None)).collect();
    transact_all(&client, writes, 100).await;
    report("definitions written, 100 with a transaction", began, shares);

    let began = Instant::now();
    let mut leases = Vec::new();
    for part in (0..nodes).collect::<Vec<_>>().chunks(32) {
        for lease in futures(part.iter().map(|_| client.grant(Duration::from_secs(600)))).await {
            leases.push(lease.unwrap_or_else(|error| panic!("{error}")).lease);
        }
    }
    report("leases granted", began, nodes);

    let began = Instant::now();
    // The first node owns those that others are to acquire.
    let owner = |share: usize| if share < of_dead { 0 } else { 1 + share % (nodes - 1) };
    let mut writes: Vec<_> = (0..shares).map(|it| own(it, owner(it), leases[owner(it)])).collect();
    writes.extend(leases.iter().enumerate().map(|(it, lease)| {
        let value = format!(r#"{{"incarnation":"{it:016x}.1","addresses":["10.0.0.1"],"weight":1}}"#);
        put(&format!("{PREFIX}nodes/node-{it}"), &value, Some(*lease))
    }));
    transact_all(&client, writes, 100).await;
    report("owners written, 100 with a transaction", began, shares);
    println!("etcd: {:.0} MB of memory, {:.0} MB of storage", figures.memory(), figures.storage());

    let (began, processor) = (Instant::now(), figures.processor());
    let range = client.range(PREFIX.as_bytes()).await.unwrap_or_else(|error| panic!("{error}"));
    report("keys read by a node that joins", began, range.entries.len());
    println!("etcd: {:.1} s of processor time for that", figures.processor() - processor);

    let (began, processor) = (Instant::now(), figures.processor());
    let mut renewed = 0;
    while began.elapsed() < Duration::from_secs(5) {
        for part in leases.chunks(32) {
            for answer in futures(part.iter().map(|lease| client.keep_alive(*lease))).await {
                answer.unwrap_or_else(|error| panic!("{error}"));
                renewed += 1;
            }
        }
    }
    report("renewals", began, renewed);
    let each = (figures.processor() - processor) / renewed as f64 * 1e6;
    println!("etcd: {each:.0} us of processor time for a renewal");

    let seen = Arc::new(AtomicUsize::new(0));
    for _ in 0..nodes {
        let watch = client.watch(PREFIX.as_bytes(), range.revision + 1).await;
        let mut watch = watch.unwrap_or_else(|error| panic!("{error}"));
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok(batch) = watch.next().await {
                seen.fetch_add(batch.changes.len(), Ordering::Relaxed);
            }
        });
    }
    println!("etcd: {:.0} MB of memory with {nodes} watches", figures.memory());

    let (began, processor) = (Instant::now(), figures.processor());
    client.revoke(leases[0]).await.unwrap_or_else(|error| panic!("{error}"));
    println!("the lease of the node ended after {:.2} s", began.elapsed().as_secs_f64());
    wait(&seen, nodes * of_dead).await;
    report("changes seen by all nodes when the node dies", began, nodes * of_dead);
    println!("etcd: {:.1} s of processor time for that", figures.processor() - processor);

    let (began, processor) = (Instant::now(), figures.processor());
    // Each of the other nodes acquires its part, 60 shares at most with a transaction, as `Node` does.
    let part = of_dead.div_ceil(nodes - 1).clamp(1, 60);
    let mut parts = Vec::new();
    for (node, part) in (0..of_dead).collect::<Vec<_>>().chunks(part).enumerate() {
        let node = 1 + node % (nodes - 1);
        let absent = |it: &usize| Compare { key: owner_key(*it).into_bytes(), condition: Condition::Absent };
        let compares: Vec<_> = part.iter().map(absent).collect();
        parts.push((compares, part.iter().map(|it| own(*it, node, leases[node])).collect::<Vec<_>>()));
    }
    for some in parts.chunks(32) {
        for answer in futures(some.iter().map(|(compares, writes)| client.transact(compares, writes))).await {
            assert!(answer.unwrap_or_else(|error| panic!("{error}")).succeeded);
        }
    }
    report("shares acquired by the others", began, of_dead);
    wait(&seen, 2 * nodes * of_dead).await;
    report("changes seen by all nodes since the first of these", began, nodes * of_dead);
    println!(
        "etcd: {:.1} s of processor time for that, with {} transactions; {:.0} MB of memory, {:.0} MB of storage",
        figures.processor() - processor,
        parts.len(),
        figures.memory(),
        figures.storage()
    );
}

/// Waits until the watches have brought so many changes.
async fn wait(seen: &AtomicUsize, wanted: usize) {
    let began = Instant::now();
    while seen.load(Ordering::Relaxed) < wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(began.elapsed() < PATIENCE, "{} of {wanted} changes", seen.load(Ordering::Relaxed));
    }
}

/// The figures that etcd reports about itself.
struct Figures {
    address: String,
}

impl Figures {
    /// Megabytes.
    fn memory(&self) -> f64 {
        self.of("process_resident_memory_bytes ") / 1e6
    }

    /// Megabytes.
    fn storage(&self) -> f64 {
        self.of("etcd_mvcc_db_total_size_in_bytes ") / 1e6
    }

    /// Seconds.
    fn processor(&self) -> f64 {
        self.of("process_cpu_seconds_total ")
    }

    fn of(&self, name: &str) -> f64 {
        let read = || {
            let mut socket = std::net::TcpStream::connect(&self.address)?;
            socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            socket.read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text)
        };
        let text = read().unwrap_or_else(|error| panic!("{error}"));
        let found = text.lines().find_map(|it| it.strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {name}"))
    }
}

fn client(endpoint: &str) -> Client {
    let endpoints = vec![Endpoint::parse(endpoint).unwrap_or_else(|error| panic!("{error}"))];
    let settings = Settings { endpoints, tls: TlsFiles::default(), login: None, timeout: PATIENCE };
    Client::new(settings).unwrap_or_else(|error| panic!("{error}"))
}

async fn transact_all(client: &Client, writes: Vec<Operation>, at_once: usize) {
    let parts: Vec<_> = writes.chunks(at_once).collect();
    for some in parts.chunks(8) {
        for answer in futures(some.iter().map(|part| client.transact(&[], part))).await {
            answer.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// Waits for some futures, which go on at the same time.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = all.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if let Some(it) = future
                && let std::task::Poll::Ready(value) = it.as_mut().poll(context)
            {
                *done = Some(value);
                *future = None;
            }
        }
        let is_done = waiting.iter().all(Option::is_none);
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn own(share: usize, node: usize, lease: i64) -> Operation {
    let value = format!(r#"{{"node":"node-{node}","incarnation":"{node:016x}.1","offset":0}}"#);
    put(&owner_key(share), &value, Some(lease))
}

fn owner_key(share: usize) -> String {
    format!("{PREFIX}owners/share-{share}")
}

fn put(key: &str, value: &str, lease: Option<i64>) -> Operation {
    Operation::Put { key: key.into(), value: value.into(), lease }
}

fn report(what: &str, began: Instant, count: usize) {
    let took = began.elapsed().as_secs_f64();
    println!("{count} {what}: {took:.2} s, {:.0}/s", count as f64 / took);
}

const PREFIX: &str = "/shareward/scale/";

/// A definition of 300 bytes.
const DEFINITION: &str = r#"{"weight":1,"definition":{"token":"00000000000000000000000000000000","share":{"name":"Some share","path":"/srv/cluster/some/share","continuous":true,"remark":"A share like others","grants":[{"user":"CORP\\someone","right":"full"},{"user":"CORP\\somebody","right":"read"}],"access_based_enum":true}}}"#;

/// A call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(600);

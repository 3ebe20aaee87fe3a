use client::smb::*;
use wire::msg::*;
use wire::*;
use wire::create_context::*;
use std::net::SocketAddr;
use auth::{Credentials, Cipher, SigningAlgorithm};

type R = Result<(), Box<dyn std::error::Error>>;

async fn one(addr: SocketAddr, options: ConnectOptions, local: Option<SocketAddr>, share: &str) -> R {
    let c = Connection::connect(addr, local, options).await?;
    let n = c.negotiated()?;
    print!("{:?} {:?} {:?} mc={} ", n.dialect, n.cipher, n.signing_algorithm, n.multi_credit);
    let s = c.logon(Credentials::password("alice", "", "Wonder-Land 1")).await?;
    let t = s.tree_connect(&format!(r"\\localhost\{share}")).await?;
    c.echo().await?;
    let f = t.create(&CreateParameters::read_write("hello.txt")).await?;
    let data: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7 >> 3) as u8).collect();
    let max = n.max_write_size.min(65536) as usize;
    for (i, chunk) in data.chunks(max).enumerate() { assert_eq!(f.write((i * max) as u64, chunk.to_vec()).await?, chunk.len() as u32); }
    if n.multi_credit { f.write(0, data.clone()).await?; let b = f.read(0, 1_000_000).await?; assert!(b == data); }
    let b = f.read(10, 60_000).await?; assert!(b == data[10..60_010]);
    assert!(f.read(2_000_000, 10).await.unwrap_err().is(NtStatus::END_OF_FILE));
    f.flush().await?;
    let basic = f.query_info(InfoType::FILE, fscc::FileInfoClass::STANDARD.0, AdditionalInformation::NONE, 1024).await?;
    assert_eq!(basic.len(), 24);
    let g = t.create(&CreateParameters::read_write("hello.txt")).await?;
    let e = |flags| LockElement { offset: 0, length: 10, flags };
    f.lock(&[e(LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY)]).await?;
    let err = g.lock(&[e(LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY)]).await.unwrap_err();
    assert!(err.is(NtStatus::LOCK_NOT_GRANTED), "{err:?}");
    let waiting = g.submit_lock(&[e(LockFlags::EXCLUSIVE_LOCK)]).await?;
    assert!(waiting.pending().await.is_some());
    c.cancel(&waiting).await?;
    let st = waiting.response().await?.status(); assert!(st == NtStatus::CANCELLED, "{st:?}");
    let waiting = g.submit_lock(&[e(LockFlags::EXCLUSIVE_LOCK)]).await?;
    assert!(waiting.pending().await.is_some());
    f.lock(&[e(LockFlags::UNLOCK)]).await?;
    waiting.response().await?.success()?;
    g.close().await?;
    let closed = f.close_and_query().await?;
    assert_eq!(closed.end_of_file, 1_000_000);
    // compound
    let p = CreateParameters::open("hello.txt");
    let parts = vec![p.part()?, read_part(FileId::RELATED, 0, 100), close_part(FileId::RELATED, CloseFlags::NONE)];
    let flights = c.submit_compound(t.scope(), parts, true).await?;
    let mut answers = vec![]; for fl in flights { answers.push(fl.response().await?.success()?); }
    assert!(read_data(&answers[1])? == data[..100]);
    // listing
    let d = t.create(&CreateParameters::directory("")).await?;
    let all = d.list(fscc::FileInfoClass::ID_BOTH_DIRECTORY, "*").all(1000).await?;
    assert!(all.iter().any(|e| e.name == "hello.txt" && e.fields.size == 1_000_000));
    d.close().await?;
    // lease break
    if n.dialect >= Dialect::SMB300 {
        let mut breaks = c.breaks();
        let mut p = CreateParameters::read_write("lease.txt");
        p.contexts.lease = Some(LeaseContext { key: Guid([7; 16]), state: LeaseState::READ | LeaseState::WRITE | LeaseState::HANDLE, flags: LeaseFlags::NONE, v2: Some(LeaseV2::default()) });
        let f = t.create(&p).await?;
        if let Some(l) = f.created.contexts.lease {
            let t2 = t.clone();
            let other = tokio::spawn(async move { t2.create(&CreateParameters::read_write("lease.txt")).await });
            let b = tokio::time::timeout(std::time::Duration::from_secs(5), breaks.next()).await??;
            if let Some(Break::Lease(l)) = b { t.acknowledge_lease(l.lease_key, l.new_lease_state).await?; } else { panic!("{b:?}") }
            let g = other.await??;
            print!("lease {:?} ", l.state);
            g.close().await?;
        } else { print!("no lease ") }
        f.set_delete_on_close(true).await?;
        f.close().await?;
    }
    // pipe
    let mut pipe = Pipe::connect(&s, "srvsvc", rpc::srvsvc::INTERFACE).await?;
    for _ in 0..2 {
        let r = pipe.call(&rpc::srvsvc::ServerGetInfoRequest { server_name: None, level: 101 }).await?;
        let st = rpc::Response::status(&r);
        print!("{st:?} ");
    }
    pipe.close().await?;
    // pipelining
    let f = t.create(&CreateParameters::open("hello.txt")).await?;
    let mut flights = vec![];
    for i in 0..200u64 { flights.push(c.submit(t.scope(), read_part(f.id(), i * 4096, 4096)).await?); }
    for (i, fl) in flights.into_iter().enumerate() { let d = read_data(&fl.response().await?.success()?)?; assert!(d == data[i*4096..(i+1)*4096]); }
    f.close().await?;
    t.disconnect().await?;
    s.logoff().await?;
    assert!(c.request(s.scope(), Part::new(Command::LOGOFF, |o, b| LogoffRequest.encode(o, b))).await.is_ok_and(|r| r.status() == NtStatus::USER_SESSION_DELETED) || true);
    println!("credits {} ok", c.credits());
    Ok(())
}

#[tokio::main]
async fn main() -> R {
    let addr: SocketAddr;
    let setup = testkit::Setup::default();
    let _keep: Box<dyn std::any::Any>;
    if std::env::args().nth(1).as_deref() == Some("samba") {
        let s = testkit::Samba::start(&setup); addr = s.address(); _keep = Box::new(s);
    } else { let s = testkit::Shareward::start(&setup); addr = s.address(); _keep = Box::new(s); }
    let base = ConnectOptions::new()?;
    let mut bad = 0;
    for signing in [Signing::IfRequired, Signing::Required] {
        for d in [Dialect::SMB202, Dialect::SMB210, Dialect::SMB300, Dialect::SMB302, Dialect::SMB311] {
            let o = ConnectOptions { signing, ..base.clone() }.dialect(d);
            if let Err(e) = one(addr, o, Some("127.0.0.2:0".parse()?), "data").await { println!("FAIL {d:?} {signing:?}: {e}"); bad += 1; }
        }
    }
    for c in [Cipher::Aes128Ccm, Cipher::Aes128Gcm, Cipher::Aes256Ccm, Cipher::Aes256Gcm] {
        let o = ConnectOptions { ciphers: vec![c], seal: true, ..base.clone() };
        if let Err(e) = one(addr, o, None, "data").await { println!("FAIL {c:?}: {e}"); bad += 1; }
    }
    for a in [SigningAlgorithm::HmacSha256, SigningAlgorithm::AesCmac, SigningAlgorithm::AesGmac] {
        let o = ConnectOptions { signing_algorithms: vec![a], signing: Signing::Required, ..base.clone() };
        if let Err(e) = one(addr, o, None, "data").await { println!("FAIL {a:?}: {e}"); bad += 1; }
    }
    if let Err(e) = one(addr, ConnectOptions { seal: true, ..base.clone() }.dialect(Dialect::SMB300), None, "data").await { println!("FAIL seal 300: {e}"); bad += 1; }
    if let Err(e) = one(addr, base.clone(), None, "sealed").await { println!("FAIL sealed share: {e}"); bad += 1; }
    let e = Connection::connect(addr, None, base.clone()).await?.logon(Credentials::password("alice", "", "wrong")).await.unwrap_err(); println!("wrong password: {e}");
    match Connection::connect(addr, None, base.clone()).await?.logon_anonymous().await { Ok(s) => println!("anonymous {:?}", s), Err(e) => println!("anonymous: {e}") };
    println!("{bad} bad");
    Ok(())
}

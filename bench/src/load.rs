//! The loads: the work of the connections until their time is up.
//!
//! Each load prepares its connections, files and sessions before the clock starts, and cleans up afterwards, so that
//! no load pays for the previous one.

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::smb::{
    Break, ClientSession, ClientTree, CreateParameters, Error, File, Pipe, close_part, query_info_part,
    read_data, read_part, write_part,
};
use rpc::Response as _;
use rpc::srvsvc::{ENDPOINT, FileEnumRequest, FileEnumStruct, INTERFACE, MAX_PREFERRED_LENGTH};
use wire::create_context::{LeaseContext, LeaseFlags, LeaseV2};
use wire::fscc::{DirectoryEntries, FileInfoClass};
use wire::msg::{AdditionalInformation, CloseFlags, InfoType, WriteResponse};
use wire::{AccessMask, FileId, Guid, LeaseState};

use crate::cases::{Case, Load};
use crate::data;
use crate::measure::{Figure, stopwatch};
use crate::options::Options;
use crate::servers::Target;
use crate::{big_directory, continuous, explorer, listing, memory};

/// Files opened at the same time on one connection.
pub(crate) const FILES_AT_ONCE: usize = 8;

/// The requests in flight while ten thousand files are opened and closed.
const OPENS_AT_ONCE: usize = 64;

/// Runs the load for the given time.
pub(crate) async fn run(
    case: &Case,
    target: &Target,
    options: &Options,
    time: Duration,
) -> Result<Figure, Error> {
    if !case.lists() {
        listing::release(target).await?;
    }
    match case.load {
        Load::Read { size, depth } => {
            let files = files(case, target, options, data::read_name).await?;
            transfer(target, time, files, move |file, until| read(file, size, depth, until)).await
        }
        Load::Write { size, depth } => {
            let files = files(case, target, options, data::write_name).await?;
            let content = Bytes::from(vec![0xa5; size as usize]);
            let work = move |file, until| write(file, content.clone(), depth, until);
            transfer(target, time, files, work).await
        }
        Load::Random { writes, depth } => {
            let name = if writes { data::write_name } else { data::read_name };
            let files = files(case, target, options, name).await?;
            transfer(target, time, files, move |file, until| random(file, writes, depth, until)).await
        }
        Load::OpenReadClose { compound } => {
            let work = move |(tree, first), until| open_read_close(tree, first, compound, until);
            small_files(case, target, options, time, work).await
        }
        Load::Stat => {
            small_files(case, target, options, time, |(tree, first), until| stat(tree, first, until)).await
        }
        Load::CreateWriteClose => {
            let work = |(tree, first), until| create_write_close(tree, first, until);
            let figure = small_files(case, target, options, time, work).await;
            data::set_aside_new(&target.tree)
                .map_err(|_| Error::Unable("new files could not be taken out of the way"))?;
            figure
        }
        Load::List => {
            let trees = trees(case, target, options).await?;
            let figure = timed(target, time, trees.clone(), list).await?;
            logoff(trees.iter().map(ClientTree::session)).await?;
            Ok(figure)
        }
        Load::Explorer => {
            let trees = trees(case, target, options).await?;
            let figure = timed(target, time, trees.clone(), explorer::open_folders).await?;
            logoff(trees.iter().map(ClientTree::session)).await?;
            Ok(figure)
        }
        Load::Durable { persistent } => continuous::measure(case, target, options, time, persistent).await,
        Load::Logon | Load::LogonWithTicket => {
            let workers = vec![(target.clone(), case.protection); options.connections];
            timed(target, time, workers, |(target, protection), until| async move {
                let mut done = 0.0;
                while Instant::now() < until {
                    target.logon(protection).await?;
                    done += 1.0;
                }
                Ok(done)
            })
            .await
        }
        Load::LeaseBreak => {
            let (holders, openers) =
                (trees(case, target, options).await?, trees(case, target, options).await?);
            let workers = holders.iter().cloned().zip(openers.iter().cloned()).enumerate().collect();
            let figure = timed(target, time, workers, |(index, (holder, opener)), until| {
                lease_break(index, holder, opener, until)
            })
            .await?;
            logoff(holders.iter().chain(&openers).map(ClientTree::session)).await?;
            Ok(figure)
        }
        Load::FileEnum => file_enum(case, target, options, time).await,
        Load::ListCommand { json, opens } => listing::measure(case, target, time, json, opens).await,
        Load::BigDirectory { act, entries } => {
            big_directory::measure(case, target, options, time, (act, entries)).await
        }
        Load::Memory => memory::measure(case, target).await,
        Load::MemoryOfOpens => memory::measure_opens(case, target).await,
        Load::Quiet(_) => Err(Error::Unable("the waits of a quiet client are no load")),
    }
}

/// Runs the workers at the same time until the time is up, and counts their work.
pub(crate) async fn timed<S, F, W>(
    target: &Target,
    time: Duration,
    workers: Vec<S>,
    work: W,
) -> Result<Figure, Error>
where
    F: Future<Output = Result<f64, Error>> + Send + 'static,
    W: Fn(S, Instant) -> F,
{
    let watch = stopwatch(target);
    let until = Instant::now() + time;
    let tasks: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(work(worker, until))).collect();
    let mut units = 0.0;
    for task in tasks {
        units += task.await.map_err(|_| Error::Unable("a worker of the load panicked"))??;
    }
    Ok(watch.stop(units))
}

async fn transfer<F, W>(target: &Target, time: Duration, files: Vec<File>, work: W) -> Result<Figure, Error>
where
    F: Future<Output = Result<f64, Error>> + Send + 'static,
    W: Fn(File, Instant) -> F,
{
    let figure = timed(target, time, files.clone(), work).await?;
    for file in &files {
        file.close().await?;
    }
    logoff(files.iter().map(|file| file.tree().session())).await?;
    Ok(figure)
}

pub(crate) async fn trees(case: &Case, target: &Target, options: &Options) -> Result<Vec<ClientTree>, Error> {
    let mut trees = Vec::new();
    for _ in 0..options.connections {
        trees.push(target.tree(case.protection).await?);
    }
    Ok(trees)
}

async fn files(
    case: &Case,
    target: &Target,
    options: &Options,
    name: impl Fn(usize) -> String,
) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    for (index, tree) in trees(case, target, options).await?.iter().enumerate() {
        let name = name(index);
        files.push(tree.create(&CreateParameters::read_write(&name)).await?);
    }
    Ok(files)
}

pub(crate) async fn logoff(sessions: impl Iterator<Item = &ClientSession>) -> Result<(), Error> {
    for session in sessions {
        session.logoff().await?;
    }
    Ok(())
}

async fn read(file: File, size: u32, depth: usize, until: Instant) -> Result<f64, Error> {
    let (tree, id) = (file.tree(), file.id());
    let mut under_way = VecDeque::with_capacity(depth);
    let (mut next, mut bytes) = (0, 0.0);
    loop {
        while under_way.len() < depth && Instant::now() < until {
            let request = tree.connection().submit(tree.scope(), read_part(id, next, size)).await?;
            under_way.push_back((next, request));
            next = (next + u64::from(size)) % data::LARGE_BYTES;
        }
        let Some((offset, request)) = under_way.pop_front() else { return Ok(bytes / MIB) };
        let data = read_data(&request.response().await?.success()?)?;
        if data.len() != size as usize || !data::is_stamped(&data, offset) {
            return Err(Error::Protocol("what was read is not what the file holds"));
        }
        bytes += f64::from(size);
    }
}

async fn write(file: File, content: Bytes, depth: usize, until: Instant) -> Result<f64, Error> {
    let (tree, id) = (file.tree(), file.id());
    let mut under_way = VecDeque::with_capacity(depth);
    let (mut next, mut bytes) = (0, 0.0);
    loop {
        while under_way.len() < depth && Instant::now() < until {
            let part = write_part(id, next, content.clone());
            under_way.push_back(tree.connection().submit(tree.scope(), part).await?);
            next = (next + content.len() as u64) % data::LARGE_BYTES;
        }
        let Some(request) = under_way.pop_front() else { return Ok(bytes / MIB) };
        let answer = request.response().await?.success()?;
        let written = WriteResponse::decode(&answer.message)?.count;
        if written as usize != content.len() {
            return Err(Error::Protocol("less was written than was sent"));
        }
        bytes += f64::from(written);
    }
}

/// Runs eight workers on each connection; each gets the connection and the number of its first file.
async fn small_files<F, W>(
    case: &Case,
    target: &Target,
    options: &Options,
    time: Duration,
    work: W,
) -> Result<Figure, Error>
where
    F: Future<Output = Result<f64, Error>> + Send + 'static,
    W: Fn((ClientTree, usize), Instant) -> F,
{
    let trees = trees(case, target, options).await?;
    let mut workers = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        let first = |worker| (index * FILES_AT_ONCE + worker) * 37;
        workers.extend((0..FILES_AT_ONCE).map(|worker| (tree.clone(), first(worker))));
    }
    let figure = timed(target, time, workers, work).await?;
    logoff(trees.iter().map(ClientTree::session)).await?;
    Ok(figure)
}

/// Reads or writes at offsets of a fixed pseudorandom sequence (Knuth's linear congruential generator).
async fn random(file: File, writes: bool, depth: usize, until: Instant) -> Result<f64, Error> {
    const BLOCK: u32 = 4096;
    let (tree, id) = (file.tree(), file.id());
    let content = Bytes::from(vec![0xa5; BLOCK as usize]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut under_way = VecDeque::with_capacity(depth);
    let mut done = 0.0;
    loop {
        while under_way.len() < depth && Instant::now() < until {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let offset = (state >> 20) % (data::LARGE_BYTES / u64::from(BLOCK)) * u64::from(BLOCK);
            let part =
                if writes { write_part(id, offset, content.clone()) } else { read_part(id, offset, BLOCK) };
            under_way.push_back((offset, tree.connection().submit(tree.scope(), part).await?));
        }
        let Some((offset, request)) = under_way.pop_front() else { return Ok(done) };
        let answer = request.response().await?.success()?;
        let is_whole = if writes {
            WriteResponse::decode(&answer.message)?.count == BLOCK
        } else {
            let data = read_data(&answer)?;
            data.len() == BLOCK as usize && data::is_stamped(&data, offset)
        };
        if !is_whole {
            return Err(Error::Protocol("a block is not what the file holds, or is not whole"));
        }
        done += 1.0;
    }
}

async fn stat(tree: ClientTree, first: usize, until: Instant) -> Result<f64, Error> {
    let mut done = 0.0;
    for index in first.. {
        if Instant::now() >= until {
            break;
        }
        let name = data::small_name(index);
        let open = CreateParameters { access: AccessMask::READ_ATTRIBUTES, ..CreateParameters::open(&name) };
        let (class, no_parts) = (FileInfoClass::ALL.0, AdditionalInformation::NONE);
        let query = query_info_part(FileId::RELATED, InfoType::FILE, class, no_parts, INFORMATION_BYTES);
        let parts = vec![open.part()?, query, close_part(FileId::RELATED, CloseFlags::NONE)];
        for request in tree.connection().submit_compound(tree.scope(), parts, true).await? {
            request.response().await?.success()?;
        }
        done += 1.0;
    }
    Ok(done)
}

/// The largest answer to a query of all information, with the name.
const INFORMATION_BYTES: u32 = 4096;

/// Creates files in the directory of the new ones, which is emptied afterwards, outside of the time.
async fn create_write_close(tree: ClientTree, first: usize, until: Instant) -> Result<f64, Error> {
    let content = Bytes::from(vec![0x5a; data::SMALL_BYTES as usize]);
    let mut made = 0_u32;
    while Instant::now() < until {
        let name = data::new_name(first, made);
        let file = tree.create(&CreateParameters::read_write(&name)).await?;
        file.write(0, content.clone()).await?;
        file.close().await?;
        made += 1;
    }
    Ok(f64::from(made))
}

async fn open_read_close(
    tree: ClientTree,
    first: usize,
    compound: bool,
    until: Instant,
) -> Result<f64, Error> {
    let mut done = 0.0;
    for index in first.. {
        if Instant::now() >= until {
            break;
        }
        let name = data::small_name(index);
        let parameters = CreateParameters::open(&name);
        let data = if compound {
            let read = read_part(FileId::RELATED, 0, data::SMALL_BYTES);
            let close = close_part(FileId::RELATED, CloseFlags::NONE);
            let parts = vec![parameters.part()?, read, close];
            let mut answers = Vec::with_capacity(parts.len());
            for request in tree.connection().submit_compound(tree.scope(), parts, true).await? {
                answers.push(request.response().await?.success()?);
            }
            read_data(answers.get(1).ok_or(Error::Protocol("no answer to a READ"))?)?
        } else {
            let file = tree.create(&parameters).await?;
            let data = file.read(0, data::SMALL_BYTES).await?;
            file.close().await?;
            data
        };
        if data.len() != data::SMALL_BYTES as usize {
            return Err(Error::Protocol("a small file is not whole"));
        }
        done += 1.0;
    }
    Ok(done)
}

async fn list(tree: ClientTree, until: Instant) -> Result<f64, Error> {
    const CLASS: FileInfoClass = FileInfoClass::ID_BOTH_DIRECTORY;
    let mut done = 0.0;
    while Instant::now() < until {
        let directory = tree.create(&CreateParameters::directory("many")).await?;
        let mut listing = directory.list(CLASS, "*");
        let mut entries = 0;
        while let Some(buffer) = listing.next_buffer().await? {
            entries += DirectoryEntries::new(CLASS, &buffer).into_iter().flatten().flatten().count();
        }
        directory.close().await?;
        // With itself and its parent.
        if entries != data::MANY_FILES + 2 {
            return Err(Error::Protocol("a listing is not whole"));
        }
        done += entries as f64;
    }
    Ok(done)
}

async fn lease_break(
    index: usize,
    holder: ClientTree,
    opener: ClientTree,
    until: Instant,
) -> Result<f64, Error> {
    let name = format!("{}-{index}", data::LEASE_NAME);
    let key = Guid([u8::try_from(index + 1).unwrap_or(u8::MAX); 16]);
    let mut caching = CreateParameters::read_write(&name);
    caching.contexts.lease = Some(LeaseContext {
        key,
        state: LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE,
        flags: LeaseFlags::NONE,
        v2: Some(LeaseV2::default()),
    });
    let mut breaks = holder.connection().breaks();
    let mut done = 0.0;
    while Instant::now() < until {
        let held = holder.create(&caching).await?;
        let part = CreateParameters::read_write(&name).part()?;
        let open = opener.connection().submit(opener.scope(), part).await?;
        let Some(Break::Lease(told)) = breaks.next().await? else {
            return Err(Error::Protocol("no lease was broken"));
        };
        holder.acknowledge_lease(key, told.new_lease_state).await?;
        File::created(&opener, &open.response().await?.success()?)?.close().await?;
        held.close().await?;
        done += 1.0;
    }
    Ok(done)
}

async fn file_enum(case: &Case, target: &Target, options: &Options, time: Duration) -> Result<Figure, Error> {
    let mut trees = Vec::new();
    for number in 0..options.connections {
        trees.push(target.tree_in_turn(number, case.protection).await?);
    }
    open_on_all(&trees, data::MANY_FILES).await?;
    let administrator = target.logon_administrator().await?;
    let pipe = Pipe::connect(&administrator, ENDPOINT.pipe, INTERFACE).await?;
    let figure = timed(target, time, vec![pipe], enumerate).await?;
    logoff(trees.iter().map(ClientTree::session).chain([&administrator])).await?;
    Ok(figure)
}

/// Opens `opens` files on all trees at the same time; they are closed with their sessions.
pub(crate) async fn open_on_all(trees: &[ClientTree], opens: usize) -> Result<(), Error> {
    let names = |index| (index..opens).step_by(trees.len()).map(data::many_name);
    let opened: Vec<_> = trees
        .iter()
        .enumerate()
        .map(|(index, tree)| tokio::spawn(open_many(tree.clone(), names(index))))
        .collect();
    for task in opened {
        task.await.map_err(|_| Error::Unable("a worker of the load panicked"))??;
    }
    Ok(())
}

async fn open_many(tree: ClientTree, mut names: impl Iterator<Item = String>) -> Result<(), Error> {
    let mut under_way = VecDeque::with_capacity(OPENS_AT_ONCE);
    loop {
        while under_way.len() < OPENS_AT_ONCE
            && let Some(name) = names.next()
        {
            let parameters =
                CreateParameters { access: AccessMask::FILE_GENERIC_READ, ..CreateParameters::open(&name) };
            under_way.push_back(tree.connection().submit(tree.scope(), parameters.part()?).await?);
        }
        let Some(request) = under_way.pop_front() else { return Ok(()) };
        request.response().await?.success()?;
    }
}

async fn enumerate(mut pipe: Pipe, until: Instant) -> Result<f64, Error> {
    let mut done = 0.0;
    // At least once, regardless of the time.
    loop {
        let mut resume_handle = Some(0);
        let mut entries = 0;
        loop {
            let request = FileEnumRequest {
                server_name: None,
                base_path: None,
                user_name: None,
                info: FileEnumStruct::empty(3),
                preferred_maximum_length: MAX_PREFERRED_LENGTH,
                resume_handle,
            };
            let response = pipe.call(&request).await?;
            entries += response.info.len();
            match response.status() {
                status if status.is_success() => break,
                rpc::Win32Error::MORE_DATA if !response.info.is_empty() => {
                    resume_handle = response.resume_handle
                }
                rpc::Win32Error::ACCESS_DENIED => {
                    return Err(Error::Unable("the administrator may not enumerate files"));
                }
                _ => return Err(Error::Unable("NetrFileEnum failed")),
            }
        }
        if entries < data::MANY_FILES {
            return Err(Error::Protocol("NetrFileEnum does not tell of all opens"));
        }
        done += entries as f64;
        if Instant::now() >= until {
            return Ok(done);
        }
    }
}

const MIB: f64 = 1_048_576.0;

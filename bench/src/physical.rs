//! The physical limit of transfers: a process that moves the same bytes between files and connections with the least
//! that the kernel and the cipher allow, and no protocol around them.
//!
//! Each connection has a thread. A request is [`REQUEST`] bytes and an answer begins with [`ANSWER`] bytes. A plain READ
//! is one `sendfile`; a signed or sealed one is a `pread`, AES-128-GMAC or AES-128-GCM over the bytes, and a `send`. A
//! WRITE is the reverse.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use client::smb::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream as AsyncStream;

use crate::cases::{Case, Load};
use crate::data;
use crate::measure::{Figure, Stopwatch};
use crate::options::Options;
use crate::process::cpu_seconds_of;
use crate::servers::Protection;

/// The argument with which this program is the server; the directory follows.
pub(crate) const ARGUMENT: &str = "--physical-limit-server";

/// Bytes of a request: direction, protection, number of the file, length, offset.
const REQUEST: usize = 16;

/// Bytes before the data of an answer, which stand for the header of a protocol.
const ANSWER: usize = 4;

/// Bytes of a tag of AES-GCM.
const TAG: usize = 16;

/// The longest transfer.
const LENGTH_MAX: usize = 8 << 20;

/// The server's process.
pub(crate) struct Limit {
    child: Child,
    address: SocketAddr,
}

impl Limit {
    /// Starts the server over the tree of the other servers.
    pub(crate) fn start(tree: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .arg(tree)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let read = child.stdout.take().map(|output| BufReader::new(output).read_line(&mut line));
        read.transpose()?;
        let address = line.trim().parse().map_err(|_| io::Error::other("the server gave no address"))?;
        Ok(Self { child, address })
    }

    /// Measures the bytes of this case; `None` if it is not a transfer.
    pub(crate) async fn measure(
        &self,
        case: &Case,
        options: &Options,
        time: Duration,
    ) -> Option<Result<Figure, Error>> {
        let (writes, size, depth) = match case.load {
            Load::Read { size, depth } => (false, size, depth),
            Load::Write { size, depth } => (true, size, depth),
            _ => return None,
        };
        let transfer = Transfer { writes, protection: case.protection, size, depth };
        Some(self.run(transfer, options.connections, time).await)
    }

    async fn run(&self, transfer: Transfer, connections: usize, time: Duration) -> Result<Figure, Error> {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = AsyncStream::connect(self.address).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            streams.push(stream);
        }
        let pid = self.child.id();
        let watch = Stopwatch::of(move || cpu_seconds_of(pid));
        let until = Instant::now() + time;
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(file, stream)| tokio::spawn(load(transfer, file, stream, until)))
            .collect();
        let mut bytes = 0.0;
        for task in tasks {
            bytes +=
                task.await.map_err(|_| Error::Unable("a worker of the load panicked"))?.map_err(failed)?;
        }
        Ok(watch.stop(bytes / f64::from(1 << 20)))
    }
}

fn failed(_: io::Error) -> Error {
    Error::Unable("the server of the physical limit failed")
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A sequence of equal transfers.
#[derive(Clone, Copy)]
struct Transfer {
    writes: bool,
    protection: Protection,
    size: u32,
    depth: usize,
}

impl Transfer {
    fn request(self, file: usize, offset: u64) -> io::Result<[u8; REQUEST]> {
        let mut request = [0; REQUEST];
        let protection = match self.protection {
            Protection::Plain => 0,
            Protection::Signed => 1,
            Protection::Sealed => 2,
        };
        let [.., high, low] = u16::try_from(file).map_err(io::Error::other)?.to_be_bytes();
        request[..4].copy_from_slice(&[u8::from(self.writes), protection, high, low]);
        request[4..8].copy_from_slice(&self.size.to_be_bytes());
        request[8..].copy_from_slice(&offset.to_be_bytes());
        Ok(request)
    }

    /// Bytes of the tag behind the data.
    fn tag(self) -> usize {
        if self.protection == Protection::Plain { 0 } else { TAG }
    }
}

/// Keeps `depth` transfers under way until the time is up, and returns the bytes. The content is not looked at: what the
/// load generator does with it is not part of the figure.
async fn load(transfer: Transfer, file: usize, stream: AsyncStream, until: Instant) -> io::Result<f64> {
    let (mut reader, mut writer) = stream.into_split();
    let (permits, mut answered) = tokio::sync::mpsc::channel(transfer.depth);
    let sender = tokio::spawn(async move {
        // The tag of a sealed WRITE has to be right, so the bytes are sealed once and sent again and again.
        let content = sealed(transfer)?;
        let mut offset = 0;
        while Instant::now() < until && permits.send(()).await.is_ok() {
            writer.write_all(&transfer.request(file, offset)?).await?;
            if transfer.writes {
                writer.write_all(&content).await?;
            }
            offset = (offset + u64::from(transfer.size)) % data::LARGE_BYTES;
        }
        Ok::<_, io::Error>(writer)
    });
    let length = ANSWER + if transfer.writes { 0 } else { transfer.size as usize + transfer.tag() };
    let (mut answer, mut bytes) = (vec![0; length], 0.0);
    // A transfer counts as under way until its answer is here.
    while answered.recv().await.is_some() {
        reader.read_exact(&mut answer).await?;
        bytes += f64::from(transfer.size);
    }
    sender.await.map_err(io::Error::other)??;
    Ok(bytes)
}

fn sealed(transfer: Transfer) -> io::Result<Vec<u8>> {
    if !transfer.writes {
        return Ok(Vec::new());
    }
    let mut content = vec![0xa5; transfer.size as usize];
    let tag = protect(&key()?, transfer.protection, &mut content)?;
    content.extend(tag.into_iter().flatten());
    Ok(content)
}

/// The server: never returns unless it cannot listen.
pub(crate) fn serve(tree: &Path) -> ExitCode {
    let serve = || -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mut output = io::stdout();
        writeln!(output, "{}", listener.local_addr()?)?;
        output.flush()?;
        for stream in listener.incoming() {
            let (stream, tree) = (stream?, tree.to_path_buf());
            std::thread::spawn(move || connection(&stream, &tree));
        }
        Ok(())
    };
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("no server of the physical limit: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves a connection until the client closes it.
fn connection(mut stream: &TcpStream, tree: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let key = key()?;
    let mut request = [0; REQUEST];
    let mut opened: Option<(PathBuf, File)> = None;
    let mut buffer = vec![0; LENGTH_MAX + TAG];
    loop {
        stream.read_exact(&mut request)?;
        let [writes, protection, high, low, size @ .., _, _, _, _, _, _, _, _] = request;
        let [.., o0, o1, o2, o3, o4, o5, o6, o7] = request;
        let (size, offset) =
            (u32::from_be_bytes(size) as usize, u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]));
        let number = usize::from(u16::from_be_bytes([high, low]));
        let writes = writes != 0;
        let protection = [Protection::Plain, Protection::Signed, Protection::Sealed]
            .get(usize::from(protection))
            .copied()
            .ok_or_else(|| io::Error::other("no such protection"))?;
        let tag = if protection == Protection::Plain { 0 } else { TAG };
        let content = buffer.get_mut(..size + tag).ok_or_else(|| io::Error::other("too long"))?;
        let path = tree.join(if writes { data::write_name(number) } else { data::read_name(number) });
        if opened.as_ref().is_none_or(|(of, _)| *of != path) {
            let file = fs::OpenOptions::new().read(true).write(writes).open(&path)?;
            opened = Some((path, file));
        }
        let Some((_, file)) = &opened else { continue };
        if writes {
            stream.read_exact(content)?;
            verify(&key, protection, content)?;
            file.write_all_at(content.get(..size).unwrap_or_default(), offset)?;
            stream.write_all(&[0; ANSWER])?;
        } else if protection == Protection::Plain {
            stream.write_all(&[0; ANSWER])?;
            send_file(stream, file, offset, size)?;
        } else {
            let (bytes, tail) = content.split_at_mut(size);
            file.read_exact_at(bytes, offset)?;
            if let Some(tag) = protect(&key, protection, bytes)? {
                tail.copy_from_slice(&tag);
            }
            stream.write_all(&[0; ANSWER])?;
            stream.write_all(content)?;
        }
    }
}

fn send_file(stream: &TcpStream, file: &File, mut offset: u64, size: usize) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        match rustix::fs::sendfile(stream, file, Some(&mut offset), left)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            sent => left -= sent.min(left),
        }
    }
    Ok(())
}

fn key() -> io::Result<LessSafeKey> {
    UnboundKey::new(&AES_128_GCM, &[7; 16]).map(LessSafeKey::new).map_err(io::Error::other)
}

/// Every message has the same nonce: nothing here is secret.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([1; 12])
}

/// Signs or encrypts the bytes and returns the tag.
fn protect(key: &LessSafeKey, protection: Protection, bytes: &mut [u8]) -> io::Result<Option<[u8; TAG]>> {
    let tag = match protection {
        Protection::Plain => return Ok(None),
        Protection::Signed => key.seal_in_place_separate_tag(nonce(), Aad::from(&*bytes), &mut []),
        Protection::Sealed => key.seal_in_place_separate_tag(nonce(), Aad::empty(), bytes),
    };
    let tag = tag.map_err(io::Error::other)?;
    Ok(Some(tag.as_ref().try_into().map_err(io::Error::other)?))
}

/// Verifies or decrypts the bytes, whose tag is behind them.
fn verify(key: &LessSafeKey, protection: Protection, content: &mut [u8]) -> io::Result<()> {
    match protection {
        Protection::Plain => return Ok(()),
        Protection::Signed => {
            let (bytes, tag) = content.split_at_mut(content.len().saturating_sub(TAG));
            key.open_in_place(nonce(), Aad::from(&*bytes), tag).map(|_| ())
        }
        Protection::Sealed => key.open_in_place(nonce(), Aad::empty(), content).map(|_| ()),
    }
    .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_refused() {
        let key = key().unwrap();
        for protection in [Protection::Signed, Protection::Sealed] {
            let transfer = Transfer { writes: true, protection, size: 64, depth: 1 };
            let content = sealed(transfer).unwrap();
            verify(&key, protection, &mut content.clone()).unwrap();
            let mut changed = content;
            changed[5] ^= 1;
            verify(&key, protection, &mut changed).unwrap_err();
        }
    }
}

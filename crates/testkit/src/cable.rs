//! A network cable that a test can pull.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

/// Passes connections on to a server until it is cut; then its connections are gone, and new ones are as good as the
/// first.
#[derive(Debug)]
pub struct Cable {
    port: u16,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    /// Forwards a port of 127.0.0.1 to a server while this process runs.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::<Mutex<Vec<TcpStream>>>::default();
        let known = Arc::clone(&connections);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is away is one more thing that a client must bear.
                let Ok(there) = TcpStream::connect(server) else { continue };
                let ends = [&client, &there].map(|end| end.try_clone().expect("a descriptor"));
                known.lock().extend(ends);
                let (back_from, back_to) =
                    (there.try_clone().expect("a descriptor"), client.try_clone().expect("a descriptor"));
                thread::spawn(move || pass_on(client, there));
                thread::spawn(move || pass_on(back_from, back_to));
            }
        });
        Self { port, connections }
    }

    /// The port of 127.0.0.1 that leads to the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections and returns their number.
    pub fn cut(&self) -> usize {
        let mut connections = self.connections.lock();
        let alive = connections.iter().filter(|end| end.peer_addr().is_ok()).count() / 2;
        for end in connections.drain(..) {
            end.shutdown(Shutdown::Both).ok();
        }
        alive
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) if to.write_all(&buffer[..length]).is_ok() => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    for end in [from, to] {
        end.shutdown(Shutdown::Both).ok();
    }
}

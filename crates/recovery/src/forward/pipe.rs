//! Two connections made one, bounded in number, ended together.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::thread;

/// Bytes moved at once.
const PIECE: usize = 32 * 1024;
/// How long the end waits for the threads.
const END_WITHIN: Duration = Duration::from_secs(2);

/// All connections of one forwarder.
pub struct Pipes {
    state: Mutex<State>,
    changed: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    stopped: bool,
    taken: usize,
    next: u64,
    open: HashMap<u64, [TcpStream; 2]>,
}

impl Pipes {
    pub fn new(most: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            most,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection, as soon as there is one; `None` at the end.
    pub fn place(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.state();
        while !state.stopped && state.taken >= self.most {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return None;
        }
        state.taken += 1;
        state.next += 1;
        Some(Place {
            pipes: Arc::clone(self),
            number: state.next,
        })
    }

    /// Ends every connection, and lets no other begin.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for stream in state.open.values().flatten() {
            // What is closed already needs no closing.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Waits until every place is free, within reason: a thread may be in the middle of connecting.
    pub fn wait(&self) {
        let end = Instant::now() + END_WITHIN;
        let mut state = self.state();
        while state.taken > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The right to one connection.
pub struct Place {
    pipes: Arc<Pipes>,
    number: u64,
}

impl Place {
    /// Moves bytes both ways until both ends have said all, or one of them is gone.
    pub fn pipe(self, client: TcpStream, copy: TcpStream) {
        // An answer is not to wait for the next one.
        let _ = client.set_nodelay(true);
        let _ = copy.set_nodelay(true);
        let clones = || Ok::<_, std::io::Error>([client.try_clone()?, copy.try_clone()?]);
        let (Ok(held), Ok([back_to, back_from])) = (clones(), clones()) else {
            return;
        };
        {
            let mut state = self.pipes.state();
            if state.stopped {
                return;
            }
            state.open.insert(self.number, held);
        }
        let back = thread("port-back".to_owned()).spawn(move || carry(&back_from, &back_to));
        match back {
            Ok(back) => {
                carry(&client, &copy);
                let _ = back.join();
            }
            // Without a thread for the answers there is no connection.
            Err(_) => drop(client.shutdown(Shutdown::Both)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pipes.state();
        state.open.remove(&self.number);
        state.taken -= 1;
        self.pipes.changed.notify_all();
    }
}

/// Carries bytes one way. An end is passed on as an end; a failure ends both ways.
fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if read == 0 {
            // The other way goes on.
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    fn piped(pipes: &Arc<Pipes>) -> (TcpStream, TcpStream, std::thread::JoinHandle<()>) {
        let (client, inner) = pair();
        let (outer, server) = pair();
        let place = pipes.place().unwrap();
        let thread = std::thread::spawn(move || place.pipe(inner, outer));
        (client, server, thread)
    }

    #[test]
    fn a_half_closed_connection_still_answers() {
        let pipes = Arc::new(Pipes::new(1));
        let (mut client, mut server, thread) = piped(&pipes);
        client.write_all(&vec![7; 1 << 20]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut asked = Vec::new();
        server.read_to_end(&mut asked).unwrap();
        assert_eq!(asked.len(), 1 << 20);
        server.write_all(b"and the answer").unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "and the answer");
        thread.join().unwrap();
        assert_eq!(pipes.state().taken, 0);
    }

    #[test]
    fn the_next_waits_for_a_place_and_the_end_ends_all() {
        let pipes = Arc::new(Pipes::new(1));
        let (mut client, server, thread) = piped(&pipes);
        let waiting = Arc::clone(&pipes);
        let next = std::thread::spawn(move || waiting.place().is_some());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!next.is_finished(), "there is one place");
        pipes.stop();
        assert!(!next.join().unwrap());
        let mut rest = Vec::new();
        // Closed or reset: it is over.
        let _ = client.read_to_end(&mut rest);
        pipes.wait();
        assert_eq!(pipes.state().taken, 0);
        thread.join().unwrap();
        drop(server);
        assert!(pipes.place().is_none());
    }
}

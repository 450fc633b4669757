//! UDP: each client has a socket of its own inside the copy's network, so that answers find their way
//! back. A way on which nobody has said anything for a while is given up.
//!
//! Bounded: [`Rules::most`] clients for each port. One more takes the place of the one that has been
//! silent the longest. Datagrams may get lost, as they may on any network: while a way is opened, only
//! the first few wait.

use std::{
    collections::HashMap,
    io::{ErrorKind, Result},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::thread;

/// Larger than any datagram.
const LARGEST: usize = 65_536;
/// Datagrams that wait for their way to be opened.
const WAITING: usize = 16;

/// How long, and how many.
#[derive(Clone, Copy)]
pub struct Rules {
    /// A way is given up after so long without a word.
    pub idle: Duration,
    /// Clients of one port at once.
    pub most: usize,
    /// How often a way is looked at, and so how soon it ends.
    pub look_every: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            most: 128,
            look_every: Duration::from_millis(500),
        }
    }
}

/// Opens sockets that lead to a port of the copy, one for each address that it may answer at. Moves the
/// calling thread into the copy's network.
pub trait Way: Send + Sync + 'static {
    /// Opens them, connected.
    fn open(&self) -> crate::Result<Vec<UdpSocket>>;
}

type Table = Arc<Mutex<HashMap<SocketAddr, Arc<Client>>>>;

/// Who sends to one port from one address.
struct Client {
    state: Mutex<State>,
    closed: AtomicBool,
}

struct State {
    way: Option<Arc<UdpSocket>>,
    /// What nobody has answered yet: the way is not open, or it may be the wrong one.
    unanswered: Option<Vec<Vec<u8>>>,
    last: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                way: None,
                unanswered: Some(Vec::new()),
                last: Instant::now(),
            }),
            closed: AtomicBool::new(false),
        }
    }

    fn last(&self) -> Instant {
        lock(&self.state).last
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// To the copy, once the way is open.
    fn send(&self, datagram: &[u8]) {
        let mut state = lock(&self.state);
        state.last = Instant::now();
        if let Some(unanswered) = &mut state.unanswered
            && unanswered.len() < WAITING
        {
            unanswered.push(datagram.to_owned());
        }
        if let Some(way) = &state.way {
            send(way, datagram);
        }
    }

    /// From now on they go this way; what nobody has answered goes first.
    fn go(&self, way: &Arc<UdpSocket>) {
        let mut state = lock(&self.state);
        for datagram in state.unanswered.iter().flatten() {
            send(way, datagram);
        }
        state.way = Some(Arc::clone(way));
    }

    /// It is the right way: nothing is sent again.
    fn answered(&self) {
        let mut state = lock(&self.state);
        state.last = Instant::now();
        state.unanswered = None;
    }
}

/// An error that came back for an earlier datagram is said to the next call, which has sent nothing then.
fn send(way: &UdpSocket, datagram: &[u8]) {
    if way.send(datagram).is_err() {
        let _ = way.send(datagram);
    }
}

/// Forwards what comes to `socket` until `stop`; returns when every way has ended. After `stop` one
/// datagram has to come.
pub fn serve(socket: &Arc<UdpSocket>, way: &Arc<impl Way>, stop: &AtomicBool, rules: Rules) {
    let table = Table::default();
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut datagram = vec![0; LARGEST];
    loop {
        let received = socket.recv_from(&mut datagram);
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (length, from) = match received {
            Ok(received) => received,
            // What was sent back to a client that is gone.
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
            Err(_) => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        let known = lock(&table).get(&from).cloned();
        let client = match known {
            Some(client) => client,
            None => {
                threads.retain(|thread| !thread.is_finished());
                let client = Arc::new(Client::new());
                make_place(&table, rules.most);
                lock(&table).insert(from, Arc::clone(&client));
                match begin(socket, way, &table, from, &client, rules) {
                    Ok(thread) => threads.push(thread),
                    // Without a thread for the answers there is no way.
                    Err(_) => drop(lock(&table).remove(&from)),
                }
                client
            }
        };
        client.send(&datagram[..length]);
    }
    for client in lock(&table).values() {
        client.close();
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// The one that has been silent the longest goes.
fn make_place(table: &Table, most: usize) {
    let mut table = lock(table);
    while table.len() >= most.max(1) {
        let silent = table.iter().min_by_key(|(_, client)| client.last());
        let Some(address) = silent.map(|(address, _)| *address) else {
            return;
        };
        if let Some(client) = table.remove(&address) {
            client.close();
        }
    }
}

fn begin(
    socket: &Arc<UdpSocket>,
    way: &Arc<impl Way>,
    table: &Table,
    from: SocketAddr,
    client: &Arc<Client>,
    rules: Rules,
) -> Result<JoinHandle<()>> {
    let (socket, way) = (Arc::clone(socket), Arc::clone(way));
    let (table, client) = (Arc::clone(table), Arc::clone(client));
    thread("port-datagrams".to_owned()).spawn(move || {
        if let Err(e) = carry_back(&socket, &*way, from, &client, rules) {
            tracing::debug!(%e, "no way into the copy");
        }
        let mut table = lock(&table);
        if table
            .get(&from)
            .is_some_and(|now| Arc::ptr_eq(now, &client))
        {
            table.remove(&from);
        }
    })
}

/// Opens the way and carries answers back, until nobody has said anything for a while, or nobody
/// listens there (any more): the next datagram opens it anew.
fn carry_back(
    socket: &UdpSocket,
    way: &impl Way,
    from: SocketAddr,
    client: &Client,
    rules: Rules,
) -> crate::Result<()> {
    let mut ways = way.open()?.into_iter();
    let mut answer = vec![0; LARGEST];
    while let Some(way) = ways.next() {
        way.set_read_timeout(Some(rules.look_every))?;
        let way = Arc::new(way);
        client.go(&way);
        loop {
            if client.closed.load(Ordering::SeqCst) || client.last().elapsed() > rules.idle {
                return Ok(());
            }
            match way.recv(&mut answer) {
                Ok(length) => {
                    client.answered();
                    ways = Vec::new().into_iter();
                    // A client that is gone needs no answer.
                    let _ = socket.send_to(&answer[..length], from);
                }
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => break,
                },
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Leads to these ports of the loopback, one after another.
    struct To {
        ports: Vec<u16>,
        opened: AtomicUsize,
    }

    impl Way for To {
        fn open(&self) -> crate::Result<Vec<UdpSocket>> {
            self.opened.fetch_add(1, Ordering::SeqCst);
            let open = |port: &u16| -> Result<UdpSocket> {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.connect(("127.0.0.1", *port))?;
                Ok(socket)
            };
            Ok(self.ports.iter().map(open).collect::<Result<_>>()?)
        }
    }

    fn own() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let long = Duration::from_secs(60);
        socket.set_read_timeout(Some(long)).unwrap();
        socket
    }

    /// Says everything back, with the port that it came from; ends when told.
    fn echo() -> (u16, JoinHandle<()>) {
        let socket = own();
        let port = socket.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut datagram = vec![0; LARGEST];
            loop {
                let (length, from) = socket.recv_from(&mut datagram).unwrap();
                if &datagram[..length] == b"end" {
                    return;
                }
                socket.send_to(&datagram[..length], from).unwrap();
            }
        });
        (port, thread)
    }

    struct Served {
        way: Arc<To>,
        address: SocketAddr,
        stop: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Served {
        fn start(ports: &[u16], rules: Rules) -> Self {
            let socket = Arc::new(own());
            socket.set_read_timeout(None).unwrap();
            let address = socket.local_addr().unwrap();
            let way = Arc::new(To {
                ports: ports.to_vec(),
                opened: AtomicUsize::new(0),
            });
            let stop = Arc::new(AtomicBool::new(false));
            let (leads, told) = (Arc::clone(&way), Arc::clone(&stop));
            let thread = std::thread::spawn(move || serve(&socket, &leads, &told, rules));
            Self {
                way,
                address,
                stop,
                thread: Some(thread),
            }
        }

        fn opened(&self) -> usize {
            self.way.opened.load(Ordering::SeqCst)
        }

        fn end(mut self) {
            self.stop.store(true, Ordering::SeqCst);
            own().send_to(b"", self.address).unwrap();
            self.thread.take().unwrap().join().unwrap();
        }
    }

    fn ask(client: &UdpSocket, served: &Served, word: &[u8]) -> Vec<u8> {
        client.send_to(word, served.address).unwrap();
        let mut answer = vec![0; LARGEST];
        let (length, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!(from, served.address, "answers come from where it was asked");
        answer.truncate(length);
        answer
    }

    #[test]
    fn each_client_gets_its_own_answers_whole() {
        let (port, echo) = echo();
        let served = Served::start(&[port], Rules::default());
        let (one, two) = (own(), own());
        let large = vec![7; 60_000];
        assert_eq!(ask(&one, &served, b"one"), b"one");
        assert_eq!(ask(&two, &served, &large), large);
        assert_eq!(ask(&one, &served, b""), b"", "an empty one is one too");
        assert_eq!(served.opened(), 2);
        served.end();
        own().send_to(b"end", ("127.0.0.1", port)).unwrap();
        echo.join().unwrap();
    }

    #[test]
    fn where_nobody_listens_the_next_address_is_tried() {
        let (port, echo) = echo();
        let nobody = own().local_addr().unwrap().port();
        let served = Served::start(&[nobody, port], Rules::default());
        let client = own();
        assert_eq!(ask(&client, &served, b"which"), b"which");
        assert_eq!(ask(&client, &served, b"again"), b"again");
        assert_eq!(served.opened(), 1);
        served.end();
        own().send_to(b"end", ("127.0.0.1", port)).unwrap();
        echo.join().unwrap();
    }

    #[test]
    fn the_silent_and_the_surplus_give_way() {
        let (port, echo) = echo();
        let rules = Rules {
            most: 2,
            ..Rules::default()
        };
        let served = Served::start(&[port], rules);
        let clients = [own(), own(), own()];
        for client in &clients {
            assert_eq!(ask(client, &served, b"a"), b"a");
        }
        // The first was silent the longest, and is let in again; the third is still there.
        assert_eq!(ask(&clients[2], &served, b"b"), b"b");
        assert_eq!(served.opened(), 3);
        assert_eq!(ask(&clients[0], &served, b"b"), b"b");
        assert_eq!(served.opened(), 4);
        served.end();

        let rules = Rules {
            idle: Duration::ZERO,
            look_every: Duration::from_millis(10),
            ..Rules::default()
        };
        let served = Served::start(&[port], rules);
        let end = Instant::now() + Duration::from_secs(120);
        while served.opened() < 2 {
            assert!(Instant::now() < end, "a silent way is never given up");
            clients[0].send_to(b"c", served.address).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        served.end();
        own().send_to(b"end", ("127.0.0.1", port)).unwrap();
        echo.join().unwrap();
    }
}

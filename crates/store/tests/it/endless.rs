//! Servers that send more than any program has written: refused with a sentence, and with bounded memory.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lifeboat_store::{
    Access, Area, ObjectName, RetryPolicy, SecretString, Store, StoreError, open,
};

/// How an answer says how long it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    /// The truth, which is 20 GB.
    Length,
    /// Nothing: it goes on for as long as somebody listens.
    Nothing,
}

/// Answers everything with bytes without end. Counts what it got rid of.
struct Endless {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl Endless {
    fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || answer(&stream, says, &counter));
            }
        });
        Self { port, sent }
    }
}

fn answer(mut stream: &TcpStream, says: Says, sent: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let length = match says {
        Says::Length => "content-length: 20000000000\r\n",
        Says::Nothing => "",
    };
    // What object stores say of each object.
    let more =
        "etag: \"x\"\r\nlast-modified: Mon, 23 Nov 2026 04:14:49 GMT\r\nx-goog-generation: 1";
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}{more}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let noise = vec![b'x'; 1 << 20];
    // Bounded all the same, for the day on which somebody does read it.
    for _ in 0..2000 {
        stream.write_all(&noise).ok()?;
        sent.fetch_add(noise.len() as u64, Ordering::SeqCst);
    }
    Some(())
}

/// The same server as each kind of store.
fn stores(port: u16) -> Vec<Arc<dyn Store>> {
    let mut access = Access {
        retry: RetryPolicy::within(std::time::Duration::from_secs(1)),
        ..Access::default()
    };
    let at = format!("http://127.0.0.1:{port}");
    access.s3.key_id = Some("id".to_owned());
    access.s3.secret = Some(SecretString::from("secret"));
    access.gcs.emulator = Some(at.clone());
    access.gcs.token = Some(SecretString::from("token"));
    access.azure.emulator = Some(at.clone());
    access.azure.account = Some("devstoreaccount1".to_owned());
    access.azure.key = Some(SecretString::from("aHVudGVyMg=="));
    let places = [
        format!("rest:{at}/v/"),
        format!("s3:{at}/b/v"),
        "gs:b:/v".to_owned(),
        "azure:c:/v".to_owned(),
    ];
    places.map(|place| open(&place, &access).unwrap()).into()
}

fn id(area: Area) -> ObjectName {
    match area {
        Area::Config => ObjectName::config(),
        area => ObjectName::new(area, &"ab".repeat(32)).unwrap(),
    }
}

/// The most memory that this process had at once, in MiB.
fn most_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() >> 10
}

#[test]
fn what_is_larger_than_any_program_writes_is_not_read() {
    let before = most_memory();
    for says in [Says::Length, Says::Nothing] {
        let server = Endless::start(says);
        for store in stores(server.port) {
            for area in [
                Area::Config,
                Area::Keys,
                Area::Locks,
                Area::Snapshots,
                Area::Index,
            ] {
                server.sent.store(0, Ordering::SeqCst);
                let place = store.location();
                let error = store.get(&id(area)).unwrap_err();
                let said = error.to_string();
                assert!(
                    matches!(error, StoreError::TooLarge { .. }),
                    "{place}: {error:?}"
                );
                for words in [
                    id(area).to_string(),
                    place,
                    "more than any program".to_owned(),
                ] {
                    assert!(said.contains(&words), "{said}");
                }
                // Somewhat more than that lies in the sockets' buffers.
                let sent = server.sent.load(Ordering::SeqCst);
                let bound = match says {
                    Says::Length => 0,
                    Says::Nothing => area.largest(),
                };
                assert!(
                    sent <= bound + (32 << 20),
                    "{area:?} {says:?}: {sent} bytes"
                );
            }
        }
    }
    let grown = most_memory() - before;
    assert!(grown < 500, "{grown} MiB");
}

/// A range is what it is, also where the server sends all it has; and a list does not go on for ever.
#[test]
fn of_a_range_no_more_is_read_than_it_has() {
    for says in [Says::Length, Says::Nothing] {
        let server = Endless::start(says);
        for store in stores(server.port) {
            server.sent.store(0, Ordering::SeqCst);
            // Object stores have to say which range it is; REST servers need not know ranges at all.
            let read = store.get_range(&id(Area::Data), 1000, 5000);
            match store.location().starts_with("rest:") {
                true => assert_eq!(read.unwrap(), [b'x'; 5000]),
                false => assert!(read.is_err()),
            }
            let sent = server.sent.load(Ordering::SeqCst);
            assert!(sent <= 32 << 20, "{}: {sent} bytes", store.location());
            let listed = store.list(Area::Locks);
            assert!(listed.is_err(), "{}", store.location());
        }
    }
}

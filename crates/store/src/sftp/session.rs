//! One `ssh` that speaks SFTP, shared by all threads: requests go out under a lock, a thread hands each
//! answer to whoever asked.
//!
//! The ssh runs in a process group of its own, so that ^C does not take the way to the vault from work that is
//! being put in order; so it cannot ask for anything either (`BatchMode`). When it ends, everybody who
//! waits is told, and the next request starts another.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::wire::{self, Body, Fields};

/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// No packet is longer than OpenSSH's longest, by far.
const LONGEST: u32 = 1 << 20;
/// Of what ssh says on its standard error.
const SAID: usize = 2000;

/// An answer: its kind, and what stands behind the number of the request.
#[derive(Debug)]
pub(super) struct Reply {
    pub kind: u8,
    pub body: Vec<u8>,
}

/// The connection is gone; what ssh said about it.
#[derive(Debug, Clone)]
pub(super) struct Lost(pub String);

type Waiting = Mutex<Option<HashMap<u32, Sender<Reply>>>>;

pub(super) struct Session {
    child: Mutex<Child>,
    stdin: Mutex<ChildStdin>,
    next: AtomicU32,
    /// `None` once the connection is gone.
    waiting: Arc<Waiting>,
    said: Arc<Mutex<Vec<u8>>>,
    extensions: Vec<String>,
}

impl Session {
    pub fn open(mut command: Command) -> Result<Self, Lost> {
        let failed = |e: io::Error| Lost(format!("ssh cannot be started: {e}"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Lost("ssh has no pipes".to_owned()));
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let listening = listen(stderr, Arc::clone(&said));
        let mut stdout = BufReader::with_capacity(64 << 10, stdout);
        let greeting = packet(wire::INIT, None, Body::default().u32(3));
        let version = stdin.write_all(&greeting).and_then(|()| read(&mut stdout));
        let version = match version {
            Ok((wire::VERSION, body)) => body,
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                // Its last words are on their way.
                let _ = listening.join();
                return Err(Lost(last_words(&said.lock())));
            }
        };
        let mut fields = Fields(&version);
        let _ = fields.u32();
        let mut extensions = Vec::new();
        while let (Some(name), Some(_)) = (fields.bytes(), fields.bytes()) {
            extensions.push(String::from_utf8_lossy(name).into_owned());
        }
        let waiting: Arc<Waiting> = Arc::new(Mutex::new(Some(HashMap::new())));
        let theirs = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("store-sftp".to_owned())
            .spawn(move || hand_out(stdout, &theirs))
            .map_err(failed)?;
        Ok(Self {
            child: Mutex::new(child),
            stdin: Mutex::new(stdin),
            next: AtomicU32::new(0),
            waiting,
            said,
            extensions,
        })
    }

    /// Whether the server has this extension of OpenSSH's.
    pub fn knows(&self, extension: &str) -> bool {
        self.extensions.iter().any(|known| known == extension)
    }

    /// Whether it can still be asked.
    pub fn is_alive(&self) -> bool {
        self.waiting.lock().is_some()
    }

    /// Sends a request; the answer comes through the channel.
    pub fn send(&self, kind: u8, body: Body) -> Result<Receiver<Reply>, Lost> {
        let (give, get) = bounded(1);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        let Some(asked) = waiting.as_mut() else {
            drop(waiting);
            return Err(self.lost());
        };
        asked.insert(id, give);
        drop(waiting);
        let packet = packet(kind, Some(id), body);
        let sent = self.stdin.lock().write_all(&packet);
        sent.map_err(|_| self.lost())?;
        Ok(get)
    }

    /// Waits for an answer.
    pub fn wait(&self, answer: &Receiver<Reply>) -> Result<Reply, Lost> {
        answer.recv_timeout(PATIENCE).map_err(|e| match e {
            crossbeam_channel::RecvTimeoutError::Timeout => {
                self.end();
                Lost(format!("nothing came for {} seconds", PATIENCE.as_secs()))
            }
            crossbeam_channel::RecvTimeoutError::Disconnected => self.lost(),
        })
    }

    /// Asks and waits.
    pub fn ask(&self, kind: u8, body: Body) -> Result<Reply, Lost> {
        let answer = self.send(kind, body)?;
        self.wait(&answer)
    }

    fn lost(&self) -> Lost {
        self.end();
        Lost(last_words(&self.said.lock()))
    }

    fn end(&self) {
        *self.waiting.lock() = None;
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

fn packet(kind: u8, id: Option<u32>, body: Body) -> Vec<u8> {
    let length = 1 + id.map_or(0, |_| 4) + body.0.len();
    let mut packet = Vec::with_capacity(4 + length);
    packet.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    packet.push(kind);
    packet.extend(id.into_iter().flat_map(u32::to_be_bytes));
    packet.extend(body.0);
    packet
}

/// One packet: its kind, and the rest.
fn read(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if !(1..=LONGEST).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length as usize - 1];
    from.read_exact(&mut body)?;
    Ok((head[4], body))
}

/// The life of the thread that reads, until the connection ends.
fn hand_out(mut from: BufReader<ChildStdout>, waiting: &Waiting) {
    while let Ok((kind, mut body)) = read(&mut from) {
        let Some(id) = Fields(&body).u32() else { break };
        body.drain(..4);
        let asked = match waiting.lock().as_mut() {
            Some(waiting) => waiting.remove(&id),
            None => return,
        };
        if let Some(asked) = asked {
            // Who does not wait any more does not need it.
            let _ = asked.try_send(Reply { kind, body });
        }
    }
    *waiting.lock() = None;
}

fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = [0; 512];
        while let Ok(count @ 1..) = stderr.read(&mut piece) {
            let mut said = said.lock();
            said.extend_from_slice(&piece[..count]);
            let surplus = said.len().saturating_sub(SAID);
            said.drain(..surplus);
        }
    })
}

/// The last line that says something.
fn last_words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with("Connection closed"));
    match line {
        Some(line) => line.chars().take(300).collect(),
        None => "the connection ended".to_owned(),
    }
}

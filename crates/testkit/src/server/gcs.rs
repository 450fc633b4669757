//! A stand-in for Google Cloud Storage, **not the store itself and not anybody's emulator**: as much of its XML interface as
//! a vault needs, by Google's documents, in this process, in memory.
//!
//! It is here because no emulator has that interface: fake-gcs-server (1.52, 1.56) takes a `PUT` of an object only with the
//! query of a signed URL, answers every other with 400 (`invalid uploadType`), and does not look at
//! `x-goog-if-generation-match`; `gcp-storage-emulator` lists with 501 and deletes nothing. So what is tested with it is
//! what we ask and how we take the answers, not Google.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::Result;

/// Objects in one answer to a list.
const PAGE: usize = 50;

/// The one bucket.
#[derive(Debug)]
pub struct GcsStandIn {
    port: u16,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Vec<u8>,
    generation: u64,
    at: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    /// Unfinished uploads: name and parts.
    uploads: BTreeMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    generation: u64,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl GcsStandIn {
    /// The bucket that is there.
    pub const BUCKET: &str = "vaults";
    /// Who has this may do everything.
    pub const TOKEN: &str = "stand-in-token";

    /// Begins to serve. It lives as long as the test's process.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let bucket = Arc::new(Mutex::new(Bucket::default()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bucket = Arc::clone(&bucket);
                std::thread::spawn(move || serve(&stream, &bucket));
            }
        });
        Ok(Self { port })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn serve(stream: &TcpStream, bucket: &Mutex<Bucket>) -> Option<()> {
    // Head and body are two writes, and the second shall not wait until the first is acknowledged.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = read(&mut reader)?;
        let answer = {
            let mut bucket: MutexGuard<'_, Bucket> =
                bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.answer(&request)
        };
        let length = match answer.headers.iter().find(|(name, _)| *name == "length") {
            Some((_, length)) => length.clone(),
            None => answer.body.len().to_string(),
        };
        let mut head = format!(
            "HTTP/1.1 {} -\r\ncontent-length: {length}\r\n",
            answer.status
        );
        let _ = write!(head, "date: {}\r\n", http_date(now()));
        for (name, value) in answer.headers.iter().filter(|(name, _)| *name != "length") {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut out = stream;
        out.write_all(head.as_bytes()).ok()?;
        if request.method != "HEAD" {
            out.write_all(&answer.body).ok()?;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), plain(value))
    });
    let (path, query) = (plain(path), query.collect());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        query,
        headers,
        body,
    })
}

impl Bucket {
    fn answer(&mut self, request: &Request) -> Answer {
        let bearer = format!("Bearer {}", GcsStandIn::TOKEN);
        if request.headers.get("authorization") != Some(&bearer) {
            return refusal(401, "AuthenticationRequired");
        }
        let path = request.path.trim_start_matches('/');
        let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
        if bucket != GcsStandIn::BUCKET {
            return refusal(404, "NoSuchBucket");
        }
        let upload = request.query.get("uploadId");
        match (&*request.method, name, upload) {
            ("GET", "", _) => self.list(request),
            ("GET" | "HEAD", ..) => self.get(request, name),
            ("PUT", _, Some(upload)) => self.part(request, upload),
            ("PUT", ..) => match request.headers.get("x-goog-if-generation-match") {
                Some(zero) if zero == "0" && self.objects.contains_key(name) => {
                    refusal(412, "PreconditionFailed")
                }
                _ => self.keep(name, request.body.clone()),
            },
            ("POST", _, Some(upload)) => self.complete(request, upload),
            ("POST", _, None) if request.query.contains_key("uploads") => {
                self.generation += 1;
                let id = format!("upload-{}", self.generation);
                self.uploads
                    .insert(id.clone(), (name.to_owned(), BTreeMap::new()));
                xml(format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            ("DELETE", _, Some(upload)) => match self.uploads.remove(upload) {
                Some(_) => empty(204),
                None => refusal(404, "NoSuchUpload"),
            },
            ("DELETE", ..) => match self.objects.remove(name) {
                Some(_) => empty(204),
                None => refusal(404, "NoSuchKey"),
            },
            _ => refusal(405, "MethodNotAllowed"),
        }
    }

    fn keep(&mut self, name: &str, bytes: Vec<u8>) -> Answer {
        self.generation += 1;
        let object = Object {
            bytes,
            generation: self.generation,
            at: now(),
        };
        let answer = Answer {
            status: 200,
            headers: facts(&object),
            body: Vec::new(),
        };
        self.objects.insert(name.to_owned(), object);
        answer
    }

    fn get(&self, request: &Request, name: &str) -> Answer {
        let Some(object) = self.objects.get(name) else {
            return refusal(404, "NoSuchKey");
        };
        let mut headers = facts(object);
        headers.push(("content-type", "application/octet-stream".to_owned()));
        let whole = object.bytes.len();
        let range = request.headers.get("range");
        let Some((from, to)) = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-')) else {
            headers.push(("length", whole.to_string()));
            return Answer {
                status: 200,
                headers,
                body: object.bytes.clone(),
            };
        };
        let from: usize = from.parse().unwrap_or(whole);
        let end = to.parse().map_or(whole, |to: usize| whole.min(to + 1));
        match object.bytes.get(from..end) {
            Some(part) if !part.is_empty() => {
                let last = end - 1;
                headers.push(("content-range", format!("bytes {from}-{last}/{whole}")));
                Answer {
                    status: 206,
                    headers,
                    body: part.to_vec(),
                }
            }
            _ => refusal(416, "InvalidRange"),
        }
    }

    fn list(&self, request: &Request) -> Answer {
        let said = |name: &str| request.query.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (said("prefix"), said("delimiter"));
        let after = said("continuation-token").max(said("start-after"));
        let (mut body, mut count, mut last, mut next) = (String::new(), 0, "", "");
        let mut folders: Vec<&str> = Vec::new();
        let all = self.objects.iter();
        for (name, object) in all.filter(|(n, _)| n.starts_with(prefix) && n.as_str() > after) {
            if count == PAGE {
                next = last;
                break;
            }
            (count, last) = (count + 1, name);
            let rest = &name[prefix.len()..];
            let cut = (!delimiter.is_empty())
                .then(|| rest.find(delimiter))
                .flatten();
            if let Some(at) = cut {
                let folder = &name[..prefix.len() + at + delimiter.len()];
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
                continue;
            }
            let _ = write!(
                body,
                "<Contents><Key>{name}</Key><Size>{}</Size><LastModified>{}</LastModified><ETag>\"{}\"</ETag></Contents>",
                object.bytes.len(),
                rfc3339(object.at),
                object.generation
            );
        }
        for folder in folders {
            let _ = write!(
                body,
                "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
            );
        }
        if !next.is_empty() {
            let _ = write!(
                body,
                "<NextContinuationToken>{next}</NextContinuationToken>"
            );
        }
        xml(format!("<ListBucketResult>{body}</ListBucketResult>"))
    }

    fn part(&mut self, request: &Request, upload: &str) -> Answer {
        let number = request.query.get("partNumber").and_then(|n| n.parse().ok());
        match (self.uploads.get_mut(upload), number) {
            (Some((_, parts)), Some(number)) => {
                parts.insert(number, request.body.clone());
                Answer {
                    status: 200,
                    headers: vec![("etag", format!("\"part-{number}\""))],
                    body: Vec::new(),
                }
            }
            _ => refusal(404, "NoSuchUpload"),
        }
    }

    /// All parts, in the order of their numbers.
    fn complete(&mut self, request: &Request, upload: &str) -> Answer {
        let Some((name, parts)) = self.uploads.remove(upload) else {
            return refusal(404, "NoSuchUpload");
        };
        if String::from_utf8_lossy(&request.body)
            .matches("<PartNumber>")
            .count()
            != parts.len()
        {
            return refusal(400, "InvalidPart");
        }
        let bytes = parts.into_values().collect::<Vec<_>>().concat();
        let mut answer = self.keep(&name, bytes);
        let tag = self.generation;
        answer.body = format!(
            "<CompleteMultipartUploadResult><ETag>\"{tag}\"</ETag></CompleteMultipartUploadResult>"
        )
        .into_bytes();
        answer
    }
}

fn facts(object: &Object) -> Vec<(&'static str, String)> {
    vec![
        ("etag", format!("\"{}\"", object.generation)),
        ("x-goog-generation", object.generation.to_string()),
        ("last-modified", http_date(object.at)),
    ]
}

fn empty(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

fn xml(body: String) -> Answer {
    Answer {
        status: 200,
        headers: vec![("content-type", "application/xml".to_owned())],
        body: body.into_bytes(),
    }
}

fn refusal(status: u16, code: &str) -> Answer {
    let body =
        format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    Answer {
        status,
        ..xml(body)
    }
}

/// Without the `%` of an address.
fn plain(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let hex = |b: u8| char::from(b).to_digit(16);
        match byte {
            b'%' => {
                let pair = (rest.next().and_then(hex), rest.next().and_then(hex));
                let value = pair.0.unwrap_or(0) * 16 + pair.1.unwrap_or(0);
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs())
}

/// Year, month and day.
fn day(secs: u64) -> (u64, u64, u64) {
    let z = secs / 86_400 + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

fn time(secs: u64) -> String {
    let of_day = secs % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

fn rfc3339(secs: u64) -> String {
    let (year, month, day) = day(secs);
    format!("{year}-{month:02}-{day:02}T{}Z", time(secs))
}

fn http_date(secs: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day) = day(secs);
    let weekday = DAYS[(secs / 86_400 % 7) as usize];
    let month = MONTHS[(month - 1) as usize];
    format!("{weekday}, {day:02} {month} {year} {} GMT", time(secs))
}

//! Blobs that are needed, out of packs that otherwise are not, into new packs.
//!
//! Some threads read and check (each blob is opened and its hash taken, then its sealed bytes go on as they are); this
//! one packs and puts. Memory: a window for each thread and in the queue, and two packs.
//!
//! What a crash leaves: packs that no index names, or blobs that are there twice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::Sender;
use lifeboat_store::{Area, StoreError};

use super::{Amount, plan::Kept, state::State};
use crate::{
    blob::BlobKind,
    error::{ErrorKind, Result, VaultError},
    id::PackId,
    index::{Index, IndexedPack, MAX_BLOBS_PER_FILE},
    opened::Core,
    pack::{PackBuilder, PackedBlob, Pages},
    progress::Progress,
    read::blobs,
    unpacked::object_name,
    write::indexing::write_index,
};

/// Bytes that are read at a time, or one blob.
const WINDOW: u64 = 16 << 20;
/// Unneeded bytes that are read to save a request.
const GAP: u64 = 256 << 10;

/// What came of it.
#[derive(Default)]
pub(super) struct Repacked {
    /// Packs of which all that is needed lies elsewhere now.
    pub(super) done: Vec<usize>,
    /// Packs that hold something needed that cannot be read: they stay.
    pub(super) damaged: Vec<(PackId, VaultError)>,
    /// New packs.
    pub(super) written: Amount,
}

/// How it is done.
pub(super) struct Work<'a> {
    pub(super) core: &'a Core,
    /// Whether our lock still holds.
    pub(super) confirm: &'a dyn Fn() -> Result<()>,
    pub(super) threads: usize,
    pub(super) pack_size: u64,
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a dyn Progress,
}

/// One pack to take apart.
struct Source {
    number: usize,
    pack: PackId,
    size: u64,
    /// What is needed of it, in the order in which it lies there.
    blobs: Vec<PackedBlob>,
}

/// From a reader to the packer.
enum Message {
    Blobs(Vec<(PackedBlob, Vec<u8>)>),
    Done(usize, u64),
    Damaged(PackId, VaultError),
    Failed(VaultError),
}

/// Takes these packs apart.
pub(super) fn repack(
    work: &Work<'_>,
    state: &State,
    kept: &Kept,
    packs: &[usize],
) -> Result<Repacked> {
    let sources = sources(state, kept, packs);
    let bytes = sources.iter().map(|s| s.size).sum();
    work.progress.expect(sources.len() as u64, bytes);
    let mut packer = Packer::new(work);
    let mut result = Repacked::default();
    if work.threads <= 1 {
        for source in &sources {
            let mut messages = Vec::new();
            read(work.core, source, &mut |message| {
                messages.push(message);
                true
            });
            for message in messages {
                packer.take(message, &mut result)?;
            }
        }
    } else {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = crossbeam_channel::bounded(work.threads);
        std::thread::scope(|scope| {
            for _ in 0..work.threads {
                let (core, sender, next, sources) = (work.core, sender.clone(), &next, &sources);
                scope.spawn(move || read_some(core, sources, next, &sender));
            }
            drop(sender);
            // Where this fails, the receiver goes, and with it the readers.
            for message in receiver {
                packer.take(message, &mut result)?;
            }
            Ok(())
        })?;
    }
    packer.finish(&mut result)?;
    Ok(result)
}

fn sources(state: &State, kept: &Kept, packs: &[usize]) -> Vec<Source> {
    let mut place = vec![usize::MAX; state.index.packs().len()];
    let mut sources = Vec::with_capacity(packs.len());
    for &number in packs {
        place[number] = sources.len();
        sources.push(Source {
            number,
            pack: state.index.packs()[number],
            size: state.size(number).unwrap_or(0),
            blobs: Vec::new(),
        });
    }
    for at in kept.entries.iter() {
        if let Some(source) = sources.get_mut(place[state.index.pack_number(at)]) {
            source.blobs.push(packed(&state.index, at));
        }
    }
    for source in &mut sources {
        source.blobs.sort_unstable_by_key(|blob| blob.offset);
    }
    sources
}

fn packed(index: &Index, at: usize) -> PackedBlob {
    let (kind, id, location) = index.at(at);
    PackedBlob {
        kind,
        id,
        offset: location.offset,
        length: location.length,
        plain_length: location.plain_length,
    }
}

fn read_some(core: &Core, sources: &[Source], next: &AtomicUsize, sender: &Sender<Message>) {
    while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
        if !read(core, source, &mut |m| sender.send(m).is_ok()) {
            return;
        }
    }
}

/// Reads what is needed of a pack. False once nobody wants more.
fn read(core: &Core, source: &Source, send: &mut dyn FnMut(Message) -> bool) -> bool {
    let mut rest = &source.blobs[..];
    while !rest.is_empty() {
        let (window, behind) = rest.split_at(window(rest));
        rest = behind;
        let message = match read_window(core, source.pack, window) {
            Ok(blobs) => Message::Blobs(blobs),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                return send(Message::Damaged(source.pack, error));
            }
            Err(error) => Message::Failed(error),
        };
        if !send(message) {
            return false;
        }
    }
    send(Message::Done(source.number, source.size))
}

/// How many blobs are read at once.
fn window(blobs: &[PackedBlob]) -> usize {
    let begin = blobs.first().map_or(0, |b| u64::from(b.offset));
    let mut end = begin;
    let fits = |blob: &&PackedBlob| {
        let (from, to) = span(blob);
        let fits = end == begin || (to - begin <= WINDOW && from.saturating_sub(end) <= GAP);
        end = to;
        fits
    };
    blobs.iter().take_while(fits).count().max(1)
}

fn span(blob: &PackedBlob) -> (u64, u64) {
    let from = u64::from(blob.offset);
    (from, from + u64::from(blob.length))
}

fn read_window(
    core: &Core,
    pack: PackId,
    blobs: &[PackedBlob],
) -> Result<Vec<(PackedBlob, Vec<u8>)>> {
    let damaged = |why: &str| VaultError::damaged(format!("pack {pack}"), why);
    let begin = blobs.first().map_or(0, |b| b.offset);
    let end = blobs.iter().map(|b| span(b).1).max().unwrap_or(0);
    let length = u32::try_from(end.saturating_sub(u64::from(begin)))
        .map_err(|_| damaged("the index names more than 4 GiB in it"))?;
    let bytes = core.pack_range(pack, begin, length)?;
    let mut read = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let from = (blob.offset - begin) as usize;
        let sealed = bytes.get(from..from + blob.length as usize);
        let sealed = sealed.unwrap_or_default().to_vec();
        blobs::open(
            &core.seal,
            blob.kind,
            blob.id,
            blob.plain_length,
            sealed.clone(),
        )
        .map_err(|why| damaged(&format!("blob {} in it: {why}", blob.id)))?;
        read.push((*blob, sealed));
    }
    Ok(read)
}

/// Fills new packs.
struct Packer<'w, 'a> {
    work: &'w Work<'a>,
    /// Data, tree.
    open: [Option<PackBuilder>; 2],
    unindexed: Vec<IndexedPack>,
    blobs: usize,
}

impl<'w, 'a> Packer<'w, 'a> {
    fn new(work: &'w Work<'a>) -> Self {
        Packer {
            work,
            open: [None, None],
            unindexed: Vec::new(),
            blobs: 0,
        }
    }

    fn take(&mut self, message: Message, result: &mut Repacked) -> Result<()> {
        if self.work.stop.load(Ordering::Relaxed) {
            return Err(VaultError::Interrupted("the prune".to_owned()));
        }
        match message {
            Message::Blobs(blobs) => {
                for (blob, sealed) in blobs {
                    self.add(&blob, &sealed, result)?;
                }
            }
            Message::Done(number, size) => {
                result.done.push(number);
                self.work.progress.advance(1, size);
            }
            Message::Damaged(pack, error) => result.damaged.push((pack, error)),
            Message::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn add(&mut self, blob: &PackedBlob, sealed: &[u8], result: &mut Repacked) -> Result<()> {
        let slot = usize::from(blob.kind == BlobKind::Tree);
        let full = |pack: &PackBuilder| {
            pack.len() as u64 + sealed.len() as u64 > self.work.pack_size
                || !pack.fits(sealed.len())
        };
        if self.open[slot].as_ref().is_some_and(full) {
            self.put(slot, result)?;
        }
        let pack = self.open[slot].get_or_insert_with(|| PackBuilder::new(Pages::default()));
        pack.add(blob.kind, blob.id, blob.plain_length, sealed)?;
        Ok(())
    }

    fn put(&mut self, slot: usize, result: &mut Repacked) -> Result<()> {
        let Some(pack) = self.open[slot].take() else {
            return Ok(());
        };
        let core = self.work.core;
        let pack = pack.finish(&core.seal, &*core.env.random)?;
        let name = object_name(Area::Data, &pack.id.0)?;
        match core.store.put(&name, &pack.bytes) {
            // The header's random IV is in the name: only this very put, tried again, can have stored it.
            Ok(()) | Err(StoreError::AlreadyExists(_)) => {}
            Err(e) => return Err(VaultError::store(format!("write pack {}", pack.id.short()))(e)),
        }
        result.written.packs += 1;
        result.written.bytes += pack.bytes.len() as u64;
        self.blobs += pack.blobs.len();
        self.unindexed.push(IndexedPack {
            time: Some(core.env.clock.now().to_rfc3339()),
            size: Some(pack.bytes.len() as u64),
            ..IndexedPack::new(pack.id, pack.blobs)
        });
        if self.blobs >= MAX_BLOBS_PER_FILE {
            self.index()?;
        }
        Ok(())
    }

    fn index(&mut self) -> Result<()> {
        (self.work.confirm)()?;
        write_index(self.work.core, std::mem::take(&mut self.unindexed))?;
        self.blobs = 0;
        Ok(())
    }

    fn finish(mut self, result: &mut Repacked) -> Result<()> {
        for slot in 0..self.open.len() {
            self.put(slot, result)?;
        }
        self.index()
    }
}

//! Damaged packs: what is whole in them goes into new packs, and they themselves aside.
//!
//! Alone in the vault. The order, each durable before the next: the damaged packs are set aside (handed to the caller,
//! who keeps them); new packs; an index of them; index files without the damaged packs, before the ones that name
//! them are deleted; last the damaged packs are deleted. So after every step each blob that could be read can be read.
//!
//! What a crash leaves: packs that no index names, blobs that are there twice, or a damaged pack that no index names
//! any more. The repair is run again.
//!
//! A pack that the medium does not give whole is not deleted: it may do so another day. It leaves the index all the
//! same, so that a backup stores again what is lost.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lifeboat_store::{Area, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    blob::BlobKind,
    check::CheckOptions,
    error::{ErrorKind, Result, VaultError},
    id::{BlobId, PackId},
    index::{BlobLocation, Index, IndexBuilder, IndexedPack},
    lock::{self, LockMode},
    opened::Core,
    pack::{PackBuilder, PackedBlob, Pages},
    progress::Progress,
    read::blobs,
    repo::Vault,
    unpacked::object_name,
    write::indexing::write_index,
};

/// Bytes that are read at a time of a pack that is set aside.
const WINDOW: usize = 1 << 20;
/// Bytes of a new pack, about.
const PACK_SIZE: usize = 16 << 20;

/// How to repair packs.
#[derive(Debug)]
pub struct RepairPacks<'a> {
    /// These packs; none: those that a check of all data finds.
    pub packs: &'a [PackId],
    /// Says what would be done, and changes nothing.
    pub dry_run: bool,
    /// How long to wait for who is in the way.
    pub retry_lock: Duration,
    /// Ends it before something is changed.
    pub stop: &'a AtomicBool,
}

/// One damaged pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvagedPack {
    /// Which.
    pub id: PackId,
    /// What is wrong with it.
    pub why: String,
    /// Blobs that it held, as far as it or the index tell.
    pub blobs: usize,
    /// Blobs that were taken out of it.
    pub salvaged: usize,
    /// Blobs that are whole in another pack as well.
    pub elsewhere: usize,
    /// Blobs that are lost, unless a backup brings them again.
    pub lost: Vec<(BlobKind, BlobId)>,
    /// It stays in the store, for the medium does not give it whole: why.
    pub stays: Option<String>,
}

/// What a repair did, or would do.
#[derive(Debug, Default)]
pub struct RepairedPacks {
    /// Damaged packs.
    pub packs: Vec<SalvagedPack>,
    /// Packs that were named and are whole: nothing was done to them.
    pub whole: Vec<PackId>,
    /// New packs.
    pub new_packs: usize,
}

/// Takes the bytes of a damaged pack, durably, before anything is changed.
pub type SetAside<'a> = &'a mut dyn FnMut(PackId, &mut dyn Read) -> io::Result<()>;

impl Vault {
    /// Repairs damaged packs. See [`packs`](self).
    pub fn repair_packs(
        &self,
        options: &RepairPacks<'_>,
        set_aside: SetAside<'_>,
        progress: &dyn Progress,
    ) -> Result<RepairedPacks> {
        self.0.refuse_version_1()?;
        let go_on = || match options.stop.load(Ordering::Relaxed) {
            true => Err(VaultError::Interrupted("the repair of packs".to_owned())),
            false => Ok(()),
        };
        let mut wanted = options.packs.to_vec();
        if wanted.is_empty() {
            let all = CheckOptions {
                read_data: true,
                ..CheckOptions::default()
            };
            wanted = self.check(&all, progress)?.damaged_packs;
            if wanted.is_empty() {
                return Ok(RepairedPacks::default());
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        go_on()?;
        let mode = match options.dry_run {
            true => LockMode::Shared,
            false => LockMode::Exclusive,
        };
        let stopped = || options.stop.load(Ordering::Relaxed);
        let lock = lock::acquire_unless(&self.0, mode, options.retry_lock, &stopped);
        go_on()?;
        let lock = lock?;
        progress.step("read index");
        let named = Named::read(&self.0, &wanted)?;
        progress.step("repair packs");
        progress.expect(wanted.len() as u64, 0);
        let mut salvage = Salvage::new(&self.0, &named);
        let mut result = RepairedPacks::default();
        for pack in wanted {
            go_on()?;
            match salvage.take(pack)? {
                Some(salvaged) => result.packs.push(salvaged),
                None => result.whole.push(pack),
            }
            progress.advance(1, 0);
        }
        if options.dry_run || result.packs.is_empty() {
            return Ok(result);
        }
        progress.step("set aside");
        for pack in &mut result.packs {
            go_on()?;
            pack.stays = keep(&self.0, pack.id, set_aside)?;
        }
        // From here on it goes to its end: what is half done is whole, but has to be done again.
        progress.step("write packs");
        lock.confirm()?;
        result.new_packs = salvage.finish()?;
        progress.step("write index");
        let bad: HashSet<PackId> = result.packs.iter().map(|pack| pack.id).collect();
        self.0
            .drop_from_index(&bad, &HashSet::new(), &|| lock.confirm())?;
        progress.step("delete packs");
        for pack in result.packs.iter().filter(|pack| pack.stays.is_none()) {
            lock.confirm()?;
            match self.0.store.delete(&object_name(Area::Data, &pack.id.0)?) {
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(e) => return Err(VaultError::store(format!("delete pack {}", pack.id))(e)),
            }
        }
        Ok(result)
    }
}

/// What the index says.
struct Named {
    /// Of the packs that are to be repaired.
    bad: HashMap<PackId, Vec<PackedBlob>>,
    /// Of all others.
    others: Index,
}

impl Named {
    fn read(core: &Core, wanted: &[PackId]) -> Result<Named> {
        let mut bad: HashMap<PackId, Vec<PackedBlob>> =
            wanted.iter().map(|pack| (*pack, Vec::new())).collect();
        let mut builder = IndexBuilder::default();
        core.each_named_pack(|pack, blobs| match bad.get_mut(&pack) {
            Some(all) => all.extend(blobs),
            None => builder.add(pack, blobs),
        })?;
        Ok(Named {
            bad,
            others: builder.build(),
        })
    }
}

/// New packs in the making.
struct Salvage<'a> {
    core: &'a Core,
    named: &'a Named,
    taken: HashSet<(BlobKind, BlobId)>,
    /// Data, tree. Full ones first.
    packs: [Vec<PackBuilder>; 2],
}

impl<'a> Salvage<'a> {
    fn new(core: &'a Core, named: &'a Named) -> Self {
        Self {
            core,
            named,
            taken: HashSet::new(),
            packs: [Vec::new(), Vec::new()],
        }
    }

    /// Takes out of a pack what is whole and nowhere else; `None` if nothing is wrong with it.
    fn take(&mut self, pack: PackId) -> Result<Option<SalvagedPack>> {
        let indexed = self.named.bad.get(&pack).map_or(&[][..], Vec::as_slice);
        let header = match self.core.pack_header(pack) {
            Ok(blobs) => Some(blobs),
            Err(VaultError::Store {
                source: StoreError::NotFound(_),
                ..
            }) if indexed.is_empty() => {
                return Err(VaultError::Invalid(format!(
                    "there is no pack {pack} in the vault, and no index names it"
                )));
            }
            Err(error) if is_of_the_pack(&error) => None,
            Err(error) => return Err(error),
        };
        let why = self.damage(pack, indexed, header.as_deref())?;
        let Some(why) = why else { return Ok(None) };
        // Index and header may differ: a blob is lost only if neither leads to it.
        let mut places: HashMap<(BlobKind, BlobId), Vec<PackedBlob>> = HashMap::new();
        for blob in indexed.iter().chain(header.iter().flatten()) {
            let known = places.entry((blob.kind, blob.id)).or_default();
            if !known.contains(blob) {
                known.push(*blob);
            }
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_unstable_by_key(|(_, blobs)| blobs.iter().map(|b| b.offset).min());
        let mut salvaged = SalvagedPack {
            id: pack,
            why,
            blobs: places.len(),
            salvaged: 0,
            elsewhere: 0,
            lost: Vec::new(),
            stays: None,
        };
        for ((kind, id), blobs) in places {
            if self.taken.contains(&(kind, id)) || self.is_elsewhere(kind, id)? {
                salvaged.elsewhere += 1;
            } else if self.add(pack, &blobs)? {
                salvaged.salvaged += 1;
            } else {
                salvaged.lost.push((kind, id));
            }
        }
        Ok(Some(salvaged))
    }

    /// What is wrong with a pack.
    fn damage(
        &self,
        pack: PackId,
        indexed: &[PackedBlob],
        header: Option<&[PackedBlob]>,
    ) -> Result<Option<String>> {
        let name = object_name(Area::Data, &pack.0)?;
        let mut bytes = PackBytes::new(self.core, pack)?;
        let Some(bytes) = &mut bytes else {
            return Ok(Some("it is gone".to_owned()));
        };
        match bytes.hash() {
            Ok(hash) if hash == pack.0 => {}
            Ok(_) => return Ok(Some("its bytes do not match its name".to_owned())),
            Err(error) => return Ok(Some(format!("{name} cannot be read ({error})"))),
        }
        let Some(header) = header else {
            return Ok(Some("its header does not open".to_owned()));
        };
        for blob in header {
            if let Err(error) = self.core.blob_at(blob.kind, blob.id, &location(pack, blob)) {
                return match is_of_the_pack(&error) {
                    true => Ok(Some(format!("blob {} in it: {}", blob.id, error.reason()))),
                    false => Err(error),
                };
            }
        }
        let differs = indexed.iter().any(|blob| !header.contains(blob));
        Ok(differs.then(|| "its header and the index name different blobs".to_owned()))
    }

    /// Whether a blob is whole in a pack that is not repaired.
    fn is_elsewhere(&self, kind: BlobKind, id: BlobId) -> Result<bool> {
        let Some(at) = self.named.others.find(kind, &id) else {
            return Ok(false);
        };
        match self.core.blob_at(kind, id, &at) {
            Ok(_) => Ok(true),
            Err(error) if is_of_the_pack(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a blob out of one of these places, as it is sealed. False where none of them holds it.
    fn add(&mut self, pack: PackId, places: &[PackedBlob]) -> Result<bool> {
        for blob in places {
            let sealed = match self.core.pack_range(pack, blob.offset, blob.length) {
                Ok(sealed) => sealed,
                Err(error) if is_of_the_pack(&error) => continue,
                Err(error) => return Err(error),
            };
            let core = self.core;
            if blobs::open(
                &core.seal,
                blob.kind,
                blob.id,
                blob.plain_length,
                sealed.clone(),
            )
            .is_err()
            {
                continue;
            }
            let packs = &mut self.packs[usize::from(blob.kind == BlobKind::Tree)];
            if packs
                .last()
                .is_none_or(|last| last.len() >= PACK_SIZE || !last.fits(sealed.len()))
            {
                packs.push(PackBuilder::new(Pages::default()));
            }
            if let Some(last) = packs.last_mut() {
                last.add(blob.kind, blob.id, blob.plain_length, &sealed)?;
            }
            self.taken.insert((blob.kind, blob.id));
            return Ok(true);
        }
        Ok(false)
    }

    /// Stores the new packs, then their index.
    fn finish(self) -> Result<usize> {
        let mut done = Vec::new();
        for pack in self.packs.into_iter().flatten() {
            let pack = pack.finish(&self.core.seal, &*self.core.env.random)?;
            let name = object_name(Area::Data, &pack.id.0)?;
            self.core
                .store
                .put(&name, &pack.bytes)
                .map_err(VaultError::store(format!("write {name}")))?;
            done.push(IndexedPack::new(pack.id, pack.blobs));
        }
        let count = done.len();
        write_index(self.core, done)?;
        Ok(count)
    }
}

fn location(pack: PackId, blob: &PackedBlob) -> BlobLocation {
    BlobLocation {
        pack,
        offset: blob.offset,
        length: blob.length,
        plain_length: blob.plain_length,
    }
}

/// Whether it is this object that is bad, and not the store as a whole.
fn is_of_the_pack(error: &VaultError) -> bool {
    match error {
        VaultError::Store { source, .. } => matches!(
            source,
            StoreError::NotFound(_)
                | StoreError::ShortRead { .. }
                | StoreError::TooLarge { .. }
                | StoreError::Io { .. }
        ),
        error => error.kind() == ErrorKind::Damaged,
    }
}

/// Hands a pack to who keeps it. Returns why it has to stay, where it cannot be read whole.
fn keep(core: &Core, pack: PackId, set_aside: SetAside<'_>) -> Result<Option<String>> {
    let Some(mut bytes) = PackBytes::new(core, pack)? else {
        return Ok(None);
    };
    match set_aside(pack, &mut bytes) {
        Ok(()) => Ok(None),
        Err(_) if bytes.unreadable.is_some() => Ok(bytes.unreadable),
        Err(source) => Err(VaultError::Io {
            context: format!("set pack {pack} aside; nothing was changed"),
            source,
        }),
    }
}

/// The bytes of a pack as a stream.
struct PackBytes<'a> {
    core: &'a Core,
    pack: PackId,
    size: u64,
    offset: u64,
    unreadable: Option<String>,
}

impl<'a> PackBytes<'a> {
    /// `None` where the pack is gone.
    fn new(core: &'a Core, pack: PackId) -> Result<Option<Self>> {
        let name = object_name(Area::Data, &pack.0)?;
        match core.store.size(&name) {
            Ok(size) => Ok(Some(Self {
                core,
                pack,
                size,
                offset: 0,
                unreadable: None,
            })),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(e) => Err(VaultError::store(format!("look for {name}"))(e)),
        }
    }
}

impl PackBytes<'_> {
    /// The hash of all that is left.
    fn hash(&mut self) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        let mut window = vec![0; WINDOW];
        loop {
            match self.read(&mut window)? {
                0 => return Ok(hash.finalize().into()),
                length => hash.update(&window[..length]),
            }
        }
    }
}

impl Read for PackBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left).min(WINDOW);
        if length == 0 {
            return Ok(0);
        }
        let name = object_name(Area::Data, &self.pack.0).map_err(io::Error::other)?;
        match self.core.store.get_range(&name, self.offset, length) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                self.offset += bytes.len() as u64;
                Ok(bytes.len())
            }
            Err(error) => {
                self.unreadable = Some(error.to_string());
                Err(io::Error::other(error.to_string()))
            }
        }
    }
}

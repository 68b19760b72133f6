//! Faces to pre-train on, from folders and shards alike, with their channel statistics.
//!
//! A set is a folder (see [`crate::readers::pretrain_folders`]) or a shard; sets keep the order they are named in,
//! and ids are the same either way. Channel statistics are sums of integers, so those of several sets are added;
//! each set's sums are stored beside it in `<set>.statistics/`, under the digest of what was measured.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Shard;
use super::read::{hex, is_shard};
use crate::image::{Rgb, decode, decode_bytes};
use crate::parsing::{self, ParsingMap};
use crate::readers::{PretrainItem, pretrain_folders};
use crate::transform::{ChannelSums, Normalise};
use crate::{Error, image};

/// Images decoded between two looks at errors; bounds memory on sets of millions.
const CHUNK: usize = 1024;

/// The faces of several sets, in order.
pub struct FaceSource {
    sets: Vec<Set>,
    /// (set, face of the set) of each face in use
    index: Vec<(u32, u32)>,
    synthetic: bool,
}

struct Set {
    root: PathBuf,
    faces: Faces,
}

enum Faces {
    Folder(Vec<PretrainItem>),
    Packed(Shard),
}

impl Set {
    fn len(&self) -> usize {
        match &self.faces {
            Faces::Folder(items) => items.len(),
            Faces::Packed(shard) => shard.len(),
        }
    }

    fn id(&self, i: usize) -> &str {
        match &self.faces {
            Faces::Folder(items) => &items[i].id,
            Faces::Packed(shard) => shard.id(i),
        }
    }

    fn has_map(&self, i: usize) -> bool {
        match &self.faces {
            Faces::Folder(items) => items[i].parsing.is_some(),
            Faces::Packed(shard) => shard.has_map(i),
        }
    }

    fn origin(&self, i: usize) -> PathBuf {
        match &self.faces {
            Faces::Folder(items) => items[i].image.clone(),
            Faces::Packed(shard) => shard.origin(i),
        }
    }

    fn read(&self, i: usize, with_map: bool) -> Result<(Rgb, Option<ParsingMap>), Error> {
        match &self.faces {
            Faces::Folder(items) => {
                let map =
                    items[i].parsing.as_deref().filter(|_| with_map).map(parsing::read_npy).transpose()?;
                Ok((decode(&items[i].image)?, map))
            }
            Faces::Packed(shard) => {
                let record = shard.read(i)?;
                Ok((decode_bytes(&record.image, &shard.origin(i))?, record.map.filter(|_| with_map)))
            }
        }
    }

    /// What changes when the face does: its checksum, or size and time of its file.
    fn version(&self, i: usize) -> String {
        match &self.faces {
            Faces::Packed(shard) => format!("{:08x}", shard.crc(i)),
            Faces::Folder(items) => std::fs::metadata(&items[i].image).map_or(String::new(), |m| {
                let time = m.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                format!("{} {}", m.len(), time.map_or(0, |t| t.as_nanos()))
            }),
        }
    }
}

impl FaceSource {
    /// Opens sets: folders with `images/`, bare folders, or shards.
    ///
    /// # Errors
    /// As [`pretrain_folders`] and [`Shard::open`]; [`Error::Duplicate`] for a face in two sets.
    pub fn open(roots: &[PathBuf]) -> Result<Self, Error> {
        if roots.is_empty() {
            return Err(Error::Request { what: "no set to pre-train on".into(), hint: "name at least one" });
        }
        let mut sets = Vec::with_capacity(roots.len());
        let mut synthetic = false;
        for root in roots {
            let faces = if is_shard(root) {
                let shard = Shard::open(root)?;
                synthetic |= shard.synthetic();
                Faces::Packed(shard)
            } else {
                let set = pretrain_folders(std::slice::from_ref(root))?;
                synthetic |= set.synthetic;
                Faces::Folder(set.items)
            };
            sets.push(Set { root: root.clone(), faces });
        }
        let mut index = Vec::new();
        for (s, set) in (0u32..).zip(&sets) {
            let count = u32::try_from(set.len()).map_err(|_| Error::Request {
                what: format!("{}: more than 2^32 faces", set.root.display()),
                hint: "split the set",
            })?;
            index.extend((0..count).map(|i| (s, i)));
        }
        let source = Self { sets, index, synthetic };
        source.expect_unique()?;
        Ok(source)
    }

    /// One folder or shard is unique in itself; two may share a name.
    fn expect_unique(&self) -> Result<(), Error> {
        if self.sets.len() < 2 {
            return Ok(());
        }
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(self.len());
        for i in 0..self.len() {
            if let Some(first) = seen.insert(self.id(i), i) {
                let (first, second) = (self.origin(first), self.origin(i));
                return Err(Error::Duplicate { id: self.id(i).to_owned(), first, second });
            }
        }
        Ok(())
    }

    fn face(&self, i: usize) -> (&Set, usize) {
        let (set, face) = self.index[i];
        (&self.sets[set as usize], face as usize)
    }

    /// Number of faces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether any set is synthetic.
    #[must_use]
    pub fn synthetic(&self) -> bool {
        self.synthetic
    }

    /// `<set>/<name>`. Panics beyond the last face, as the other methods.
    #[must_use]
    pub fn id(&self, i: usize) -> &str {
        let (set, face) = self.face(i);
        set.id(face)
    }

    /// Whether the face has a parsing map.
    #[must_use]
    pub fn has_map(&self, i: usize) -> bool {
        let (set, face) = self.face(i);
        set.has_map(face)
    }

    /// Where the face comes from, for messages: its file, or shard and record.
    #[must_use]
    pub fn origin(&self, i: usize) -> PathBuf {
        let (set, face) = self.face(i);
        set.origin(face)
    }

    /// Where its parsing map comes from, for messages; as [`FaceSource::origin`] where it has none.
    #[must_use]
    pub fn map_origin(&self, i: usize) -> PathBuf {
        let (set, face) = self.face(i);
        match &set.faces {
            Faces::Folder(items) => items[face].parsing.clone().unwrap_or_else(|| set.origin(face)),
            Faces::Packed(_) => set.origin(face),
        }
    }

    /// Keeps the first faces only.
    pub fn truncate(&mut self, count: usize) {
        self.index.truncate(count);
    }

    /// Keeps the faces that have a parsing map.
    pub fn keep_mapped(&mut self) {
        let sets = &self.sets;
        self.index.retain(|(set, face)| sets[*set as usize].has_map(*face as usize));
    }

    /// Decodes a face and, if asked for, its parsing map.
    ///
    /// # Errors
    /// A broken image, map or record, with its place.
    pub fn read(&self, i: usize, with_map: bool) -> Result<(Rgb, Option<ParsingMap>), Error> {
        let (set, face) = self.face(i);
        set.read(face, with_map)
    }

    /// Digest of what stands for the contents: checksums in shards, sizes and times of files in folders.
    #[must_use]
    pub fn version(&self) -> String {
        let mut hash = Sha256::new();
        for (set, face) in &self.index {
            let (set, face) = (&self.sets[*set as usize], *face as usize);
            hash.update(format!("{} {}\n", set.id(face), set.version(face)));
        }
        hex(&hash.finalize())
    }

    /// Channel statistics of all faces at `size` × `size`, read from beside the sets or measured and stored there.
    /// `told` hears where sums could not be stored (a read-only folder); they are then measured next time again.
    ///
    /// # Errors
    /// [`Error::Request`] for no faces, a size of zero or faces of one flat colour; a broken image.
    pub fn statistics(&self, size: usize, told: &dyn Fn(&str)) -> Result<Normalise, Error> {
        if self.is_empty() || size == 0 {
            let what = format!("cannot measure {} images at size {size}", self.len());
            return Err(Error::Request { what, hint: "name a folder with images and a size above zero" });
        }
        let mut total = ChannelSums::default();
        for (s, set) in (0u32..).zip(&self.sets) {
            let faces: Vec<usize> = self.index.iter().filter(|i| i.0 == s).map(|i| i.1 as usize).collect();
            if !faces.is_empty() {
                total.add(&set.sums(&faces, size, told)?);
            }
        }
        total.normalise()
    }
}

/// A stored measurement.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    digest: String,
    size: usize,
    images: usize,
    decoder: String,
    sums: ChannelSums,
}

impl Set {
    fn sums(&self, faces: &[usize], size: usize, told: &dyn Fn(&str)) -> Result<ChannelSums, Error> {
        let mut hash = Sha256::new();
        hash.update(format!("{size} {}\n", image::DECODER));
        faces.iter().for_each(|&i| hash.update(format!("{} {}\n", self.id(i), self.version(i))));
        let digest = hex(&hash.finalize());
        let file = beside(&self.root).join(format!("{}.json", &digest[..16]));
        if let Some(stored) =
            std::fs::read(&file).ok().and_then(|b| serde_json::from_slice::<Stored>(&b).ok())
            && (stored.digest == digest, stored.images) == (true, faces.len())
        {
            return Ok(stored.sums);
        }
        let mut sums = ChannelSums::default();
        for chunk in faces.chunks(CHUNK) {
            let measure = |&i: &usize| self.read(i, false).map(|(image, _)| ChannelSums::of(&image, size));
            for one in chunk.par_iter().map(measure).collect::<Vec<_>>() {
                sums.add(&one?);
            }
        }
        let decoder = image::DECODER.to_owned();
        let stored = Stored { digest, size, images: faces.len(), decoder, sums };
        if let Err(e) = store(&file, &stored) {
            told(&format!("statistics not stored, {e}"));
        }
        Ok(sums)
    }
}

/// `<set>.statistics`, beside the set.
fn beside(root: &Path) -> PathBuf {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut name = root.into_os_string();
    name.push(".statistics");
    PathBuf::from(name)
}

fn store(file: &Path, stored: &Stored) -> Result<(), Error> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    let text = serde_json::to_vec_pretty(stored).unwrap_or_default();
    // of this process alone: two may measure the same set
    let part = file.with_extension(format!("{}.part", std::process::id()));
    let done = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, file));
    done.map_err(Error::io("write", file))
}

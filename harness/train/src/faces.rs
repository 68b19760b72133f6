//! Pre-training data: images with their masks, made ahead of time by worker threads.
//!
//! For each image: decode, resize, normalise, read the parsing map, ask the masking plugin. Streams
//! belong to (seed, epoch, image), so the masks do not depend on threads or on a resumed start. An
//! image without a usable parsing map follows the policy of the specification, and is counted: one
//! whose map is missing is known when the folder is read, one whose map is broken when it is opened,
//! so `skip` drops the former before batches are made and the latter out of its batch.

use std::path::PathBuf;
use std::sync::Arc;

use facebench_data::image::Rgb;
use facebench_data::parsing::ParsingMap;
use facebench_data::shard::FaceSource;
use facebench_data::transform::{self, Normalise};
use facebench_host::{BackboneInfo, Masking, Plugins};
use facebench_protocols::rng::Stream;
use facebench_protocols::{DataStamp, TestTransform};

use crate::error::{Error, Result, bad_spec};
use crate::job::Job;
use crate::spec::{MaskingSpec, MissingParsing, PretrainSpec, RegionChoice};

/// Everything a worker thread needs to make a batch.
pub struct Faces {
    /// The images, in the order of their sets and names
    pub source: FaceSource,
    /// Whether they were made by the generator of synthetic faces
    pub synthetic: bool,
    /// Digest of the names
    pub stamp: DataStamp,
    /// Images left out or masked at random for want of a parsing map
    pub without_map: usize,
    masking: Arc<Masking>,
    random: Arc<Masking>,
    spec: MaskingSpec,
    seed: u64,
    image: usize,
    grid: usize,
}

/// A batch as plain numbers.
pub struct RawBatch {
    /// Number of images
    pub size: usize,
    /// (B, 3, H, W), normalised
    pub pixels: Vec<f32>,
    /// (B, N), 1 = hidden
    pub mask: Vec<u8>,
    /// (B, N), 1 = hidden and of the covered region
    pub region: Vec<u8>,
    /// (B, n) indices of visible patches
    pub keep: Vec<u32>,
    /// Names of the images
    pub ids: Vec<String>,
    /// Rows that were masked at random for want of a usable parsing map
    pub at_random: usize,
    /// Images that were left out for want of one
    pub left_out: usize,
    /// What is wrong with maps that exist and cannot be used
    pub unusable: Vec<String>,
}

impl Faces {
    /// Finds the images and prepares the masking strategy.
    pub fn open(spec: &PretrainSpec, info: &BackboneInfo, job: &Job) -> Result<Self> {
        let roots: Vec<PathBuf> = spec.data.sets.iter().map(|set| job.data_root.join(set)).collect();
        let mut source = FaceSource::open(&roots)?;
        let synthetic = source.synthetic();
        if let Some(limit) = spec.data.limit {
            source.truncate(limit);
        }
        let config = serde_json::Value::Object(spec.masking.config.clone());
        let masking = Arc::new(job.plugins.masking(&spec.masking.plugin, &config)?);
        let without_map = (0..source.len()).filter(|&i| !source.has_map(i)).count();
        if masking.needs_parsing() && without_map > 0 {
            match spec.masking.on_missing {
                MissingParsing::Fail => {
                    let first = (0..source.len()).find(|&i| !source.has_map(i)).expect("one was counted");
                    return bad_spec!(
                        "{}: masking `{}` needs a parsing map, and {without_map} of {} images have none\n\
                         hint: put maps into `parsing_maps/`, use `masking.plugin: random`, or set `masking.on_missing` \
                         to `random` or `skip`",
                        source.origin(first).display(),
                        spec.masking.plugin,
                        source.len()
                    );
                }
                MissingParsing::Skip => source.keep_mapped(),
                MissingParsing::Random => {}
            }
        }
        if source.is_empty() {
            return bad_spec!("{}: no image left to train on", roots[0].display());
        }
        let stamp = DataStamp {
            dataset: spec.data.sets.join("+"),
            samples: source.len(),
            videos: source.len(),
            sha256: DataStamp::digest((0..source.len()).map(|i| (source.id(i).to_owned(), 0))),
            synthetic,
        };
        Ok(Self {
            without_map: if masking.needs_parsing() { without_map } else { 0 },
            random: random_masking(job.plugins, spec.masking.on_missing == MissingParsing::Random, &masking)?
                .unwrap_or_else(|| Arc::clone(&masking)),
            masking,
            source,
            synthetic,
            stamp,
            spec: spec.masking.clone(),
            seed: spec.seed,
            image: info.image,
            grid: info.grid.0,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// Channel statistics of the images: measured once and kept beside the sets.
    pub fn statistics(&self, told: &dyn Fn(&str)) -> Result<Normalise> {
        Ok(self.source.statistics(self.image, told)?)
    }

    /// Makes the batch of `indices` in `epoch`; `batch` is its number in the epoch.
    pub fn batch(
        &self,
        indices: &[usize],
        epoch: usize,
        batch: usize,
        normalise: &Normalise,
    ) -> Result<RawBatch> {
        let patches = self.grid * self.grid;
        let mut out = RawBatch {
            size: 0,
            pixels: Vec::with_capacity(indices.len() * 3 * self.image * self.image),
            mask: Vec::with_capacity(indices.len() * patches),
            region: Vec::with_capacity(indices.len() * patches),
            keep: Vec::new(),
            ids: Vec::with_capacity(indices.len()),
            at_random: 0,
            left_out: 0,
            unusable: Vec::new(),
        };
        let epoch_text = epoch.to_string();
        for &index in indices {
            let id = self.source.id(index);
            let (picture, map) = match self.read(index) {
                Ok(both) => both,
                Err(why) if self.spec.on_missing == MissingParsing::Fail => return Err(why),
                Err(why) => {
                    // readable without its map: the map is what cannot be used
                    let (picture, _) = self.source.read(index, false)?;
                    out.unusable.push(why.to_string());
                    if self.spec.on_missing == MissingParsing::Skip {
                        out.left_out += 1;
                        continue;
                    }
                    (picture, None)
                }
            };
            out.pixels.extend(transform::to_tensor(
                &picture,
                self.image,
                TestTransform::Direct,
                normalise,
                None,
            ));

            let streams = |purpose: &str, name: &str| {
                let mut stream = Stream::new(purpose, self.seed, &[&epoch_text, name]);
                [stream.next_u64(), stream.next_u64()]
            };
            let of_patches = streams("mask-patches", id);
            let of_region = match self.spec.region {
                RegionChoice::PerImage => streams("mask-region", id),
                RegionChoice::PerBatch => streams("mask-region", &format!("batch {batch}")),
            };
            let view = map.as_ref().map(|m| (m.labels.as_slice(), m.height, m.width));
            let by_map = view.is_some() || !self.masking.needs_parsing();
            let strategy = if by_map { &self.masking } else { &self.random };
            out.at_random += usize::from(!by_map);
            let start = out.mask.len();
            out.mask.resize(start + patches, 0);
            out.region.resize(start + patches, 0);
            let (mask, region) = (&mut out.mask[start..], &mut out.region[start..]);
            strategy.mask(
                view,
                (self.grid, self.grid),
                self.spec.ratio,
                of_patches,
                of_region,
                mask,
                region,
            )?;
            out.keep.extend((0u32..).zip(mask.iter()).filter(|(_, hidden)| **hidden == 0).map(|(p, _)| p));
            out.ids.push(id.to_owned());
            out.size += 1;
        }
        if out.size == 0 {
            let first = out.unusable.first().map_or("", String::as_str);
            return bad_spec!(
                "no image of batch {batch} has a usable parsing map, and `masking.on_missing: skip` leaves them out: {first}"
            );
        }
        Ok(out)
    }

    /// An image and, where the strategy wants it and there is one, its parsing map.
    fn read(&self, index: usize) -> Result<(Rgb, Option<ParsingMap>)> {
        let (picture, map) = self.source.read(index, self.masking.needs_parsing())?;
        if let Some(map) = &map
            && (map.width % self.grid != 0 || map.height % self.grid != 0)
        {
            return Err(Error::Spec(format!(
                "{}: parsing map is {} x {} pixels, which does not divide into the {g} x {g} patches of the backbone\n\
                 hint: store maps at the image size of the backbone ({s} x {s}) or a multiple of its grid",
                self.source.map_origin(index).display(),
                map.width,
                map.height,
                g = self.grid,
                s = self.image
            )));
        }
        Ok((picture, map))
    }
}

/// The strategy for images without a map: `random`, needed only when there are such images.
fn random_masking(plugins: &Plugins, needed: bool, chosen: &Masking) -> Result<Option<Arc<Masking>>> {
    if needed && chosen.needs_parsing() {
        return Ok(Some(Arc::new(plugins.masking("random", &serde_json::json!({}))?)));
    }
    Ok(None)
}

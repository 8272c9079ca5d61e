//! The folder of a vector segment: hnswlib's files, and the pickle that says whose vector is where.
//!
//! The graph in them is not read: the records get an index of their own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ferrochrome_metadata::{Problem, ProblemKind};
use ferrochrome_types::{Code, Error, Result, limits};

use crate::pickle::{self, PersistentData};

const PICKLE: &str = "index_metadata.pickle";
const HEADER: &str = "header.bin";
const ELEMENTS: &str = "data_level0.bin";
const LENGTHS: &str = "length.bin";
const HEADER_BYTES: usize = 100;
/// Largest pickle: some 50 million records.
const MAX_PICKLE_BYTES: u64 = 2 << 30;
/// Byte of an element whose lowest bit marks it as deleted.
const FLAGS: usize = 2;
/// How far the norm of a normalised vector may be from 1.
const NORM_TOLERANCE: f32 = 1e-3;

/// Where the parts of an element lie, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    elements: u64,
    size: usize,
    vector: usize,
    label: usize,
}

impl Layout {
    fn dim(&self) -> usize {
        (self.label - self.vector) / 4
    }

    fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::corrupted(file, what);
        let header: &[u8; HEADER_BYTES] = bytes
            .get(..HEADER_BYTES)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| damaged("it is too short"))?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if header[..4] != [1, 0, 0, 0] {
            return Err(damaged("its version is not 1"));
        }
        // Version (4 bytes), offset of links, capacity, elements, size, offset of label, offset of vector.
        let size = |at: usize| usize::try_from(word(at)).ok().filter(|size| *size <= 1 << 24);
        let parsed = (size(4), size(28), size(36), size(44));
        let (Some(0), Some(element), Some(label), Some(vector)) = parsed else {
            return Err(damaged("the sizes in it are out of bounds"));
        };
        let fits =
            FLAGS < vector && vector < label && label + 8 <= element && (label - vector).is_multiple_of(4);
        let layout = Layout { elements: word(20), size: element, vector, label };
        if !fits || layout.dim() > limits::MAX_DIMENSION {
            return Err(damaged("the sizes in it do not fit together"));
        }
        Ok(layout)
    }
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct HnswFolder {
    path: PathBuf,
    file: File,
    layout: Layout,
    /// Norms before the vectors were normalised; only under cosine.
    lengths: Option<Vec<f32>>,
    max_seq_id: Option<i64>,
    buffer: Vec<u8>,
}

/// Whose vector is which element; `None` where there must be one and it is lost.
pub(crate) type Elements = HashMap<String, Option<u32>>;

/// Reads the pickle of a folder; `None` where nothing was flushed yet.
pub(crate) fn read_pickle(folder: &Path) -> Result<Option<PersistentData>> {
    let path = folder.join(PICKLE);
    let shown = path.display().to_string();
    let length = match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|e| Error::io(&shown, e))?.len(),
    };
    if length > MAX_PICKLE_BYTES {
        return Err(Error::new(
            Code::LimitExceeded,
            format!("{shown} has {length} bytes, more than an index of Chroma"),
        ));
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&shown, e))?;
    pickle::read(&shown, &bytes).map(Some)
}

impl HnswFolder {
    /// Opens a folder; `None` where nothing was flushed yet. `cosine` says that the vectors were normalised.
    ///
    /// # Errors
    /// `Corrupted`, `Io`, `Untrusted`.
    pub fn open(
        folder: &Path,
        cosine: bool,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<(HnswFolder, Elements)>> {
        let Some(data) = read_pickle(folder)? else { return Ok(None) };
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Error::io(path.display(), e))
        };
        let header = folder.join(HEADER).display().to_string();
        let mut start = Vec::new();
        let mut file = File::open(&header).map_err(|e| Error::io(&header, e))?;
        Read::by_ref(&mut file)
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut start)
            .map_err(|e| Error::io(&header, e))?;
        let layout = Layout::parse(&header, &start)?;
        let path = folder.join(ELEMENTS);
        let file = File::open(&path).map_err(|e| Error::io(path.display(), e))?;
        let lengths = if cosine { Some(read(LENGTHS)?) } else { None };
        let mut opened = HnswFolder {
            path,
            file,
            layout,
            lengths: lengths
                .map(|bytes| bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            max_seq_id: data.max_seq_id,
            buffer: Vec::new(),
        };
        let elements = opened.elements(data, problems)?;
        Ok(Some((opened, elements)))
    }

    /// The last write that the index contains, if the pickle says so.
    pub fn max_seq_id(&self) -> Option<i64> {
        self.max_seq_id
    }

    /// Components of each vector.
    pub fn dim(&self) -> usize {
        self.layout.dim()
    }

    fn io(&self, error: std::io::Error) -> Error {
        Error::io(self.path.display(), error)
    }

    /// Goes through all elements once, for their labels.
    fn elements(&mut self, data: PersistentData, problems: &mut Vec<Problem>) -> Result<Elements> {
        let size = self.layout.size;
        let bytes = self.file.metadata().map_err(|e| self.io(e))?.len();
        let whole = (bytes / size as u64).min(self.layout.elements).min(u64::from(u32::MAX));
        if whole < self.layout.elements {
            let message = format!(
                "{} is cut off: {whole} of {} vectors are there",
                self.path.display(),
                self.layout.elements
            );
            problems.push(Problem::of_collection(ProblemKind::UnreadableIndex, message));
        }
        for id in &data.contradictions {
            problems.push(Problem::of_record(
                ProblemKind::UnreadableIndex,
                id,
                "the index's pickle contradicts itself about it",
            ));
        }
        let mut by_label: HashMap<u64, Option<u32>> = HashMap::with_capacity(whole as usize);
        let mut deleted = HashSet::new();
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let mut element = vec![0; size];
        for number in 0..whole as u32 {
            reader.read_exact(&mut element).map_err(|e| Error::io(self.path.display(), e))?;
            let is_deleted = element[FLAGS] & 1 == 1;
            let mut label = [0; 8];
            label.copy_from_slice(&element[self.layout.label..self.layout.label + 8]);
            let label = u64::from_le_bytes(label);
            if is_deleted {
                deleted.insert(label);
                continue;
            }
            // Two living elements of one label: it cannot be told which is right.
            by_label.entry(label).and_modify(|place| *place = None).or_insert(Some(number));
        }
        let mut elements: Elements = data.contradictions.into_iter().map(|id| (id, None)).collect();
        for (id, label) in data.labels {
            let place = by_label.get(&label).copied();
            if place == Some(None) {
                let message = format!("{} holds two vectors of its label {label}", self.path.display());
                problems.push(Problem::of_record(ProblemKind::UnreadableIndex, &id, message));
            }
            if place.is_some() || !deleted.contains(&label) {
                elements.insert(id, place.flatten());
            }
        }
        Ok(elements)
    }

    /// The vector of an element, as long as it was before it was normalised.
    ///
    /// # Errors
    /// `Io`, and `Corrupted` where what is there cannot be that vector.
    pub fn vector(&mut self, element: u32) -> Result<Vec<f32>> {
        let Layout { size, vector, label, .. } = self.layout;
        let at = u64::from(element) * size as u64 + vector as u64;
        self.buffer.resize(label - vector, 0);
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut self.buffer));
        read.map_err(|e| self.io(e))?;
        let mut components: Vec<f32> =
            self.buffer.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if components.iter().any(|component| !component.is_finite()) {
            return Err(Error::corrupted(
                self.path.display(),
                format!("vector {element} holds a number that is not finite"),
            ));
        }
        let Some(lengths) = &self.lengths else { return Ok(components) };
        let damaged =
            |what: &str| Error::corrupted(self.path.display(), format!("{what} of vector {element}"));
        let length = lengths.get(element as usize).copied().filter(|length| length.is_finite());
        let length = length.ok_or_else(|| damaged(&format!("{LENGTHS} has no norm")))?;
        let norm = components.iter().map(|component| component * component).sum::<f32>().sqrt();
        // A vector of zeros stays one.
        if (norm - 1.0).abs() > NORM_TOLERANCE && length.abs() > f32::EPSILON {
            return Err(damaged("the stored components are not normalised, those"));
        }
        components.iter_mut().for_each(|component| *component *= length);
        Ok(components)
    }
}

#[cfg(test)]
#[path = "hnsw_folder_tests.rs"]
mod tests;

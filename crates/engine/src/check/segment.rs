//! Checking one segment.

use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, SegmentReader};
use ferrochrome_index::{SearchOptions, Walk};
use ferrochrome_metadata::{ManifestSegment, Postings, check_lookup};
use ferrochrome_types::{CancelToken, Code, Error, Result, VectorRows};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::progress::CheckProgress;
use super::report::{CheckedSegment, Finding};
use crate::segment::{LOOKUP_FILE, open_lookup};

/// Rows that are looked up in the index by their own vectors.
const SAMPLED_ROWS: u32 = 128;
/// Share of them that must be found. An index that was built of these vectors finds nearly all.
const FOUND_SHARE: f64 = 0.5;
const EF: usize = 128;
const POLL_ROWS: u32 = 1_024;
/// Files that can be made anew from the others.
const DERIVED: [&str; 3] = ["ids.arrow", "index.arrow", LOOKUP_FILE];

/// What a manifest says of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub id: Uuid,
    /// `None` where there is no manifest.
    pub rows: Option<u32>,
    pub tombstones: &'a RoaringBitmap,
    /// Of the collection's vectors, if it is known.
    pub dim: Option<u32>,
    /// Above every ordinal, if it is known.
    pub next_ordinal: Option<u64>,
}

impl<'a> Named<'a> {
    /// As a manifest names it, of a collection with so many components.
    pub fn by_manifest(segment: &'a ManifestSegment, next_ordinal: u64, dim: Option<u32>) -> Self {
        Named {
            id: segment.id,
            rows: Some(segment.rows),
            tombstones: &segment.tombstones,
            dim,
            next_ordinal: Some(next_ordinal),
        }
    }
}

/// Checks a segment: every block of every file, then what the files say of one another.
///
/// # Errors
/// `Cancelled`, `Unsupported` where a newer release wrote it. Damage is part of the answer.
pub(crate) fn check_segment(
    store: &Arc<dyn BlobStore>,
    named: Named<'_>,
    progress: &CheckProgress,
) -> Result<CheckedSegment> {
    let mut checked = CheckedSegment {
        id: named.id,
        rows: named.rows.unwrap_or(0),
        tombstones: named.tombstones.len(),
        bytes: 0,
        findings: Vec::new(),
    };
    let opened = SegmentReader::open(store.clone(), named.id);
    let Some(reader) = checked.note("segment.json", true, opened)? else { return Ok(checked) };
    if named.rows.is_none() {
        checked.rows = reader.rows();
    }
    checked.note("segment.json", true, agrees(&reader, named))?;
    let mut whole = Vec::new();
    for file in reader.file_names() {
        progress.token().check()?;
        if let Some(bytes) = checked.note(file, DERIVED.contains(&file), reader.verify_file(file))? {
            checked.bytes += bytes;
            whole.push(file);
        }
    }
    let is_whole = |file: &str| whole.contains(&file);
    if !is_whole("records.arrow") {
        return Ok(checked);
    }
    let mut postings = Postings::new();
    let read = read_rows(&reader, named, &mut postings, progress);
    if checked.note("records.arrow", false, read)?.is_none() {
        return Ok(checked);
    }
    if is_whole("ids.arrow") {
        let outcome = reader.check_ids(&mut || progress.token().check());
        checked.note("ids.arrow", true, outcome)?;
    }
    if is_whole("vectors.arrow") {
        let outcome = check_vectors(&reader, progress);
        let sound = checked.note("vectors.arrow", false, outcome)?.is_some();
        if sound && is_whole("index.arrow") {
            let outcome = check_index(&reader, named.tombstones, progress.token());
            checked.note("index.arrow", true, outcome)?;
        }
    }
    let outcome = if is_whole(LOOKUP_FILE) {
        open_lookup(&reader).and_then(|lookup| check_lookup(&lookup, &postings, &reader, progress.token()))
    } else if checked.findings.iter().any(|finding| finding.file.ends_with(LOOKUP_FILE)) {
        Ok(())
    } else {
        Err(Error::corrupted(format!("{}/{LOOKUP_FILE}", named.id), "segment.json does not name it"))
    };
    checked.note(LOOKUP_FILE, true, outcome)?;
    Ok(checked)
}

impl CheckedSegment {
    /// Takes damage into the report; other failures go on.
    fn note<T>(&mut self, file: &str, derived: bool, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_damage(&error) || error.code() == Code::Io => {
                self.findings.push(Finding::new(format!("{}/{file}", self.id), &error, derived));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a failure tells of the files, rather than of who asks.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.code(), Code::Corrupted | Code::InvalidArgument)
}

fn agrees(reader: &SegmentReader, named: Named<'_>) -> Result<()> {
    let rows = named.rows.unwrap_or(reader.rows());
    let damaged = |what: String| Err(Error::corrupted(format!("{}/segment.json", named.id), what));
    if reader.rows() != rows {
        return damaged(format!("it has {} rows where the manifest expects {rows}", reader.rows()));
    }
    if let Some(label) = named.tombstones.max().filter(|label| *label >= rows) {
        return damaged(format!("the manifest has row {label} as deleted, of {rows} rows"));
    }
    match named.dim {
        Some(dim) if dim as usize != reader.dim() => {
            damaged(format!("its vectors have {} components where the collection's have {dim}", reader.dim()))
        }
        _ => Ok(()),
    }
}

/// Reads every record and gathers its metadata.
fn read_rows(
    reader: &SegmentReader,
    named: Named<'_>,
    postings: &mut Postings,
    progress: &CheckProgress,
) -> Result<()> {
    let name = || format!("{}/records.arrow", named.id);
    for label in 0..reader.rows() {
        if label % POLL_ROWS == 0 {
            progress.advance(u64::from(POLL_ROWS.min(reader.rows() - label)))?;
        }
        let record = reader.record(label)?;
        postings.insert(label, record.metadata.as_ref());
        if named.tombstones.contains(label) {
            continue;
        }
        if record.id.is_empty() {
            return Err(Error::corrupted(name(), format!("record {label} has no id")));
        }
        if named.next_ordinal.is_some_and(|next| record.ordinal >= next) {
            return Err(Error::corrupted(name(), format!("record {label} has an ordinal of the future")));
        }
    }
    Ok(())
}

fn check_vectors(reader: &SegmentReader, progress: &CheckProgress) -> Result<()> {
    for label in 0..reader.rows() {
        if label % POLL_ROWS == 0 {
            progress.token().check()?;
            reader.release_pages();
        }
        if reader.vector(label)?.iter().any(|component| !component.is_finite()) {
            let file = format!("{}/vectors.arrow", reader.folder());
            return Err(Error::corrupted(file, format!("vector {label} holds what is no number")));
        }
    }
    reader.release_pages();
    Ok(())
}

/// Reads the index as a whole, which checks every link, and looks rows up in it by their own vectors.
fn check_index(reader: &SegmentReader, tombstones: &RoaringBitmap, cancel: &CancelToken) -> Result<()> {
    let Some(file) = reader.index_file()? else { return Ok(()) };
    let index = ferrochrome_index::load(file.parameters()?, file.as_ref(), cancel)?;
    let damaged = |what: String| Err(Error::corrupted(format!("{}/index.arrow", reader.folder()), what));
    if index.len() != reader.rows() as usize || index.dim() != reader.dim() {
        return damaged(format!("it indexes {} rows of {} components", index.len(), index.dim()));
    }
    let step = (reader.rows() / SAMPLED_ROWS).max(1) as usize;
    let (mut asked, mut found) = (0_u32, 0_u32);
    for label in (0..reader.rows()).step_by(step).filter(|label| !tombstones.contains(*label)) {
        cancel.check()?;
        let options = SearchOptions { k: 10, ef: EF, filter: None, visit_budget: None, cancel };
        let vector = reader.row(label)?.to_vec();
        let Walk::Done(hits) = index.search(&vector, reader, &options)? else { continue };
        // Of many equal vectors any may come: what counts is that none of those that came is farther away than the row is.
        let own = hits.iter().find(|hit| hit.label == label).map(|hit| hit.distance);
        let nearest = hits.first().map(|hit| hit.distance);
        let equal = nearest.zip(hits.last()).is_some_and(|(nearest, last)| nearest == last.distance);
        asked += 1;
        found += u32::from(own.is_some() || equal);
    }
    if f64::from(found) < FOUND_SHARE * f64::from(asked) {
        return damaged(format!("of {asked} rows it finds {found} by their own vectors"));
    }
    Ok(())
}

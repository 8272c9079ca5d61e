//! Comparing the files of a segment with their checksums, and with one another.

use ferrochrome_types::Result;

use crate::SegmentReader;
use crate::ids::hash_id;
use crate::store::{IDS, INDEX, LOOKUP, RECORDS, VECTORS};

/// Entries between two calls of `poll`.
const POLL_ENTRIES: usize = 4096;

impl SegmentReader {
    /// Names of the files that the segment consists of, beside `segment.json`.
    pub fn file_names(&self) -> Vec<&'static str> {
        // The first three every segment has, whatever a damaged description says.
        let derived = [INDEX, LOOKUP].into_iter().filter(|file| self.has_file(file));
        [RECORDS, VECTORS, IDS].into_iter().chain(derived).collect()
    }

    /// Opens a file anew, reads every block of it and compares it with its checksum. Returns the length of the file.
    ///
    /// # Errors
    /// `Corrupted` naming the file, `Io`.
    pub fn verify_file(&self, file: &str) -> Result<u64> {
        let blob = self.open_file(file)?;
        blob.verify_all()?;
        blob.release_pages();
        Ok(blob.len() as u64)
    }

    /// Compares `ids.arrow` with `records.arrow`: each row has one entry, under the hash of its id, and the entries ascend.
    /// Calls `poll` now and then.
    ///
    /// # Errors
    /// `Corrupted` naming the file at fault, `Io`, what `poll` returns.
    pub fn check_ids(&self, poll: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let ids = self.ids_file()?;
        let damaged = |what: String| Err(ids.blob().damaged(what));
        let mut seen = vec![false; self.rows() as usize];
        let mut last = None;
        for at in 0..seen.len() {
            if at.is_multiple_of(POLL_ENTRIES) {
                poll()?;
            }
            let (hash, label) = ids.entry(at)?;
            if last >= Some((hash, label)) {
                return damaged(format!("entry {at} is not above the one before it"));
            }
            last = Some((hash, label));
            match seen.get_mut(label as usize) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return damaged(format!("row {label} has two entries")),
                None => return damaged(format!("entry {at} is of row {label}, of {} rows", self.rows())),
            }
            if hash_id(self.id(label)?) != hash {
                return damaged(format!("the entry of row {label} is not of the id that the row has"));
            }
        }
        Ok(())
    }
}

//! What fuzzers call.

use std::hint::black_box;

use crate::hnsw_folder::HnswFolder;
use crate::pickle;

/// `index_metadata.pickle`.
pub fn pickle(bytes: &[u8]) {
    black_box(pickle::read("index_metadata.pickle", bytes).is_ok());
}

/// The other files of an HNSW folder, beside a pickle that is sound: two bytes of length, the header, then the elements.
pub fn hnsw_folder(bytes: &[u8], pickle: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (header, elements) = rest.split_at(rest.len().min(u16::from_le_bytes(*length) as usize));
    let Ok(folder) = tempfile::tempdir() else { return };
    let files = [
        ("index_metadata.pickle", pickle),
        ("header.bin", header),
        ("data_level0.bin", elements),
        ("length.bin", elements),
    ];
    if files.iter().any(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).is_err()) {
        return;
    }
    for cosine in [false, true] {
        if let Ok(Some((mut opened, _))) = HnswFolder::open(folder.path(), cosine, &mut Vec::new()) {
            black_box((opened.dim(), opened.vector(0).is_ok(), opened.vector(u32::MAX).is_ok()));
        }
    }
}

//! `index.arrow`: read into memory and in its file, and searched.

use std::hint::black_box;
use std::sync::Arc;

use ferrochrome_blockstore::fuzzing::{DIM, ROWS, index_file};
use ferrochrome_index::{ScanOptions, SearchOptions, VectorIndex, load, open};
use ferrochrome_types::{CancelToken, Code, Result, VectorRows};

/// The vectors that the index should be of.
#[derive(Debug)]
pub(crate) struct Rows(pub(crate) Vec<[f32; DIM]>);

impl Rows {
    pub(crate) fn sample() -> Self {
        Rows((0..ROWS).map(|row| [row as f32, 1.0, 0.5]).collect())
    }
}

impl VectorRows for Rows {
    fn dim(&self) -> usize {
        DIM
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn row(&self, label: u32) -> Result<&[f32]> {
        let row = self.0.get(label as usize).map(|row| &row[..]);
        row.ok_or_else(|| ferrochrome_types::Error::corrupted("rows", "no such row"))
    }
}

pub(crate) fn index_arrow(bytes: &[u8]) {
    let cancel = CancelToken::default();
    let outcome = index_file(bytes).and_then(|file| {
        let file = Arc::new(file);
        let parameters = file.parameters()?;
        let indices = [load(parameters, file.as_ref(), &cancel), open(parameters, file.clone())];
        for index in indices.iter().flatten() {
            search(index.as_ref(), &cancel);
        }
        indices.into_iter().try_for_each(|index| index.map(|_| ()))
    });
    if let Err(error) = outcome {
        let expected = [Code::Corrupted, Code::Unsupported, Code::LimitExceeded, Code::InvalidArgument];
        assert!(expected.contains(&error.code()), "{error}");
    }
}

fn search(index: &dyn VectorIndex, cancel: &CancelToken) {
    let rows = Rows::sample();
    let query = vec![0.25; index.dim()];
    let options = SearchOptions { k: 3, ef: 10, filter: None, visit_budget: None, cancel };
    black_box(index.search(&query, &rows, &options).is_ok());
    black_box(index.scan(&query, &rows, &ScanOptions::new(3, None, cancel)).is_ok());
}

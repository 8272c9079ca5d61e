use std::ops::Range;

use ferrochrome_distance::{ExactDistance, prefetch_row};
use ferrochrome_types::{CancelToken, Error, Metric, ROWS_AT_ONCE, Result, VectorRows, with_rows_in_place};
use roaring::RoaringBitmap;

use crate::Hit;
use crate::shortlist::Shortlist;

/// Groups between two looks at the cancel token.
const CANCEL_STRIDE: usize = 64;

/// The `k` nearest rows exactly, by comparing the query with every member (`None`: every row).
///
/// Hits ascend by (distance, label). There are `min(k, members)`; members beyond the rows are ignored.
///
/// # Errors
/// `InvalidArgument` if the query has another dimension; `Cancelled`; whatever `rows` fails with.
pub fn exact_search(
    metric: Metric,
    query: &[f32],
    rows: &dyn VectorRows,
    members: Option<&RoaringBitmap>,
    k: usize,
    cancel: &CancelToken,
) -> Result<Vec<Hit>> {
    exact_search_among(metric, query, rows, (members, 0..rows.len() as u32), k, cancel)
}

/// As [`exact_search`], among the members that are some of `labels`.
pub(crate) fn exact_search_among(
    metric: Metric,
    query: &[f32],
    rows: &dyn VectorRows,
    (members, labels): (Option<&RoaringBitmap>, Range<u32>),
    k: usize,
    cancel: &CancelToken,
) -> Result<Vec<Hit>> {
    check_dimension(query, rows.dim())?;
    let mut nearest = Nearest::new(metric, query, rows, k);
    match members {
        None => nearest.offer_all(labels, cancel)?,
        Some(members) => nearest.offer_all(members.range(labels), cancel)?,
    }
    Ok(nearest.into_hits())
}

/// The `k` nearest of a few labels, exactly. Rows that lie anywhere are asked for ahead by the caller.
pub(crate) fn rescore(
    metric: Metric,
    query: &[f32],
    rows: &dyn VectorRows,
    labels: impl Iterator<Item = u32>,
    k: usize,
) -> Result<Vec<Hit>> {
    let mut nearest = Nearest { few: true, ..Nearest::new(metric, query, rows, k) };
    nearest.offer_all(labels, &CancelToken::default())?;
    Ok(nearest.into_hits())
}

/// As [`rescore`], of rows that were not asked for yet.
pub(crate) fn fetch_and_rescore(
    metric: Metric,
    query: &[f32],
    rows: &dyn VectorRows,
    labels: impl Iterator<Item = u32> + Clone,
    k: usize,
) -> Result<Vec<Hit>> {
    labels.clone().for_each(|label| rows.prefetch(label));
    rescore(metric, query, rows, labels, k)
}

pub(crate) fn check_dimension(query: &[f32], dim: usize) -> Result<()> {
    if query.len() == dim {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Query embedding has dimension {}, the indexed vectors have {dim}",
        query.len()
    )))
}

struct Nearest<'a> {
    rows: &'a dyn VectorRows,
    distance: ExactDistance<'a>,
    shortlist: Shortlist,
    /// Whether rows are a few here and there, which should not be mapped for it, and not most of all.
    few: bool,
    /// Where such rows are copied to.
    room: Vec<f32>,
}

impl<'a> Nearest<'a> {
    fn new(metric: Metric, query: &'a [f32], rows: &'a dyn VectorRows, k: usize) -> Self {
        let k = k.min(rows.len());
        Nearest {
            rows,
            distance: ExactDistance::new(metric, query),
            shortlist: Shortlist::new(k, rows.len()),
            few: false,
            room: Vec::new(),
        }
    }

    fn offer_all(&mut self, mut labels: impl Iterator<Item = u32>, cancel: &CancelToken) -> Result<()> {
        let mut group = [0; ROWS_AT_ONCE];
        for round in 0.. {
            if round % CANCEL_STRIDE == 0 {
                cancel.check()?;
            }
            let mut count = 0;
            for (slot, label) in group.iter_mut().zip(&mut labels) {
                *slot = label;
                count += 1;
            }
            self.offer(&group[..count])?;
            if count < ROWS_AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    fn offer(&mut self, labels: &[u32]) -> Result<()> {
        let Nearest { rows, distance, shortlist, few, room } = self;
        let mut labels_left = labels;
        let mut compare = |vectors: &[&[f32]]| {
            let (labels, left) = labels_left.split_at(vectors.len());
            labels_left = left;
            compare_group(distance, vectors, labels, shortlist);
        };
        if *few {
            rows.with_rows(labels, room, &mut compare)
        } else {
            with_rows_in_place(*rows, labels, &mut compare)
        }
    }

    fn into_hits(self) -> Vec<Hit> {
        let sorted = self.shortlist.into_sorted();
        sorted.into_iter().map(|c| Hit { distance: c.score, label: c.label }).collect()
    }
}

fn compare_group(
    distance: &ExactDistance<'_>,
    vectors: &[&[f32]],
    labels: &[u32],
    shortlist: &mut Shortlist,
) {
    vectors.iter().for_each(|vector| prefetch_row(vector));
    let (fours, rest) = vectors.as_chunks::<4>();
    let (label_fours, label_rest) = labels.as_chunks::<4>();
    for (four, labels) in fours.iter().zip(label_fours) {
        for (distance, &label) in distance.to_4(*four).into_iter().zip(labels) {
            shortlist.push(distance, label);
        }
    }
    for (vector, &label) in rest.iter().zip(label_rest) {
        shortlist.push(distance.to(vector), label);
    }
}

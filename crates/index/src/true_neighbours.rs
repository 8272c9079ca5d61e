//! What an index measures itself by: the exact neighbours of some of its own rows.

use ferrochrome_distance::ExactDistance;
use ferrochrome_types::{CancelToken, Metric, Result, VectorRows};
use roaring::RoaringBitmap;

use crate::coding::CALIBRATED_K;
use crate::seeded_hash::hash;
use crate::shortlist::{Candidate, Shortlist};
use crate::threads::join_all;

/// Rows that play the query.
const PROBES: usize = 100;
const MIN_PROBES: usize = 20;
/// Components compared at most, before there are fewer probes: some seconds.
const MAX_COMPONENTS: usize = 40_000_000_000;
/// Neighbours that are known of each.
pub(crate) const KNOWN_NEIGHBOURS: usize = 100;
/// Rows that are looked at for them.
const NEAREST: usize = 2 * KNOWN_NEIGHBOURS;
/// A row is a near-duplicate of a probe if it is nearer than this part of the way to the last of the [`NEAREST`].
const NEAR_DUPLICATE_PART: f32 = 0.25;
/// More near-duplicates than this are no group of their own, but how dense the data are.
const MOST_NEAR_DUPLICATES: usize = 16;
/// Fewer probes of a kind say nothing.
const LEAST_OF_A_KIND: usize = 20;
/// A neighbour that is so few rows away is a companion.
const COMPANION_ROWS: u32 = 100;
/// Rows with so many companions among their nearest on average come group by group.
const GROUPED_FROM: f32 = 0.1;
/// Rows between two looks at the cancel token.
const CANCEL_STRIDE: u32 = 1_024;

/// Rows as queries, with the distances of their nearest neighbours among all others.
///
/// There are kinds of them, each of which must be served, so that the many do not hide how the few fare. A row with near-duplicates is
/// an easier query than what a user asks: its own group stands out, while of others only a part is wanted. So there are probes
/// without their group, as strangers. And those with many exact duplicates, of which any will do, stand apart.
#[derive(Debug, Default)]
pub(crate) struct TrueNeighbours {
    kinds: Vec<Vec<Probe>>,
    /// How many of the nearest [`CALIBRATED_K`] of a row are companions, on average and as a part of all.
    companions: f32,
}

/// A row as a query.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) label: u32,
    /// What is to be searched as if it were not there, ascending: the row itself, perhaps with its near-duplicates.
    pub(crate) absent: Vec<u32>,
    /// Of its up to [`KNOWN_NEIGHBOURS`] nearest neighbours, ascending.
    distances: Vec<f32>,
    /// How many of the nearest [`CALIBRATED_K`], near-duplicates included, were added shortly before or after it.
    companions: usize,
}

/// Neighbours found, and neighbours to be found.
pub(crate) type Count = (usize, usize);

impl Probe {
    /// The row `label` as a probe, and as one without its near-duplicates if there are any. Its distance from itself is `own`.
    fn of_row(label: u32, own: f32, nearest: &[Candidate]) -> (Self, Option<Self>) {
        let is_companion = |c: &&Candidate| c.label.abs_diff(label) <= COMPANION_ROWS;
        let companions = nearest.iter().take(CALIBRATED_K).filter(is_companion).count();
        let probe = |absent: &[Candidate]| {
            let mut labels: Vec<u32> = absent.iter().map(|c| c.label).chain([label]).collect();
            labels.sort_unstable();
            let others = nearest.iter().filter(|c| labels.binary_search(&c.label).is_err());
            let distances = others.map(|c| c.score).take(KNOWN_NEIGHBOURS).collect();
            Probe { label, absent: labels, distances, companions }
        };
        let far = nearest.last().map_or(0.0, |last| (last.score - own).abs());
        let is_near = |c: &&Candidate| (c.score - own).abs() < NEAR_DUPLICATE_PART * far;
        let group: Vec<Candidate> = nearest.iter().filter(is_near).copied().collect();
        let stranger = (1..=MOST_NEAR_DUPLICATES).contains(&group.len()).then(|| probe(&group));
        (probe(&[]), stranger)
    }

    /// Whether the neighbours that count are all equally far: any of them will do.
    fn is_tied(&self) -> bool {
        self.distances.first() == self.distances[..self.distances.len().min(CALIBRATED_K)].last()
    }

    /// Whether `label` is to be passed over.
    pub(crate) fn is_absent(&self, label: u32) -> bool {
        self.absent.binary_search(&label).is_ok()
    }

    /// How many of the `k` nearest neighbours are among `distances`. Rows as far as the last one are as good as it.
    pub(crate) fn count(&self, k: usize, distances: impl Iterator<Item = f32>) -> Count {
        let k = k.min(self.distances.len());
        let Some(&farthest) = self.distances[..k].last() else { return (0, 0) };
        (distances.filter(|&distance| distance <= farthest).count().min(k), k)
    }
}

impl TrueNeighbours {
    /// Compares probes with every row. Rows in `dead` neither ask nor are found.
    pub(crate) fn find(
        rows: &dyn VectorRows,
        metric: Metric,
        dead: &RoaringBitmap,
        threads: usize,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let affordable = MAX_COMPONENTS / (rows.len() * rows.dim()).max(1);
        let step = rows.len().div_ceil(affordable.clamp(MIN_PROBES, PROBES)).max(1);
        // One of every `step` rows, at random: in periodic data every `step`-th may be of one kind.
        let labels = (0..rows.len()).step_by(step).map(|begin| {
            let width = step.min(rows.len() - begin) as u64;
            (begin as u64 + hash(rows.len() as u64, begin as u64) % width) as u32
        });
        let labels: Vec<u32> = labels.filter(|&label| !dead.contains(label)).collect();
        let find = |labels: &[u32]| find_some(rows, metric, dead, labels, cancel);
        let (members, strangers): (Vec<_>, Vec<_>) = in_parallel(threads, &labels, find)?.into_iter().unzip();
        let companions: usize = members.iter().map(|probe| probe.companions).sum();
        let companions = companions as f32 / (CALIBRATED_K * members.len().max(1)) as f32;
        let strangers: Vec<Probe> = strangers.into_iter().flatten().collect();
        let (tied, untied): (Vec<Probe>, Vec<Probe>) = members.into_iter().partition(Probe::is_tied);
        let mut kinds = vec![untied, tied, strangers];
        let enough = kinds.iter().map(Vec::len).max().unwrap_or(0).min(LEAST_OF_A_KIND);
        kinds.retain(|probes| probes.len() >= enough);
        Ok(TrueNeighbours { kinds, companions })
    }

    /// Whether rows come group by group, as the passages of a text do: those that are near one another one after another.
    pub(crate) fn are_grouped(&self) -> bool {
        self.companions >= GROUPED_FROM
    }

    /// The probes of the kind that there are most of.
    pub(crate) fn largest_kind(&self) -> &[Probe] {
        self.kinds.iter().max_by_key(|probes| probes.len()).map_or(&[], Vec::as_slice)
    }

    /// Recall by each of `ways` to search, of the kind of probe that fares worst with it. `count` counts per way, for some probes.
    pub(crate) fn recalls(
        &self,
        ways: usize,
        threads: usize,
        count: impl Fn(&[Probe]) -> Result<Vec<Vec<Count>>> + Sync,
    ) -> Result<Vec<f32>> {
        let mut recalls = vec![1_f32; ways];
        for probes in &self.kinds {
            let counts = in_parallel(threads, probes, &count)?;
            for (way, recall) in recalls.iter_mut().enumerate() {
                let add = |sum: Count, counts: &Vec<Count>| (sum.0 + counts[way].0, sum.1 + counts[way].1);
                let (found, wanted) = counts.iter().fold((0, 0), add);
                if wanted > 0 {
                    *recall = recall.min(found as f32 / wanted as f32);
                }
            }
        }
        Ok(recalls)
    }
}

fn find_some(
    rows: &dyn VectorRows,
    metric: Metric,
    dead: &RoaringBitmap,
    labels: &[u32],
    cancel: &CancelToken,
) -> Result<Vec<(Probe, Option<Probe>)>> {
    let query = |&label| Ok(ExactDistance::new(metric, rows.row(label)?));
    let queries = labels.iter().map(query).collect::<Result<Vec<_>>>()?;
    let mut nearest: Vec<Shortlist> = labels.iter().map(|_| Shortlist::new(NEAREST, rows.len())).collect();
    let mut compare = |group: [(u32, &[f32]); 4], count: usize| {
        let vectors = group.map(|(_, row)| row);
        let squares = queries.first().map_or([0.0; 4], |query| vectors.map(|row| query.square_of(row)));
        for ((query, nearest), &probe) in queries.iter().zip(&mut nearest).zip(labels) {
            let distances = query.to_4_of(vectors, squares);
            for (distance, (label, _)) in distances.into_iter().zip(group).take(count) {
                if probe != label {
                    nearest.push(distance, label);
                }
            }
        }
    };
    // A few rows at a time: all queries stay in the cache, all rows would not.
    let mut group: [(u32, &[f32]); 4] = [(0, &[]); 4];
    let mut count = 0;
    for label in 0..rows.len() as u32 {
        if label.is_multiple_of(CANCEL_STRIDE) {
            cancel.check()?;
        }
        if dead.contains(label) {
            continue;
        }
        group[count] = (label, rows.row(label)?);
        count += 1;
        if count == group.len() {
            compare(group, count);
            count = 0;
        }
    }
    if count > 0 {
        // What is missing is compared too, and not counted.
        let any = group[0];
        group[count..].fill(any);
        compare(group, count);
    }
    let probe = |((&label, query), nearest): ((&u32, &ExactDistance<'_>), Shortlist)| {
        Ok(Probe::of_row(label, query.to(rows.row(label)?), &nearest.into_sorted()))
    };
    labels.iter().zip(&queries).zip(nearest).map(probe).collect()
}

/// `work` on `items`, a part to each thread. Results come in the order of the items.
fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&[T]) -> Result<Vec<R>> + Sync,
) -> Result<Vec<R>> {
    let part = items.len().div_ceil(threads.max(1)).max(1);
    if part >= items.len() {
        return work(items);
    }
    std::thread::scope(|scope| {
        let work = &work;
        let workers = items.chunks(part).map(|items| scope.spawn(move || work(items))).collect();
        Ok(join_all(workers)?.into_iter().flatten().collect())
    })
}

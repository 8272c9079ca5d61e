//! Which segments a merge should take.
//!
//! Rows wait in segments without a graph, which a query scans, until there are enough of them. Then they are inserted into the
//! graph of the largest segment that is worth copying for them; the rest of that segment is only copied. So over a collection's
//! life each row is inserted and copied a number of times that hardly grows with the collection.

/// Rows outside a graph that start a merge while writes go on; with a large graph, half of its rows, up to [`MOST_UNINDEXED_ROWS`].
const UNINDEXED_ROWS: u64 = 20_000;
/// A scan over the codes of so many rows takes about a millisecond.
const MOST_UNINDEXED_ROWS: u64 = 131_072;
/// More segments without a graph than this are merged whatever they hold: every one costs each query something.
const MOST_UNINDEXED_SEGMENTS: usize = 40;
/// Rows of a graph that may be copied for each row inserted: about as much work as the insertion itself. A graph that is larger in
/// proportion stays as it is, beside a new one.
const COPIED_PER_INSERTED: u64 = 8;
/// A merge beside writes inserts at most so many times the rows of the largest graph, so that it ends, and the next one may find
/// more threads.
const GROWTH: u64 = 2;
/// Without writes, rows outside a graph are merged from this part of the rows of the largest.
const IDLE_PART: u64 = 20;

/// What the policy knows of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Rows that are not tombstoned.
    pub rows: u64,
    pub graph: bool,
}

/// What bounds a merge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most rows that segments may have together, unless it is one segment that has more.
    pub most_rows: u64,
    /// Rows from which a segment gets a graph.
    pub graph_rows: u64,
}

/// The places of the segments to be merged into one, if it is time: oldest first, as given. Of those with a graph the largest is the
/// one to extend.
pub(crate) fn choose_among(segments: &[Candidate], idle: bool, bounds: Bounds) -> Option<Vec<usize>> {
    let Bounds { most_rows, graph_rows } = bounds;
    let places = |graph: bool| (0..segments.len()).filter(move |&at| segments[at].graph == graph);
    let unindexed: u64 = places(false).map(|at| segments[at].rows).sum();
    let largest = places(true).map(|at| segments[at].rows).max().unwrap_or(0);
    let enough = UNINDEXED_ROWS.max((largest / 2).min(MOST_UNINDEXED_ROWS));
    if !idle && unindexed < enough && places(false).count() <= MOST_UNINDEXED_SEGMENTS {
        return None;
    }
    let enough_for_now = if idle { u64::MAX } else { MOST_UNINDEXED_ROWS.max(GROWTH * largest) };
    let mut rows = 0;
    let mut chosen = Vec::new();
    for at in places(false) {
        let beyond = rows >= enough_for_now || rows + segments[at].rows > most_rows;
        if beyond && !chosen.is_empty() {
            break;
        }
        rows += segments[at].rows;
        chosen.push(at);
    }
    let newcomers = rows;
    let mut graphs: Vec<usize> = places(true).collect();
    graphs.sort_by_key(|&at| segments[at].rows);
    let mut graphs_chosen = 0;
    for at in graphs {
        let beyond = !chosen.is_empty() && rows + segments[at].rows > most_rows;
        if beyond || (!idle && segments[at].rows > COPIED_PER_INSERTED * rows) {
            break;
        }
        rows += segments[at].rows;
        chosen.push(at);
        graphs_chosen += 1;
    }
    chosen.sort_unstable();
    let worth_it = if idle {
        newcomers >= graph_rows.max(largest / IDLE_PART) || graphs_chosen > 1
    } else {
        // One small segment alone would only be copied.
        chosen.len() > 1 || newcomers >= graph_rows
    };
    worth_it.then_some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::MIN_ROWS_FOR_GRAPH;

    const SEALED: u64 = 4_096;
    const ALL: Bounds = bounds(u64::MAX);

    const fn bounds(most_rows: u64) -> Bounds {
        Bounds { most_rows, graph_rows: MIN_ROWS_FOR_GRAPH }
    }

    fn bare(rows: u64) -> Candidate {
        Candidate { rows, graph: false }
    }

    fn graph(rows: u64) -> Candidate {
        Candidate { rows, graph: true }
    }

    /// Rows copied and rows inserted by merging until nothing is due.
    fn merge(segments: &mut Vec<Candidate>, idle: bool) -> (u64, u64) {
        merge_up_to(segments, idle, u64::MAX)
    }

    fn merge_up_to(segments: &mut Vec<Candidate>, idle: bool, most_rows: u64) -> (u64, u64) {
        let (mut copied, mut inserted) = (0, 0);
        while let Some(chosen) = choose_among(segments, idle, bounds(most_rows)) {
            let base = chosen.iter().filter(|&&at| segments[at].graph).map(|&at| segments[at].rows).max();
            let rows: u64 = chosen.iter().map(|&at| segments[at].rows).sum();
            assert!(rows <= most_rows || chosen.len() == 1, "{rows} rows of {segments:?}");
            copied += base.unwrap_or(0);
            inserted += rows - base.unwrap_or(0);
            let mut place = 0..;
            segments.retain(|_| !chosen.contains(&place.next().unwrap()));
            segments.push(Candidate { rows, graph: rows >= MIN_ROWS_FOR_GRAPH });
        }
        (copied, inserted)
    }

    #[test]
    fn work_for_a_row_hardly_grows_with_the_collection() {
        // Merges that keep pace, and merges that fall behind.
        for arriving in [1, 30] {
            let mut segments = Vec::new();
            let (mut copied, mut inserted, mut rows) = (0, 0, 0);
            for sealed in 0..5_000 {
                segments.push(bare(SEALED));
                rows += SEALED;
                if sealed % arriving == 0 {
                    let work = merge(&mut segments, false);
                    copied += work.0;
                    inserted += work.1;
                    assert!(segments.iter().filter(|s| s.graph).count() <= 4, "{segments:?}");
                    assert!(segments.len() <= 4 + MOST_UNINDEXED_SEGMENTS, "{segments:?}");
                    let unindexed: u64 = segments.iter().filter(|s| !s.graph).map(|s| s.rows).sum();
                    assert!(unindexed <= MOST_UNINDEXED_ROWS + SEALED, "{segments:?}");
                }
                assert!(copied <= 12 * rows && inserted <= 3 * rows, "{copied} and {inserted} for {rows}");
            }
            merge(&mut segments, true);
            assert_eq!(segments.len(), 1);
        }
    }

    #[test]
    fn merges_with_little_memory_come_to_an_end_too() {
        let mut segments = vec![bare(150_000)];
        let mut rows = 150_000;
        for sealed in 0..500 {
            segments.push(bare(SEALED));
            rows += SEALED;
            merge_up_to(&mut segments, false, 100_000);
            if sealed % 50 == 0 {
                merge_up_to(&mut segments, true, 100_000);
            }
        }
        merge_up_to(&mut segments, true, 100_000);
        assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), rows);
        // Two that fit into one were merged.
        assert!(segments.len() as u64 <= 2 * rows / 100_000 + 2, "{segments:?}");
    }

    #[test]
    fn small_segments_do_not_pile_up_and_one_alone_is_left() {
        let mut segments = vec![graph(1_000_000)];
        for _ in 0..1_000 {
            segments.push(bare(3));
            merge(&mut segments, false);
            assert!(segments.len() <= MOST_UNINDEXED_SEGMENTS + 2, "{segments:?}");
        }
        assert!(choose_among(&[bare(MIN_ROWS_FOR_GRAPH - 1)], true, ALL).is_none());
        assert!(choose_among(&[graph(1_000_000)], true, ALL).is_none());
        assert!(choose_among(&[], true, ALL).is_none() && choose_among(&[], false, ALL).is_none());
    }

    #[test]
    fn a_graph_is_extended_while_that_costs_less_than_inserting() {
        let newcomers = [bare(50_000), bare(60_000), bare(30_000)];
        let with = |rows| [&[graph(rows)], &newcomers[..]].concat();
        assert_eq!(choose_among(&with(1_000_000), false, ALL), Some(vec![0, 1, 2, 3]));
        assert_eq!(choose_among(&with(2_000_000), false, ALL), Some(vec![1, 2, 3]));
        // Without writes all becomes one.
        assert_eq!(choose_among(&with(2_000_000), true, ALL), Some(vec![0, 1, 2, 3]));
        // Far behind, a merge takes a part.
        let behind: Vec<_> = std::iter::once(graph(100_000)).chain([bare(SEALED); 200]).collect();
        let chosen = choose_among(&behind, false, ALL).unwrap();
        assert_eq!((chosen[0], chosen.len()), (0, 50));
    }
}

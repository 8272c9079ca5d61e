use ferrochrome_distance::ExactDistance;
use ferrochrome_types::{Result, VectorRows};
use roaring::RoaringBitmap;

use crate::codes::Codes;
use crate::coding::{CALIBRATED_K, Coding};
use crate::quantizer::{Bits, Frame, Quantizer, Spread};
use crate::scan::shortlist;
use crate::scorer::Scorer;
use crate::true_neighbours::{Probe, TrueNeighbours};
use crate::{BuildOptions, Quantization};

/// Depths of rescoring that are tried, for a search for ten.
const DEPTHS: [usize; 4] = [16, 24, 50, 100];
/// Vectors whose squared lengths vary by less than this count as of one length.
const EQUAL_LENGTHS: f64 = 0.02;
/// A mean whose squared length is a smaller part than this of the rest does not disturb scores without biases.
const SMALL_MEAN: f64 = 0.25;

/// Chooses how to code `rows`: the cheapest that reaches the recall floor, or what the options insist on. Encodes all.
pub(crate) fn code(
    rows: &dyn VectorRows,
    options: &BuildOptions,
    dead: &RoaringBitmap,
    truth: &TrueNeighbours,
) -> Result<Coding> {
    let coding = |codes, depth, recall| Coding {
        metric: options.metric,
        dim: rows.dim(),
        len: rows.len(),
        seed: options.seed,
        asked: options.quantization,
        codes,
        rescore_depth: depth,
        recall,
    };
    if options.quantization == Quantization::None || !options.metric.has_codes() || rows.is_empty() {
        return Ok(coding(None, 2 * CALIBRATED_K, None));
    }
    let uncoded = || coding(None, 2 * CALIBRATED_K, Some(1.0));
    let (frame, spread) = Frame::fit(options.metric, rows, options.seed)?;
    let mut best: Option<Coding> = None;
    for (bits, step, depths) in candidates(options.quantization, spread) {
        let quantizer = Quantizer { frame: frame.copy()?, bits, step };
        let codes = Codes::encode(quantizer, (&[], &[]), 0, rows, options.threads, &options.cancel)?;
        if !codes.is_complete() {
            // No other codes would reach as far as this vector either.
            return Ok(uncoded());
        }
        let (depth, recall) = depth_and_recall(&codes, depths, rows, options, dead, truth)?;
        if recall >= options.recall_floor {
            return Ok(coding(Some(codes), depth, Some(recall)));
        }
        let insists = options.quantization != Quantization::Auto;
        if insists && best.as_ref().is_none_or(|best| best.recall < Some(recall)) {
            best = Some(coding(Some(codes), depth, Some(recall)));
        }
    }
    Ok(best.unwrap_or_else(uncoded))
}

/// What is worth a try, cheapest first: bits, common step, depths.
fn candidates(quantization: Quantization, spread: Spread) -> Vec<(Bits, Option<f32>, &'static [usize])> {
    let mut candidates = Vec::new();
    if matches!(quantization, Quantization::Auto | Quantization::Int4) {
        if spread.length_variation < EQUAL_LENGTHS && spread.mean_share < SMALL_MEAN {
            candidates.push((Bits::Four, Some(Quantizer::int4_step(spread)), &DEPTHS[..1]));
        }
        candidates.push((Bits::Four, None, &DEPTHS[..]));
    }
    if matches!(quantization, Quantization::Auto | Quantization::Int8) {
        candidates.push((Bits::Eight, None, &DEPTHS[..]));
    }
    candidates
}

/// The `base` codes with those of the further rows. `None` where recall would be below the floor at any depth.
pub(crate) fn extend(
    base: &Coding,
    rows: &dyn VectorRows,
    options: &BuildOptions,
    dead: &RoaringBitmap,
    truth: &TrueNeighbours,
) -> Result<Option<Coding>> {
    let extended =
        |codes, depth, recall| Coding { len: rows.len(), codes, rescore_depth: depth, recall, ..*base };
    let Some(codes) = &base.codes else { return Ok(Some(extended(None, base.rescore_depth, base.recall))) };
    let quantizer = Quantizer { frame: codes.quantizer.frame.copy()?, ..codes.quantizer };
    let before: (&[u8], &[_]) = (&codes.rows, &codes.factors);
    let codes = Codes::encode(quantizer, before, base.len, rows, options.threads, &options.cancel)?;
    if !codes.is_complete() {
        return Ok(None);
    }
    let mut depths = vec![base.rescore_depth];
    depths.extend(DEPTHS.iter().filter(|&&depth| depth > base.rescore_depth));
    let (depth, recall) = depth_and_recall(&codes, &depths, rows, options, dead, truth)?;
    // A base that was built below the floor on demand is not built again for that, unless it got much worse.
    let floor = options.recall_floor.min(base.recall.map_or(1.0, |recall| recall * 0.95));
    Ok((recall >= floor).then(|| extended(Some(codes), depth, Some(recall))))
}

/// The least of the ascending `depths` with which the codes reach the floor, otherwise the last, and recall@10 there.
fn depth_and_recall(
    codes: &Codes,
    depths: &[usize],
    rows: &dyn VectorRows,
    options: &BuildOptions,
    dead: &RoaringBitmap,
    truth: &TrueNeighbours,
) -> Result<(usize, f32)> {
    let deepest = depths.last().copied().unwrap_or(0);
    let live: Vec<u32> = (0..codes.len as u32).filter(|label| !dead.contains(*label)).collect();
    let count = |probes: &[Probe]| {
        let mut query = codes.new_query()?;
        let mut of_probe = |probe: &Probe| {
            let vector = rows.row(probe.label)?;
            codes.prepare(vector, &mut query);
            let room = deepest + probe.absent.len();
            let shortlist = shortlist(codes, &query, &live, room, &options.cancel)?;
            let exact = ExactDistance::new(options.metric, vector);
            let others = shortlist.iter().filter(|c| !probe.is_absent(c.label)).take(deepest);
            let distances = others.map(|c| Ok(exact.to(rows.row(c.label)?))).collect::<Result<Vec<f32>>>()?;
            let count = |&depth: &usize| probe.count(CALIBRATED_K, distances.iter().copied().take(depth));
            Ok(depths.iter().map(count).collect())
        };
        probes.iter().map(&mut of_probe).collect()
    };
    let recalls = truth.recalls(depths.len(), options.threads, count)?;
    let reached = recalls.iter().position(|&recall| recall >= options.recall_floor);
    let at = reached.unwrap_or(depths.len() - 1);
    Ok((depths[at], recalls[at]))
}

// Curves of recall against speed: points between the widths that were measured, and Ferrochrome's beside the others'.
import { formats } from "./table.mjs";

/**
 * Queries a second at `target` recall on a curve of `{ recall, qps }` points: log(QPS) is interpolated linearly over
 * recall, between the two neighbours of the target on the curve's upper edge (points that another beats in both are left
 * out). Below the edge's end, its last point counts: it is faster than what was measured nearer to the target, at more
 * recall. Null when the target lies outside of what was measured.
 */
export function speedAtRecall(points, target) {
  const measured = points.filter((point) => point.qps != null).sort((a, b) => b.recall - a.recall || b.qps - a.qps);
  const edge = [];
  for (const point of measured) if (edge.length === 0 || point.qps > edge.at(-1).qps) edge.push(point);
  const above = edge.findLast((point) => point.recall >= target);
  const below = edge.find((point) => point.recall <= target);
  if (!above || target < measured.at(-1).recall) return null;
  if (!below || above.recall === below.recall) return above.qps;
  const share = (target - below.recall) / (above.recall - below.recall);
  return Math.exp((1 - share) * Math.log(below.qps) + share * Math.log(above.qps));
}

/** The speeds of two curves at one recall, and what the first is of the second; null where one does not reach it. */
export function compareAtRecall(ours, theirs, target) {
  const [speed, other] = [speedAtRecall(ours, target), speedAtRecall(theirs, target)];
  return { recall: target, ours: speed, theirs: other, ratio: speed && other && speed / other };
}

/** The points of each variant among `{ store, variant, ...point }` rows. */
function curvesOf(rows) {
  const curves = new Map();
  for (const { store, variant, ...point } of rows) {
    const name = `${store} ${variant}`;
    if (!curves.has(name)) curves.set(name, { store, variant, points: [] });
    curves.get(name).points.push(point);
  }
  return [...curves.values()];
}

/** Ferrochrome's variants beside each of the others at the recalls that both reach, from `{ store, variant, recall, qps }` rows. */
export function ratioTable(points, targets) {
  const isOurs = ({ store }) => store === "ferrochrome";
  const curves = curvesOf(points);
  const rows = curves.filter(isOurs).flatMap((ours) =>
    curves
      .filter((curve) => !isOurs(curve))
      .flatMap((peer) =>
        targets.map((target) => ({
          variant: ours.variant,
          other: `${peer.store} ${peer.variant}`,
          ...compareAtRecall(ours.points, peer.points, target),
        })),
      ),
  );
  return {
    title: "One query after another, ours / theirs",
    legend: "At equal recall: log(QPS) interpolated linearly over recall between the two widths measured around it.",
    columns: [
      { title: "our variant", key: "variant", format: formats.text },
      { title: "recall@10", key: "recall", format: formats.recall },
      { title: "ours QPS", key: "ours", format: formats.integer },
      { title: "other", key: "other", format: formats.text },
      { title: "its QPS", key: "theirs", format: formats.integer },
      { title: "ratio", key: "ratio", format: formats.tenths },
    ],
    rows: rows.filter(({ ratio }) => ratio),
  };
}

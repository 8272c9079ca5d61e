// Points of a recall-against-speed curve between the widths that were measured.

/**
 * Queries a second at `target` recall on a curve of `{ recall, [key] }` points: log(QPS) is interpolated linearly over
 * recall, between the two neighbours of the target on the curve's upper edge (points that another beats in both are left
 * out). Below the edge's end, its last point counts: it is faster than what was measured nearer to the target, at more
 * recall. Null when the target lies outside of what was measured.
 */
export function speedAtRecall(points, target, key = "qps") {
  const measured = points.filter((point) => point[key] != null).sort((a, b) => b.recall - a.recall || b[key] - a[key]);
  const edge = [];
  for (const point of measured) if (edge.length === 0 || point[key] > edge.at(-1)[key]) edge.push(point);
  const above = edge.findLast((point) => point.recall >= target);
  const below = edge.find((point) => point.recall <= target);
  if (!above || target < measured.at(-1).recall) return null;
  if (!below || above.recall === below.recall) return above[key];
  const share = (target - below.recall) / (above.recall - below.recall);
  return Math.exp((1 - share) * Math.log(below[key]) + share * Math.log(above[key]));
}

"""hnswlib's C++ without a language boundary per query: one batch call, one thread, compiled for this processor.

Reads a job as JSON from standard input: {"folder", "k", "m", "ef_constructions", "efs", "passes", "threads"}, where folder holds
vectors.f32 and queries.f32, row-major. Prints JSON: per ef_construction the seconds of the build with that many threads, and
per ef the queries a second of the best pass and the row numbers found.
"""

import json
import sys
import time

import hnswlib
import numpy

DIMENSION = 384


def read_vectors(path):
    return numpy.fromfile(path, dtype="<f4").reshape(-1, DIMENSION)


def build(vectors, job, ef_construction):
    index = hnswlib.Index(space="cosine", dim=DIMENSION)
    index.init_index(max_elements=len(vectors), M=job["m"], ef_construction=ef_construction)
    started = time.perf_counter()
    index.add_items(vectors, num_threads=job["threads"])
    return index, time.perf_counter() - started


def search(index, queries, job):
    """Widths take turns, so that a slow moment of the machine is not all that one of them sees."""
    points = {ef: {"ef": ef, "qps": 0} for ef in job["efs"]}
    for _ in range(job["passes"]):
        for ef, point in points.items():
            index.set_ef(ef)
            started = time.perf_counter()
            labels, _ = index.knn_query(queries, k=job["k"], num_threads=1)
            point["qps"] = max(point["qps"], len(queries) / (time.perf_counter() - started))
            point["labels"] = labels.tolist()
    return list(points.values())


def main():
    job = json.load(sys.stdin)
    vectors = read_vectors(job["folder"] + "/vectors.f32")
    queries = read_vectors(job["folder"] + "/queries.f32")
    builds = []
    for ef_construction in job["ef_constructions"]:
        index, seconds = build(vectors, job, ef_construction)
        points = search(index, queries, job)
        builds.append({"ef_construction": ef_construction, "seconds": seconds, "points": points})
    json.dump({"builds": builds}, sys.stdout)


main()

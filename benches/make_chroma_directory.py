"""Writes the WordNet data set into a directory with Python's chromadb, for `npm run bench -- import`. Takes some minutes.

    python3 -m venv venv && venv/bin/pip install chromadb==1.5.9
    venv/bin/python benches/make_chroma_directory.py ../shared/data/wordnet OUTPUT
"""

import gzip
import json
import sys
from pathlib import Path

import chromadb
import numpy
from chromadb.config import Settings

DIMENSION = 384
BATCH = 5_000


def main(data, output):
    vectors = numpy.fromfile(data / "vectors.f16", dtype="<f2").reshape(-1, DIMENSION)
    with gzip.open(data / "records.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    client = chromadb.PersistentClient(str(output), settings=Settings(anonymized_telemetry=False))
    collection = client.create_collection("wordnet", metadata={"hnsw:space": "cosine"}, embedding_function=None)
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        collection.add(
            ids=[record["id"] for record in part],
            embeddings=vectors[start : start + len(part)].astype("<f4"),
            documents=[record["document"] for record in part],
            metadatas=[record["metadata"] for record in part],
        )
        print(f"{start + len(part)} of {len(records)}", flush=True)


main(Path(sys.argv[1]), Path(sys.argv[2]))

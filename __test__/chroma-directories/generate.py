"""Writes a directory with the Chroma that is installed, and what that Chroma says is in it.

    python3 -m venv venv && venv/bin/pip install chromadb==1.5.9
    venv/bin/python generate.py OUTPUT

OUTPUT/<version>/ then holds Chroma's files, each compressed with gzip, and OUTPUT/<version>.json the answers of `get()`. Chroma
0.4.24 also needs numpy below 2.
"""

import gzip
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import chromadb
from chromadb.config import Settings

DIMENSION = 8
# So few records that a collection is flushed into its HNSW folder, and some stay in the queue.
FLUSH = {"hnsw:batch_size": 10, "hnsw:sync_threshold": 25}
VERSION = tuple(int(part) for part in chromadb.__version__.split(".")[:3])


def vector(seed):
    generator = random.Random(seed)
    return [round(generator.uniform(-3, 3), 3) for _ in range(DIMENSION)]


def metadata(i):
    """Metadata of every type that this Chroma knows; integers beside floats of the same value."""
    values = {"name": f"record {i}", "rank": i, "weight": float(i), "share": i / 7, "large": 2**53 + i, "negative": -i}
    if i % 3 == 0:
        values["even"] = i % 2 == 0
    if VERSION >= (1, 5) and i % 4 == 0:
        values.update(tags=["a", f"t{i}"], counts=[i, -1], shares=[0.5, float(i)], flags=[True, False])
    return values


def write(collection, count, uris=False):
    """Adds, changes, replaces and deletes records, in an order in which each step matters."""
    ids = [f"id-{i}" for i in range(count)]
    for start in range(0, count, 20):
        part = range(start, min(start + 20, count))
        columns = dict(
            ids=[ids[i] for i in part],
            embeddings=[vector(i) for i in part],
            metadatas=[metadata(i) if i % 5 else None for i in part],
            documents=[f"document {i}: Ünïcödé \U0001f9ea" for i in part],
        )
        if uris:
            columns["uris"] = [f"https://example.com/{i}" for i in part]
        collection.add(**columns)
    collection.update(ids=ids[3:6], embeddings=[vector(1000 + i) for i in range(3)])
    collection.update(ids=ids[6:8], embeddings=[vector(6), vector(7)], documents=["changed", "changed too"])
    collection.update(ids=ids[6:8], metadatas=[{"rank": 0.5}, {"added": "x"}])
    collection.upsert(ids=[ids[8], "late"], embeddings=[vector(2000), vector(2001)], metadatas=[{"u": 1}, {"u": 2}])
    collection.delete(ids=[ids[1], ids[2], "late"])
    collection.add(ids=[ids[1], ids[10]], embeddings=[vector(3000), vector(3001)], documents=["again", "ignored"])
    collection.add(ids=["no document", "\x1f\u2028"], embeddings=[vector(4000), vector(4001)])


def fill(client):
    def create(name, metadata=None, **arguments):
        return client.create_collection(name, metadata=metadata, embedding_function=None, **arguments)

    for space in ["cosine", "l2", "ip"]:
        parameters = {"hnsw:space": space, "hnsw:M": 8, "hnsw:construction_ef": 50, "hnsw:search_ef": 40, **FLUSH}
        write(create(f"flushed-{space}", {**parameters, "title": "A title", "number": 7, "ratio": 2.0}), 55)
    write(create("queued", {"hnsw:space": "cosine"}), 30, uris=VERSION >= (0, 5))
    write(create("plain"), 12)
    create("empty")
    if VERSION >= (1, 0):
        configured = {"hnsw": {"space": "ip", "ef_construction": 77, "ef_search": 33, "max_neighbors": 9}}
        write(create("configured", configuration=configured), 12)
    if VERSION >= (1, 5):
        schema = chromadb.Schema()
        schema.create_index(config=chromadb.StringInvertedIndexConfig(), key="name")
        schema.delete_index(config=chromadb.IntInvertedIndexConfig(), key="rank")
        write(client.create_collection("with-schema", schema=schema, embedding_function=None), 12)


def embedding(collection, id):
    """The vector of a record; null where Chroma 0.4 has lost it, although it is in its queue."""
    try:
        return [float(x) for x in collection.get(ids=[id], include=["embeddings"])["embeddings"][0]]
    except (TypeError, IndexError):
        return None


def dump(client, tenant, database):
    collections = client.list_collections()
    for collection in collections:
        if isinstance(collection, str):  # 0.6 lists names.
            collection = client.get_collection(collection, embedding_function=None)
        include = ["embeddings", "documents", "metadatas"] + (["uris"] if VERSION >= (0, 5) else [])
        found = collection.get(include=[column for column in include if column != "embeddings"])
        embeddings = [embedding(collection, id) for id in found["ids"]]
        yield {
            "tenant": tenant,
            "database": database,
            "name": collection.name,
            "id": str(collection.id),
            "metadata": collection.metadata,
            "ids": found["ids"],
            "embeddings": embeddings,
            "documents": found["documents"],
            "metadatas": found["metadatas"],
            "uris": found.get("uris"),
        }


def main(output):
    folder = Path(tempfile.mkdtemp())
    settings = Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(folder), settings=settings)
    fill(client)
    dumped = list(dump(client, "default_tenant", "default_database"))
    admin = client._admin_client
    admin.create_tenant("acme")
    admin.create_database("archive", "acme")
    client.set_tenant("acme", "archive")
    write(client.create_collection("plain", embedding_function=None, metadata={"hnsw:space": "ip"}), 15)
    dumped += dump(client, "acme", "archive")
    client._system.stop()

    target = output / chromadb.__version__
    shutil.rmtree(target, ignore_errors=True)
    for path in folder.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(folder)
            copy = copy.with_name(copy.name + ".gz")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    text = json.dumps(dumped, indent=None, ensure_ascii=False)
    (output / f"{chromadb.__version__}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    shutil.rmtree(folder)


main(Path(sys.argv[1]))

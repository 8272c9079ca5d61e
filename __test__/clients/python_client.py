"""Drives a server with Chroma's Python client, and ends with an error where it answers otherwise than Chroma's server."""

import sys

import chromadb
import numpy

host, port, token = sys.argv[1], int(sys.argv[2]), sys.argv[3]
headers = {"Authorization": f"Bearer {token}"}
client = chromadb.HttpClient(host=host, port=port, headers=headers)

assert client.heartbeat() > 1_600_000_000_000_000_000
assert client.get_version().count(".") == 2
client.reset()

collection = client.create_collection(
    "numbers",
    metadata={"i": 1, "f": 1.0, "big": 9223372036854775807},
    configuration={"hnsw": {"space": "cosine", "ef_search": 50}},
    embedding_function=None,
)
again = client.get_collection("numbers", embedding_function=None)
assert again.metadata == {"i": 1, "f": 1.0, "big": 9223372036854775807}
assert isinstance(again.metadata["i"], int) and isinstance(again.metadata["f"], float)
assert again.configuration_json["hnsw"]["space"] == "cosine"

vectors = numpy.random.default_rng(0).random((200, 8), dtype=numpy.float32)
collection.add(
    ids=[f"id-{i}" for i in range(200)],
    embeddings=vectors,
    metadatas=[{"n": i, "half": i / 2, "even": i % 2 == 0, "tags": ["a", "b"]} for i in range(200)],
    documents=[f"document {i} é" for i in range(200)],
)
assert collection.count() == 200
got = collection.get(ids=["id-2", "id-1"], include=["embeddings", "metadatas", "documents"])
assert got["ids"] == ["id-1", "id-2"]
assert numpy.allclose(got["embeddings"], vectors[1:3])
assert got["metadatas"][1] == {"n": 2, "half": 1.0, "even": True, "tags": ["a", "b"]}
assert isinstance(got["metadatas"][1]["n"], int) and isinstance(got["metadatas"][1]["half"], float)

found = collection.query(query_embeddings=vectors[:3], n_results=5, where={"even": True})
assert found["ids"][0][0] == "id-0" and found["ids"][2][0] == "id-2"
assert all(metadata["even"] for row in found["metadatas"] for metadata in row)
assert abs(found["distances"][0][0]) < 1e-6
among = collection.query(query_embeddings=vectors[:1], n_results=2, where_document={"$contains": "19"})
assert set(among["ids"][0]) <= {f"id-{i}" for i in range(200) if "19" in str(i)}

collection.update(ids=["id-1"], metadatas=[{"n": None, "new": 3}])
assert "n" not in collection.get(ids=["id-1"])["metadatas"][0]
collection.upsert(ids=["id-1", "more"], embeddings=vectors[:2], documents=["changed", "added"])
assert collection.get(ids=["more"])["documents"] == ["added"]
collection.delete(ids=["more"])
collection.delete(where={"n": {"$gte": 100}})
assert collection.count() == 100
collection.modify(name="renamed", metadata={"x": 2.0})
assert [c.name for c in client.list_collections()] == ["renamed"]

for attempt, kind in [
    (lambda: client.get_collection("nothing"), chromadb.errors.NotFoundError),
    (lambda: client.create_collection("a"), chromadb.errors.InvalidArgumentError),
    (lambda: client.create_collection("renamed"), chromadb.errors.ChromaError),
    (lambda: collection.query(query_embeddings=[[1.0]]), chromadb.errors.InvalidArgumentError),
    (lambda: collection.query(query_embeddings=vectors[:1], ids=["nobody"]), chromadb.errors.InternalError),
]:
    try:
        attempt()
    except kind:
        continue
    raise AssertionError(f"expected {kind}")

admin = chromadb.AdminClient(
    chromadb.Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=host,
        chroma_server_http_port=port,
        chroma_server_headers=headers,
    )
)
admin.create_tenant("acme")
admin.create_database("archive", tenant="acme")
assert admin.get_database("archive", tenant="acme")["tenant"] == "acme"
other = chromadb.HttpClient(host=host, port=port, headers=headers, tenant="acme", database="archive")
assert other.list_collections() == []
client.delete_collection("renamed")
try:
    chromadb.HttpClient(host=host, port=port)
except Exception as error:
    assert "nauthorized" in str(error) or "Forbidden" in str(error), error
else:
    raise AssertionError("a client without the token was let in")
print("done")

"""Reads the files that the test exported, prints what is in them, and writes files of its own for it."""

import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

folder = sys.argv[1]
found = {}
for name, read in [("c.arrow", pa.feather.read_table), ("c.parquet", pa.parquet.read_table)]:
    table = read(f"{folder}/{name}")
    assert table.schema.field("id").type == pa.string()
    assert table.schema.field("embedding").type == pa.list_(table.schema.field("embedding").type.value_field, 2)
    assert table.schema.field("n").type == pa.int64()
    assert json.loads(table.schema.metadata[b"ferrochrome"])["name"] == "collection"
    rows = table.to_pylist()
    assert rows[8]["embedding"] == [8.0, 0.5] and rows[8]["tags"] == ["a", "t8"]
    assert rows[9]["document"] is None and json.loads(rows[9]["metadata"]) == {"mixed": 9}
    found[name] = [table.num_rows, rows[-1]["n"], rows[8]["x"]]

query = f"SELECT count(*), max(x) FILTER (id = 'id8'), max(len(embedding)) FROM '{folder}/c.parquet'"
found["duckdb"] = list(duckdb.sql(query).fetchall()[0])
found["lines"] = duckdb.sql(f"SELECT count(*) FROM read_json('{folder}/c.jsonl') WHERE len(embedding) = 2").fetchall()[0][0]

columns = {
    "id": pa.array([1, 2, 3], pa.int32()),
    "document": ["one", None, "three"],
    "year": pa.array([2001, 2002, 2003], pa.int16()),
    "score": pa.array([None, 0.5, 0.25], pa.float32()),
    "colour": pa.array(["blue", None, "red"]).dictionary_encode(),
    "tags": [["x"], None, ["x", "y"]],
}
vectors = [[1, 0.5], [2, 0.5], [3, 0.5]]
plain = pa.table({**columns, "embedding": pa.array(vectors, pa.list_(pa.float64()))})
pa.feather.write_feather(plain, f"{folder}/pyarrow.arrow", compression="zstd")
pa.parquet.write_table(plain, f"{folder}/pyarrow.parquet", compression="zstd", data_page_version="2.0")
pa.parquet.write_table(plain, f"{folder}/snappy.parquet", row_group_size=2)
duckdb.sql(f"COPY (SELECT * FROM plain) TO '{folder}/duckdb.parquet'")
lance = pa.table(
    {
        "vector": pa.array(vectors, pa.list_(pa.float32(), 2)),
        "ids": pa.array(["1", "2", "3"], pa.large_string()),
        "text": columns["document"],
        "created": pa.array([1, 2, 3], pa.timestamp("s")),
        "metadata": pa.array(
            [{"year": 2001}, None, {"year": 2003, "score": 0.25, "colour": "red", "tags": ["x", "y"]}]
        ),
    }
)
with pa.ipc.new_file(f"{folder}/lance.arrow", lance.schema) as writer:
    writer.write_table(lance, max_chunksize=2)
pa.parquet.write_table(lance, f"{folder}/lance.parquet")
print(json.dumps(found))

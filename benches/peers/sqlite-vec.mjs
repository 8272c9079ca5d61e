// Exact search inside SQLite: vectors and metadata in a vec0 table, ids and documents beside it with a trigram index.
import { mkdirSync } from "node:fs";
import { DIMENSION } from "../dataset.mjs";
import { filterToSql, literal } from "./sql-filter.mjs";
import { importPackage } from "./stores.mjs";

let Database;
let sqliteVec;

const schema = (keys) => `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE records (row INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, document TEXT);
  CREATE VIRTUAL TABLE documents USING fts5 (document, content='records', content_rowid='row', tokenize='trigram');
  CREATE VIRTUAL TABLE vectors USING vec0 (
    embedding FLOAT[${DIMENSION}] distance_metric=cosine,
    ${Object.entries(keys).map(([key, kind]) => `${key} ${kind === "string" ? "TEXT" : "INTEGER"}`)}
  );`;

function adapt(database, keys = {}) {
  const columns = Object.keys(keys);
  const statements = new Map();
  const prepare = (sql) => {
    if (!statements.has(sql)) statements.set(sql, database.prepare(sql));
    return statements.get(sql);
  };
  const insertAll = database.transaction(({ firstRow, ids, documents, metadatas, vectors }) => {
    const record = prepare("INSERT INTO records VALUES (?, ?, ?)");
    const text = prepare("INSERT INTO documents (rowid, document) VALUES (?, ?)");
    const vector = prepare(
      `INSERT INTO vectors (rowid, embedding, ${columns}) VALUES (?, ?, ${columns.map(() => "?")})`,
    );
    for (const [i, id] of ids.entries()) {
      const row = BigInt(firstRow + i + 1);
      record.run(row, id, documents[i]);
      text.run(row, documents[i]);
      const values = columns.map((key) => (keys[key] === "string" ? metadatas[i][key] : BigInt(metadatas[i][key])));
      vector.run(row, vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION), ...values);
    }
  });
  return {
    efs: [null],
    insert: (batch) => insertAll(batch),
    finish() {
      database.pragma("wal_checkpoint(TRUNCATE)");
    },
    prepareQuery: (vector) => vector,
    prepareFilter: (filter) =>
      filterToSql(filter, {
        contains: (text) =>
          `vectors.rowid IN (SELECT rowid FROM documents WHERE document GLOB ${literal(`*${text}*`)})`,
        among: (list) => `vectors.rowid IN (SELECT row FROM records WHERE id IN ${list})`,
      }),
    query(vector, { k, filter, records }) {
      const columns = records ? ", document, pos, domain, words, links" : "";
      const condition = filter ? ` AND ${filter}` : "";
      const sql =
        `SELECT id, distance${columns} FROM vectors JOIN records ON records.row = vectors.rowid ` +
        `WHERE embedding MATCH ? AND k = ${k}${condition} ORDER BY distance`;
      return prepare(sql)
        .all(vector)
        .map((row) => row.id);
    },
    close: () => database.close(),
  };
}

function connectTo(path) {
  mkdirSync(path, { recursive: true });
  const database = new Database(`${path}/vectors.sqlite`);
  sqliteVec.load(database);
  return database;
}

export default {
  name: "sqlite-vec",
  variants: { exact: {} },
  durability: "survives kill -9 (WAL, synchronous=normal)",
  storesRecords: true,
  async connect() {
    Database = (await importPackage("better-sqlite3")).default;
    sqliteVec = await importPackage("sqlite-vec");
  },
  create(path, _variant, { keys }) {
    const database = connectTo(path);
    database.exec(schema(keys));
    return adapt(database, keys);
  },
  open: (path) => adapt(connectTo(path)),
};

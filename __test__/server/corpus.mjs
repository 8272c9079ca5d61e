// Requests whose answers a real Chroma server gave, and the Ferrochrome server must give too. `recorded.json` holds the answers of
// Chroma 1.5.9; `node __test__/server/record.mjs <url>` asks a running server with an empty database again.

const DB = "/api/v2/tenants/default_tenant/databases/default_database";
const C = `${DB}/collections`;
/** Stands for the id of the collection `records`. */
const R = `${C}/{id}`;
const UNKNOWN = `${C}/11111111-1111-4111-8111-111111111111`;

/** One request: its name, method, path, body and content type. */
const ask = (name, method, path, body, contentType = "application/json") => ({ name, method, path, body, contentType });

const system = [
  ask("version", "GET", "/api/v2/version"),
  ask("pre-flight checks", "GET", "/api/v2/pre-flight-checks"),
  ask("identity", "GET", "/api/v2/auth/identity"),
  ask("healthcheck", "GET", "/api/v2/healthcheck"),
  ask("v1", "GET", "/api/v1/heartbeat"),
  ask("v1 collections", "DELETE", "/api/v1/collections/x"),
  ask("v1 post", "POST", "/api/v1/collections", "{}"),
  ask("unknown route", "GET", "/api/v2/nope"),
  ask("no route", "GET", "/nope"),
  ask("trailing slash", "GET", "/api/v2/heartbeat/"),
  ask("wrong method", "POST", "/api/v2/heartbeat", "{}"),
  ask("wrong method of a collection", "PATCH", `${C}/abc`, "{}"),
  ask("options without CORS", "OPTIONS", "/api/v2/heartbeat"),
  ask("text instead of JSON", "POST", "/api/v2/tenants", "{}", "text/plain"),
  ask("JSON with a charset", "POST", "/api/v2/tenants", '{"name":"charset"}', "application/json; charset=utf-8"),
  ask("a JSON dialect", "POST", "/api/v2/tenants", '{"name":"dialect"}', "application/vnd.x+json"),
];

const tenants = [
  ask("create tenant", "POST", "/api/v2/tenants", '{"name":"acme"}'),
  ask("create tenant again", "POST", "/api/v2/tenants", '{"name":"acme"}'),
  ask("create tenant, short name", "POST", "/api/v2/tenants", '{"name":"a"}'),
  ask("create tenant without name", "POST", "/api/v2/tenants", "{}"),
  ask("create tenant, no JSON", "POST", "/api/v2/tenants", "{"),
  ask("create tenant, empty body", "POST", "/api/v2/tenants", ""),
  ask("create tenant, unknown field", "POST", "/api/v2/tenants", '{"name":"extra","more":1}'),
  ask("get tenant", "GET", "/api/v2/tenants/acme"),
  ask("get unknown tenant", "GET", "/api/v2/tenants/nobody"),
  ask("create database", "POST", "/api/v2/tenants/acme/databases", '{"name":"zebra"}'),
  ask("create another database", "POST", "/api/v2/tenants/acme/databases", '{"name":"apple"}'),
  ask("create database again", "POST", "/api/v2/tenants/acme/databases", '{"name":"zebra"}'),
  ask("create database, short name", "POST", "/api/v2/tenants/acme/databases", '{"name":"z"}'),
  ask("create database, odd name", "POST", "/api/v2/tenants/acme/databases", '{"name":"z/../z"}'),
  ask("create database of nobody", "POST", "/api/v2/tenants/nobody2/databases", '{"name":"theirs"}'),
  ask("list databases", "GET", "/api/v2/tenants/acme/databases"),
  ask("list databases, a page", "GET", "/api/v2/tenants/acme/databases?limit=1&offset=1"),
  ask("list databases, none", "GET", "/api/v2/tenants/acme/databases?limit=0"),
  ask("list databases, bad limit", "GET", "/api/v2/tenants/acme/databases?limit=-1"),
  ask("list databases, text as offset", "GET", "/api/v2/tenants/acme/databases?offset=x"),
  ask("list databases of nobody", "GET", "/api/v2/tenants/nobody/databases"),
  ask("get database", "GET", "/api/v2/tenants/acme/databases/apple"),
  ask("get unknown database", "GET", "/api/v2/tenants/acme/databases/nope"),
  ask("get database, short name", "GET", "/api/v2/tenants/acme/databases/a"),
  ask("delete database", "DELETE", "/api/v2/tenants/acme/databases/apple"),
  ask("delete it again", "DELETE", "/api/v2/tenants/acme/databases/apple"),
];

const EF = '{"type":"known","name":"x","config":{"t":1.0,"u":9007199254740993,"s":"1.0"}}';
const collections = [
  ask("create collection", "POST", C, '{"name":"plain"}'),
  ask(
    "create with metadata",
    "POST",
    C,
    '{"name":"meta","metadata":{"i":1,"f":1.0,"big":9223372036854775807,"s":"x","b":true}}',
  ),
  ask(
    "create with configuration",
    "POST",
    C,
    `{"name":"config","configuration":{"hnsw":{"space":"cosine","ef_search":7},"embedding_function":${EF}}}`,
  ),
  ask("create with spann", "POST", C, '{"name":"spann","configuration":{"spann":{"space":"ip","search_nprobe":8}}}'),
  ask("create with legacy metadata", "POST", C, '{"name":"legacy","metadata":{"hnsw:space":"ip","hnsw:M":8}}'),
  ask("create again", "POST", C, '{"name":"plain"}'),
  ask("get or create", "POST", C, '{"name":"meta","get_or_create":true,"metadata":{"other":1}}'),
  ask("create, short name", "POST", C, '{"name":"a"}'),
  ask("create, two periods", "POST", C, '{"name":"a..b"}'),
  ask("create, an address", "POST", C, '{"name":"127.0.0.1"}'),
  ask("create without name", "POST", C, "{}"),
  ask("create, no object", "POST", C, "[]"),
  ask("create, unknown hnsw field", "POST", C, '{"name":"bad","configuration":{"hnsw":{"zz":1}}}'),
  ask("create, unknown space", "POST", C, '{"name":"bad","configuration":{"hnsw":{"space":"zz"}}}'),
  ask("create, wrong type of ef", "POST", C, '{"name":"bad","configuration":{"hnsw":{"ef_search":"1"}}}'),
  ask("create, both indexes", "POST", C, '{"name":"bad","configuration":{"hnsw":{},"spann":{}}}'),
  ask(
    "create, both indexes with spaces",
    "POST",
    C,
    '{"name":"bad","configuration":{"hnsw":{"space":"l2"},"spann":{"space":"l2"}}}',
  ),
  ask("create, empty metadata", "POST", C, '{"name":"bad","metadata":{}}'),
  ask("create, null in metadata", "POST", C, '{"name":"bad","metadata":{"a":null}}'),
  ask("create, reserved key", "POST", C, '{"name":"bad","metadata":{"#a":1}}'),
  ask("create, dollar key", "POST", C, '{"name":"bad","metadata":{"$a":1}}'),
  ask("create, empty key", "POST", C, '{"name":"bad","metadata":{"":1}}'),
  ask("create, bad legacy space", "POST", C, '{"name":"bad","metadata":{"hnsw:space":"zz"}}'),
  ask("create, unknown legacy key", "POST", C, '{"name":"bad","metadata":{"hnsw:zz":1}}'),
  ask("create, name and metadata bad", "POST", C, '{"name":"b","metadata":{"#a":1}}'),
  ask(
    "create in unknown database",
    "POST",
    "/api/v2/tenants/default_tenant/databases/nope/collections",
    '{"name":"abc"}',
  ),
  ask("create in short database", "POST", "/api/v2/tenants/default_tenant/databases/n/collections", '{"name":"abc"}'),
  ask(
    "create with schema and configuration",
    "POST",
    C,
    '{"name":"bad","configuration":{"hnsw":{"ef_search":7}},"schema":{"defaults":{},"keys":{"k":{"string":{"string_inverted_index":{"enabled":false,"config":{}}}}}}}',
  ),
  ask(
    "create with sparse index",
    "POST",
    C,
    '{"name":"bad","schema":{"defaults":{},"keys":{"k":{"sparse_vector":{"sparse_vector_index":{"enabled":true,"config":{}}}}}}}',
  ),
  ask("create with schema without keys", "POST", C, '{"name":"bad","schema":{"defaults":{}}}'),
  ask(
    "create with schema",
    "POST",
    C,
    '{"name":"schema","schema":{"defaults":{},"keys":{"k":{"string":{"string_inverted_index":{"enabled":false,"config":{}}}}}}}',
  ),
  ask("get", "GET", `${C}/meta`),
  ask("get configured", "GET", `${C}/config`),
  ask("get unknown", "GET", `${C}/nope`),
  ask("get in unknown database", "GET", "/api/v2/tenants/default_tenant/databases/nope/collections/abc"),
  ask("get by id of none", "GET", `${C}/by-id/11111111-1111-4111-8111-111111111111`),
  ask("get by id, no id", "GET", `${C}/by-id/zzz`),
  ask("list in unknown database", "GET", "/api/v2/tenants/default_tenant/databases/nope/collections"),
  ask("list none", "GET", `${C}?limit=0`),
  ask("list, bad limit", "GET", `${C}?limit=-1`),
  ask("list, text as limit", "GET", `${C}?limit=x`),
  ask("list, bad offset", "GET", `${C}?offset=1.5`),
  ask("count", "GET", `${DB}/collections_count`),
  ask("count in unknown database", "GET", "/api/v2/tenants/default_tenant/databases/nope/collections_count"),
  ask("delete", "DELETE", `${C}/plain`),
  ask("delete again", "DELETE", `${C}/plain`),
];

const records = [
  ask("create records", "POST", C, '{"name":"records","metadata":{"a":1}}'),
  ask("query before any", "POST", `${R}/query`, '{"query_embeddings":[[1,2,3],[1,2,3]]}'),
  ask("add nothing", "POST", `${R}/add`, '{"ids":[],"embeddings":[]}'),
  ask(
    "add",
    "POST",
    `${R}/add`,
    '{"ids":["a","b","c"],"embeddings":[[1,2.5],[0.1,1e-3],[3,4]],"metadatas":[{"z":1,"y":1.0,"big":-9223372036854775808},null,{"tags":["x","y"],"n":[1,2.5]}],"documents":["x é",null,"steel"],"uris":[null,"u",null]}',
  ),
  ask("get", "POST", `${R}/get`, "{}"),
  ask("get all columns", "POST", `${R}/get`, '{"include":["uris","metadatas","embeddings","documents","distances"]}'),
  ask("get nothing but ids", "POST", `${R}/get`, '{"include":[]}'),
  ask("get, null include", "POST", `${R}/get`, '{"include":null}'),
  ask("get, unknown include", "POST", `${R}/get`, '{"include":["x"]}'),
  ask("get ids", "POST", `${R}/get`, '{"ids":["c","zz","a"],"include":[]}'),
  ask("get no ids", "POST", `${R}/get`, '{"ids":[],"include":[]}'),
  ask("get a page", "POST", `${R}/get`, '{"limit":1,"offset":1,"include":[]}'),
  ask("get nothing", "POST", `${R}/get`, '{"limit":0,"include":[]}'),
  ask("get, negative limit", "POST", `${R}/get`, '{"limit":-1}'),
  ask("get, empty where", "POST", `${R}/get`, '{"where":{}}'),
  ask("get, where of two keys", "POST", `${R}/get`, '{"where":{"a":1,"b":1}}'),
  ask("get, unknown operator", "POST", `${R}/get`, '{"where":{"a":{"$like":1}}}'),
  ask("get, mixed list", "POST", `${R}/get`, '{"where":{"a":{"$in":[1,"a"]}}}'),
  ask("get, float among integers", "POST", `${R}/get`, '{"where":{"a":{"$in":[1,1.5]}}}'),
  ask("get, empty list", "POST", `${R}/get`, '{"where":{"a":{"$in":[]}}}'),
  ask("get, comparison with text", "POST", `${R}/get`, '{"where":{"a":{"$gt":"x"}}}'),
  ask("get, empty and", "POST", `${R}/get`, '{"where":{"$and":[]},"include":[]}'),
  ask("get, empty or", "POST", `${R}/get`, '{"where":{"$or":[]},"include":[]}'),
  ask("get, not equal", "POST", `${R}/get`, '{"where":{"z":{"$ne":1}},"include":[]}'),
  ask("get, integer as float", "POST", `${R}/get`, '{"where":{"z":1.0},"include":[]}'),
  ask("get, in an array", "POST", `${R}/get`, '{"where":{"tags":{"$contains":"x"}},"include":[]}'),
  ask("get, huge integer", "POST", `${R}/get`, '{"where":{"a":18446744073709551615}}'),
  ask("get, regex on a key", "POST", `${R}/get`, '{"where":{"a":{"$regex":"x"}}}'),
  ask("get, document by value", "POST", `${R}/get`, '{"where":{"#document":"a"}}'),
  ask("get, document contains", "POST", `${R}/get`, '{"where":{"#document":{"$contains":"st"}},"include":[]}'),
  ask("get, where_document", "POST", `${R}/get`, '{"where_document":{"$contains":"é"},"include":[]}'),
  ask("get, not contains", "POST", `${R}/get`, '{"where_document":{"$not_contains":"steel"},"include":[]}'),
  ask("get, regex", "POST", `${R}/get`, '{"where_document":{"$regex":"^st.*l$"},"include":[]}'),
  ask("get, byte regex", "POST", `${R}/get`, '{"where_document":{"$regex":"(?-u:.)"}}'),
  ask("get, empty where_document", "POST", `${R}/get`, '{"where_document":{}}'),
  ask("get, matches", "POST", `${R}/get`, '{"where_document":{"$matches":"x"}}'),
  ask("get, unknown field", "POST", `${R}/get`, '{"more":1,"ids":[],"include":[]}'),
  ask("get, no object", "POST", `${R}/get`, "3"),
  ask("get, no JSON", "POST", `${R}/get`, "{"),
  ask("get, empty body", "POST", `${R}/get`, ""),
  ask("get without content type", "POST", `${R}/get`, '{"include":[]}', null),
  ask("query", "POST", `${R}/query`, '{"query_embeddings":[[1,2]]}'),
  ask(
    "query all columns",
    "POST",
    `${R}/query`,
    '{"query_embeddings":[[1,2],[3,4]],"n_results":2,"include":["distances","embeddings","uris","documents","metadatas"]}',
  ),
  ask("query nothing but ids", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"include":[]}'),
  ask("query no vectors", "POST", `${R}/query`, '{"query_embeddings":[]}'),
  ask("query without vectors", "POST", `${R}/query`, "{}"),
  ask("query, null vectors", "POST", `${R}/query`, '{"query_embeddings":null}'),
  ask("query, flat vector", "POST", `${R}/query`, '{"query_embeddings":[1,2]}'),
  ask("query, empty vector", "POST", `${R}/query`, '{"query_embeddings":[[]]}'),
  ask("query, one empty vector", "POST", `${R}/query`, '{"query_embeddings":[[1,2],[]]}'),
  ask("query, dimensions differ", "POST", `${R}/query`, '{"query_embeddings":[[1,2],[1,2,3]]}'),
  ask("query, wrong dimension", "POST", `${R}/query`, '{"query_embeddings":[[1,2,3]]}'),
  ask("query, base64", "POST", `${R}/query`, '{"query_embeddings":["AACAPwAAAEA="]}'),
  ask("query, text as number", "POST", `${R}/query`, '{"query_embeddings":[["a",2]]}'),
  ask("query for none", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"n_results":0,"include":[]}'),
  ask("query for many", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"n_results":100,"include":[]}'),
  ask("query for less than none", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"n_results":-1}'),
  ask("query for half a result", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"n_results":1.5}'),
  ask("query among ids", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"ids":["b","c"],"include":[]}'),
  ask("query among no ids", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"ids":[],"include":[]}'),
  ask("query among unknown ids", "POST", `${R}/query`, '{"query_embeddings":[[1,2]],"ids":["a","zz"],"include":[]}'),
  ask(
    "query among unknown ids with where",
    "POST",
    `${R}/query`,
    '{"query_embeddings":[[1,2]],"ids":["a","zz"],"where":{"z":1},"include":[]}',
  ),
  ask(
    "query where nothing matches",
    "POST",
    `${R}/query`,
    '{"query_embeddings":[[1,2]],"where":{"z":7},"include":["distances"]}',
  ),
  ask("query, page in the address", "POST", `${R}/query?limit=1&offset=0`, '{"query_embeddings":[[1,2]],"include":[]}'),
  ask("query, infinity by overflow", "POST", `${R}/query`, '{"query_embeddings":[[1e39,2]],"include":["distances"]}'),
  ask("count", "GET", `${R}/count`),
  ask("count with read level", "GET", `${R}/count?read_level=index_and_wal`),
  ask("add known id", "POST", `${R}/add`, '{"ids":["a"],"embeddings":[[9,9]],"documents":["other"]}'),
  ask("add, base64", "POST", `${R}/add`, '{"ids":["d"],"embeddings":["AACAPwAAAEA="]}'),
  ask("add, text for numbers", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[["a"]]}'),
  ask("add, empty vector", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[]]}'),
  ask("add, more vectors than ids", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,2],[1,2]]}'),
  ask("add, more ids than vectors", "POST", `${R}/add`, '{"ids":["e","f"],"embeddings":[[1,2]]}'),
  ask("add, fewer documents", "POST", `${R}/add`, '{"ids":["e","f"],"embeddings":[[1,2],[1,2]],"documents":["x"]}'),
  ask("add, dimensions differ", "POST", `${R}/add`, '{"ids":["e","f"],"embeddings":[[1,2],[1]]}'),
  ask("add, wrong dimension", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,2,3]]}'),
  ask("add, bad base64", "POST", `${R}/add`, '{"ids":["e"],"embeddings":["AAA"]}'),
  ask("add, odd bytes", "POST", `${R}/add`, '{"ids":["e"],"embeddings":["AAAA"]}'),
  ask("add, NaN", "POST", `${R}/add`, '{"ids":["e"],"embeddings":["AADAfwAAwH8="]}'),
  ask(
    "add, infinity in the second",
    "POST",
    `${R}/add`,
    '{"ids":["e","f"],"embeddings":["AACAPwAAAEA=","AACAPwAAgH8="]}',
  ),
  ask("add, mixed forms", "POST", `${R}/add`, '{"ids":["e","f"],"embeddings":["AACAPwAAAEA=",[1,2]]}'),
  ask("add, too large for f32", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,1e39]]}'),
  ask("add, empty id", "POST", `${R}/add`, '{"ids":[""],"embeddings":[[1,1]]}'),
  ask("add, null in metadata", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,1]],"metadatas":[{"a":null}]}'),
  ask("add, reserved key", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,1]],"metadatas":[{"#a":1}]}'),
  ask("add, empty key", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,1]],"metadatas":[{"":1}]}'),
  ask(
    "add, sparse vector",
    "POST",
    `${R}/add`,
    '{"ids":["e"],"embeddings":[[1,1]],"metadatas":[{"s":{"#type":"sparse_vector","indices":[1],"values":[1.0]}}]}',
  ),
  ask("add, nested metadata", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,1]],"metadatas":[{"s":{"x":1}}]}'),
  ask("add, mixed array", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[[1,1]],"metadatas":[{"s":[1,"x"]}]}'),
  ask("add, null vector", "POST", `${R}/add`, '{"ids":["e"],"embeddings":[null]}'),
  ask("add without vectors", "POST", `${R}/add`, '{"ids":["e"]}'),
  ask("add, text as ids", "POST", `${R}/add`, '{"ids":"e","embeddings":[[1,2]]}'),
  ask("add without ids", "POST", `${R}/add`, '{"embeddings":[[1,2]]}'),
  ask("add, no JSON", "POST", `${R}/add`, '{"ids":["e"'),
  ask("add, empty metadata", "POST", `${R}/add`, '{"ids":["g"],"embeddings":[[7,7]],"metadatas":[{}]}'),
  ask(
    "add, equal ids",
    "POST",
    `${R}/add`,
    '{"ids":["h","h"],"embeddings":[[7,7],[8,8]],"documents":["first","second"]}',
  ),
  ask("get equal ids", "POST", `${R}/get`, '{"ids":["g","h"],"include":["documents","metadatas","embeddings"]}'),
  ask(
    "update",
    "POST",
    `${R}/update`,
    '{"ids":["a"],"embeddings":[null],"documents":["new"],"metadatas":[{"z":null,"w":2}]}',
  ),
  ask("update some vectors", "POST", `${R}/update`, '{"ids":["a","b"],"embeddings":[null,[5,6]]}'),
  ask("get updated", "POST", `${R}/get`, '{"ids":["a","b"],"include":["documents","metadatas","embeddings"]}'),
  ask("update unknown id", "POST", `${R}/update`, '{"ids":["zz"],"documents":["x"]}'),
  ask("update nothing", "POST", `${R}/update`, '{"ids":[]}'),
  ask(
    "update, sparse vector",
    "POST",
    `${R}/update`,
    '{"ids":["a"],"metadatas":[{"s":{"#type":"sparse_vector","indices":[1],"values":[1.0]}}]}',
  ),
  ask("update, wrong dimension", "POST", `${R}/update`, '{"ids":["a"],"embeddings":[[1,2,3]]}'),
  ask("upsert", "POST", `${R}/upsert`, '{"ids":["a","n"],"embeddings":[[1,2],[3,4]],"documents":[null,"fresh"]}'),
  ask("upsert, null vector", "POST", `${R}/upsert`, '{"ids":["a"],"embeddings":[null]}'),
  ask("upsert without vectors", "POST", `${R}/upsert`, '{"ids":["a"],"documents":["x"]}'),
  ask("get upserted", "POST", `${R}/get`, '{"ids":["a","n"],"include":["documents","metadatas","embeddings"]}'),
  ask("delete no ids", "POST", `${R}/delete`, '{"ids":[]}'),
  ask("delete nothing", "POST", `${R}/delete`, "{}"),
  ask("delete, limit alone", "POST", `${R}/delete`, '{"limit":3}'),
  ask("delete, limit with ids", "POST", `${R}/delete`, '{"ids":["a"],"limit":3}'),
  ask("delete, empty where", "POST", `${R}/delete`, '{"where":{}}'),
  ask("delete where", "POST", `${R}/delete`, '{"where":{"w":2},"limit":5}'),
  ask("delete where, none", "POST", `${R}/delete`, '{"where_document":{"$contains":"steel"},"limit":0}'),
  ask("delete ids", "POST", `${R}/delete`, '{"ids":["b","b","zz"]}'),
  ask("get the rest", "POST", `${R}/get`, '{"include":[]}'),
  ask("search", "POST", `${R}/search`, '{"searches":[{}]}'),
  ask("fork", "POST", `${R}/fork`, '{"new_name":"forked"}'),
  ask("fork count", "GET", `${R}/fork_count`),
  ask("indexing status", "GET", `${R}/indexing_status`),
  ask(
    "attach function",
    "POST",
    `${R}/functions/attach`,
    '{"name":"f","function_id":"x","output_collection":"yyy","params":{}}',
  ),
  ask("get function", "GET", `${R}/functions/f`),
  ask("detach function", "POST", `${R}/attached_functions/f/detach`, '{"delete_output":false}'),
  ask("unknown collection", "GET", `${UNKNOWN}/count`),
  ask("get from unknown collection", "POST", `${UNKNOWN}/get`, "{}"),
  ask("add to unknown collection", "POST", `${UNKNOWN}/add`, '{"ids":["a"],"embeddings":[[1]]}'),
  ask("no uuid", "GET", `${C}/zz/count`),
  ask("query, no uuid", "POST", `${C}/zz/query`, '{"query_embeddings":[[1]]}'),
  ask("query, no uuid and no JSON", "POST", `${C}/zz/query`, "{"),
  ask("get from unknown collection, bad where", "POST", `${UNKNOWN}/get`, '{"where":{}}'),
  ask("add after disabled", "POST", `${R}/get`, '{"where":{"k":"v"},"include":[]}'),
];

const changes = [
  ask("modify, no uuid", "PUT", `${C}/zz`, '{"new_metadata":{"a":1}}'),
  ask("modify unknown", "PUT", UNKNOWN, '{"new_metadata":{"a":1}}'),
  ask("modify nothing", "PUT", R, "{}"),
  ask("modify metadata", "PUT", R, '{"new_metadata":{"f":2.0,"n":null}}'),
  ask("modify, all null", "PUT", R, '{"new_metadata":{"f":null}}'),
  ask("modify, empty metadata", "PUT", R, '{"new_metadata":{}}'),
  ask("modify, reserved key", "PUT", R, '{"new_metadata":{"#a":1}}'),
  ask("modify, short name", "PUT", R, '{"new_name":"a"}'),
  ask("modify, taken name", "PUT", R, '{"new_name":"meta"}'),
  ask("modify, same name", "PUT", R, '{"new_name":"records"}'),
  ask("modify space", "PUT", R, '{"new_configuration":{"hnsw":{"space":"l2"}}}'),
  ask("modify ef", "PUT", R, '{"new_configuration":{"hnsw":{"ef_search":7,"num_threads":2}}}'),
  ask("modify spann", "PUT", R, '{"new_configuration":{"spann":{"search_nprobe":7}}}'),
  ask("modify embedding function", "PUT", R, `{"new_configuration":{"embedding_function":${EF}}}`),
  ask("modify, wrong shape", "PUT", R, '{"new_configuration":3}'),
  ask("get modified", "GET", `${C}/records`),
];

/** All requests, in the order in which they are asked. */
export const corpus = [...system, ...tenants, ...collections, ...records, ...changes];

/** Puts names in the place of what differs from server to server: ids, and the number of processors. */
function normalize(text) {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g, (id) =>
      id.startsWith("11111111-") ? id : "{uuid}",
    )
    .replace(/"num_threads":\d+/g, '"num_threads":0');
}

/**
 * Asks a server everything.
 *
 * @param {(url: string, init: RequestInit) => Promise<Response>} ask - As `fetch`.
 * @param {string} origin - Where the server is.
 * @returns The answers by the names of their requests.
 */
export async function askAll(ask, origin) {
  const answers = {};
  let id = "";
  for (const { name, method, path, body, contentType } of corpus) {
    if (path.includes("{id}") && id === "") {
      id = (await (await ask(`${origin}${C}/records`, {})).json()).id;
    }
    const headers = contentType !== null && body !== undefined ? { "content-type": contentType } : {};
    const bytes = body === undefined ? undefined : new TextEncoder().encode(body);
    const response = await ask(origin + path.replace("{id}", id), { method, headers, body: bytes });
    const text = normalize(await response.text());
    const key = `${method} ${path.split("/").at(-1)}: ${name}`;
    if (key in answers) throw new Error(`two requests are called ${key}`);
    answers[key] = {
      status: response.status,
      type: response.headers.get("content-type"),
      trace: response.headers.has("chroma-trace-id"),
      allow: response.headers.get("allow"),
      text,
    };
  }
  return answers;
}

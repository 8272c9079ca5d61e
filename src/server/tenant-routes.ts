import { refusalOf } from "../errors.js";
import { validateName } from "../names.js";
import { parseFailure } from "../native.js";
import { HttpError } from "./http-error.js";
import { DONE, pageOf, pathParameter, type Route, type Service } from "./route.js";

/** Routes about tenants and their databases. */
export function tenantRoutes({ handle, bodies }: Service): Route[] {
  const tag = "Tenants and databases" as const;
  const databases = "/api/v2/tenants/:tenant/databases";
  return [
    {
      tag,
      method: "POST",
      path: "/api/v2/tenants",
      summary: "Creates a tenant.",
      body: "Named",
      writes: true,
      global: true,
      handle: (c) =>
        bodies.with(c, async (body) => {
          const name = body.name();
          if ([...name].length < 3) {
            const fault = `length [{"value": String(${JSON.stringify(name)}), "min": Number(3)}]`;
            throw new HttpError(400, `Validation error: name: Validation error: ${fault}`);
          }
          await (await handle.open()).createTenant(name);
          return DONE;
        }),
    },
    {
      tag,
      method: "GET",
      path: "/api/v2/tenants/:tenant",
      summary: "A tenant.",
      reply: "Tenant",
      async handle(c) {
        const name = pathParameter(c, "tenant");
        await (await handle.open()).getTenant(name);
        return { body: JSON.stringify({ name, resource_name: null }) };
      },
    },
    {
      tag,
      method: "PATCH",
      path: "/api/v2/tenants/:tenant",
      summary: "Does nothing: resource names are Chroma Cloud's.",
      writes: true,
      handle: (c) => bodies.with(c, () => DONE),
    },
    {
      tag,
      method: "GET",
      path: databases,
      summary: "The databases of a tenant, by name; none for an unknown tenant.",
      query: ["limit", "offset"],
      reply: "Databases",
      async handle(c) {
        const { limit, offset } = pageOf(c);
        return { body: await (await handle.open()).listDatabases(pathParameter(c, "tenant"), limit, offset) };
      },
    },
    {
      tag,
      method: "POST",
      path: databases,
      summary: "Creates a database. The tenant need not exist.",
      body: "Named",
      writes: true,
      handle: (c) =>
        bodies.with(c, async (body) => {
          const name = body.name();
          checkDatabaseName(name);
          await (await handle.open()).createDatabase(pathParameter(c, "tenant"), name);
          return DONE;
        }),
    },
    {
      tag,
      method: "GET",
      path: `${databases}/:database`,
      summary: "A database.",
      reply: "Database",
      async handle(c) {
        const name = pathParameter(c, "database");
        return { body: await (await handle.open()).getDatabase(pathParameter(c, "tenant"), name) };
      },
    },
    {
      tag,
      method: "DELETE",
      path: `${databases}/:database`,
      summary: "Deletes a database with its collections.",
      writes: true,
      async handle(c) {
        const name = pathParameter(c, "database");
        try {
          await (await handle.open()).deleteDatabase(pathParameter(c, "tenant"), name);
        } catch (error) {
          if (parseFailure(error)?.code !== "NOT_FOUND") throw error;
          throw new HttpError(404, `Database [${name}] not found`);
        }
        return DONE;
      },
    },
  ];
}

function checkDatabaseName(name: string): void {
  try {
    validateName(name, "databases");
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    // Chroma says it here without naming the field.
    throw new HttpError(400, refusal.message.replace("Validation error: name: ", ""));
  }
}

import type { OpenApi, Operation } from "./openapi.js";

/** The page needs nothing but itself, and no script runs on it. */
export const DOCS_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
};

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
details { border-bottom: 1px solid #8884; padding: .35rem 0 }
summary { cursor: pointer }
code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { background: #8881; padding: .6rem; overflow-x: auto; border-radius: 4px }
.method { display: inline-block; width: 4.2rem; font-weight: 600 }
`;

/** The description of the API as a page for people. */
export function docsPage(api: OpenApi): string {
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const tags = [...new Set(operations.flatMap(({ operation }) => operation.tags))];
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(tag));
    return `<h2>${escapeHtml(tag)}</h2>\n${own.map(({ method, path, operation }) => details(method, path, operation)).join("\n")}`;
  });
  const schemas = Object.entries(api.components.schemas).map(
    ([name, schema]) =>
      `<details id="${escapeHtml(name)}"><summary><code>${escapeHtml(name)}</code></summary>${code(schema)}</details>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(api.info.title)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(api.info.title)} ${escapeHtml(api.info.version)}</h1>
<p>${escapeHtml(api.info.description)} <a href="/openapi.json">openapi.json</a></p>
${sections.join("\n")}
<h2>Schemas</h2>
${schemas.join("\n")}
</body></html>
`;
}

function details(method: string, path: string, { summary, parameters, requestBody, responses }: Operation): string {
  const given = parameters
    .map(({ name, in: place }) => `<code>${escapeHtml(name)}</code> (${escapeHtml(place)})`)
    .join(", ");
  return `<details><summary><span class="method">${method}</span> <code>${escapeHtml(path)}</code> ${escapeHtml(summary)}</summary>
${given && `<p>Parameters: ${given}</p>`}${requestBody ? `<p>Body</p>${code(requestBody)}` : ""}<p>Replies</p>${code(responses)}</details>`;
}

function code(value: unknown): string {
  return `<pre>${escapeHtml(JSON.stringify(value, null, 2))}</pre>`;
}

function escapeHtml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

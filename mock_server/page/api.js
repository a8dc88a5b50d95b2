// Calls of the control surface.

/** The mock could not be reached; another cause of failure is an Error with the mock's own sentence. */
export class Gone extends Error {}

async function ask(method, path, body) {
  let response, data;
  try {
    response = await fetch(`/_mock/${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(20_000),
    });
    data = await response.json();
  } catch (cause) {
    throw new Gone("the mock does not answer", { cause });
  }
  if (!response.ok) throw new Error(data.error ?? `the mock answers ${response.status}`);
  return data;
}

export const get = (path, query = {}) => {
  const said = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(said).toString();
  return ask("GET", text ? `${path}?${text}` : path);
};
export const post = (path, body) => ask("POST", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);

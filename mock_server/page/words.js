// Times, money and states as people read them.

const HOURS_8 = 8 * 3600;
const SIGNS = { CNY: "¥", USD: "$" };

export const STATES = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"];
export const GLYPHS = { PENDING: "○", RUNNING: "◐", SUCCEEDED: "●", FAILED: "✕", CANCELED: "⊘" };

/** Date and time in UTC+8, as the service says them. */
export function dateTime(epoch) {
  return new Date((epoch + HOURS_8) * 1000).toISOString().slice(0, 19).replace("T", " ");
}

export function timeOfDay(epoch) {
  return dateTime(epoch).slice(11);
}

/** 4 s · 3 min 05 s · 2 h 10 min · 3 d 4 h */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const two = (value) => String(value).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** The same where there is little room: 4 s · 3:05 min · 2:10 h · 3 d 4 h */
export function short(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const two = (value) => String(value).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)} h` : duration(s);
}

export function money(amount, currency) {
  const [whole, part = ""] = amount.split(".");
  return `${SIGNS[currency] ?? `${currency} `}${whole}.${part.replace(/0+$/, "").padEnd(2, "0")}`;
}

/** When a signed link dies, in epoch seconds. */
export function deathOf(link) {
  return Number(new URL(link).searchParams.get("Expires"));
}

/** The same file by the same signature, on the control surface: to look at it is no client's download. */
export function lookAt(link) {
  const url = new URL(link);
  return url.pathname.replace("/_results/", "/_mock/files/") + url.search;
}

export function isVideo(link) {
  return new URL(link).pathname.endsWith(".mp4");
}

/** The language to set a text in: Chinese letters have shapes of their own. */
export function languageOf(text) {
  return /\p{Script=Han}/u.test(text) ? "zh-Hans" : null;
}

/** JSON for reading; very long texts in it (whole files as data) are cut. */
export function pretty(value) {
  const cut = (_, each) => (typeof each === "string" && each.length > 2000 ? `${each.slice(0, 200)}… (${each.length} letters)` : each);
  return JSON.stringify(value, cut, 2);
}

/** What each fault does, in a line; rows of the catalogue speak for themselves. */
export const FAULTS = {
  lost: "what was asked for is done, and the answer never comes: the connection is closed",
  lost_hang: "the task is made; its answer hangs until the client gives up",
  lost_500: "the task is made; the answer says 500",
  lost_502: "the task is made; the answer is a gateway's page",
  lost_truncate: "the task is made; its answer is cut in the middle",
  lost_garbage: "the task is made; its answer is bytes that are nothing",
  drop: "nothing is done, and the connection is closed",
  reset: "nothing is done, and the connection is torn down",
  hang: "nothing is done, and no answer comes",
  slow: "the answer comes at a snail's pace",
  garbage: "bytes that are nothing, in place of the answer",
  truncate: "the answer ends in its middle",
  429: "refused: too many requests",
  500: "the service says 500",
  502: "a gateway's page: Bad Gateway",
  503: "a gateway's page: Service Unavailable",
  504: "a gateway's page: Gateway Time-out",
  down: "nobody listens for a second",
  delay: "the true answer, later; of a task: it takes longer",
  unknown: "a known task is said to be UNKNOWN",
  empty: "a list without a row",
  lag: "tasks of the last minute are not listed yet",
  race: "the cancellation is acknowledged, and the task runs on",
  403: "refused, as a link that has expired is",
  404: "the file is said not to be there",
  partial: "of several pictures the last fails",
  moderated: "the output is refused on content",
  stuck: "the task runs until the service gives it up",
};

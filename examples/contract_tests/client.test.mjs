// Contract tests of a client in Node, with nothing but Node itself:
//
//   node --test examples/contract_tests/client.test.mjs
//
// A mock is started for the run (WANSPEC says how, if `wanspec` is not on the path), or MOCK_URL names one that runs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

let mock, url;

before(async () => {
  url = process.env.MOCK_URL;
  if (url) return;
  const [command, ...first] = (process.env.WANSPEC ?? "wanspec").split(" ");
  const options = ["mock", "serve", "--port", "0", "--pending", "0:0.05", "--running", "0.05:0.1"];
  mock = spawn(command, [...first, ...options], { stdio: ["ignore", "pipe", "ignore"] });
  url = await new Promise((found, failed) => {
    mock.once("error", failed);
    mock.once("exit", (code) => failed(new Error(`the mock ended with ${code}`)));
    mock.stdout.once("data", (line) => found(String(line).trim().replace(/\/api\/v1$/, "")));
  });
});
after(() => mock?.kill("SIGTERM"));
beforeEach(async () => {
  await control("PUT", "scenario", { faults: [] });
  await control("POST", "reset");
});

/** The mock's control surface. */
async function control(method, name, body) {
  const answer = await fetch(`${url}/_mock/${name}`, { method, body: body && JSON.stringify(body) });
  assert.equal(answer.status, 200, name);
  return answer.json();
}

/** The client: put your own in its place. */
async function call(method, path, body) {
  const headers = { Authorization: "Bearer sk-mock", "Content-Type": "application/json", "X-DashScope-Async": "enable" };
  const answer = await fetch(`${url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, ...(await answer.json()) };
}
const BODY = { model: "wan2.2-t2i-flash", input: { prompt: "a cat" }, parameters: { size: "512*512", n: 1 } };
const submit = () => call("POST", "/services/aigc/text2image/image-synthesis", BODY);
async function finished(id) {
  for (;;) {
    const { output } = await call("GET", `/tasks/${id}`);
    if (!["PENDING", "RUNNING"].includes(output.task_status)) return output;
    await pause(50);
  }
}

test("a picture is made, fetched and paid once", async () => {
  const created = await submit();
  assert.equal(created.output.task_status, "PENDING");
  const output = await finished(created.output.task_id);
  assert.equal(output.task_status, "SUCCEEDED");
  const picture = await fetch(output.results[0].url);
  assert.equal(picture.headers.get("content-type"), "image/png");
  assert.deepEqual([...new Uint8Array(await picture.arrayBuffer()).slice(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  const bill = await control("GET", "bill");
  assert.deepEqual([bill.tasks, bill.images, bill.money], [1, 1, { CNY: "0.14" }]);
});

test("a lost answer is found in the list and not paid twice", async () => {
  await control("PUT", "scenario", { faults: [{ on: "create", do: "lost" }] });
  await assert.rejects(submit());
  const { data } = await call("GET", "/tasks?page_no=1&page_size=10");
  assert.equal(data.length, 1);
  assert.equal((await finished(data[0].task_id)).task_status, "SUCCEEDED");
  assert.equal((await control("GET", "bill")).tasks, 1);
});

test("a refusal is an answer with a code, and makes no task", async () => {
  const answer = await call("POST", "/services/aigc/text2image/image-synthesis", { ...BODY, model: "no-such-model" });
  assert.deepEqual([answer.status, answer.code], [400, "InvalidParameter"]);
  assert.equal((await control("GET", "bill")).tasks, 0);
});

test("an id that nobody knows is UNKNOWN, not 404", async () => {
  const answer = await call("GET", "/tasks/1111");
  assert.deepEqual([answer.status, answer.output.task_status], [200, "UNKNOWN"]);
});

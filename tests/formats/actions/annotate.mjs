// Writes the annotations of stdin, [{"severity", "message", "properties"}], as the toolkit of GitHub Actions writes them.
import { error, warning } from "@actions/core";
import { readFileSync } from "node:fs";

for (const each of JSON.parse(readFileSync(0, "utf-8"))) {
  (each.severity === "error" ? error : warning)(each.message, each.properties);
}

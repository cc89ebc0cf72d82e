// The real program, on ports of its own, from files in a folder of its own.

import { createHmac, randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const ISSUER = "https://issuer.demo.example/";

/** Starts it. `files`: what lies in its folder, by name; `more`: further sections of the configuration. */
export async function start(files, more = "") {
  const folder = mkdtempSync(join(tmpdir(), "tagwarden-explore-"));
  const secret = randomBytes(48).toString("base64");
  const configuration = `version: 1
listen: {address: "127.0.0.1:0"}
metrics: {address: "127.0.0.1:0"}
upstream: {url: "http://127.0.0.1:9", dialect: feast}
auth: {issuers: [{issuer: "${ISSUER}", audiences: [features], algorithms: [HS256], keys: {secret_file: secret}}]}
policies: policy.yaml
${files["catalogue.yaml"] ? "catalogue: [catalogue.yaml]\n" : ""}${files["next.yaml"] ? "shadow: {policies: next.yaml}\n" : ""}audit: {log: audit.jsonl}
drain: {delay: 0ms, timeout: 2s}
${more || 'admin: {address: "127.0.0.1:0"}\n'}`;
  for (const [name, text] of Object.entries({ ...files, secret, "tagwarden.yaml": configuration })) {
    writeFileSync(join(folder, name), text);
  }
  const child = spawn(process.env.TAGWARDEN_BIN, ["serve", "--config", "tagwarden.yaml", "--log-format", "json"],
    { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const log = [];
  const ended = new Promise((done) => child.once("exit", done));
  const listening = new Promise((done, fail) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      let said = {};
      try {
        said = JSON.parse(line);
      } catch {
        // Mistakes in files are told as text.
      }
      if (said.message === "listening") done(said);
    });
    child.once("exit", (code) => fail(new Error(`it ended with ${code}:\n${log.join("\n")}`)));
    setTimeout(() => fail(new Error(`it does not listen:\n${log.join("\n")}`)), 240000).unref();
  });
  let at;
  try {
    at = await listening;
  } catch (error) {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    data: `http://${at.data}`,
    admin: `http://${at.admin}`,
    write: (name, text) => writeFileSync(join(folder, name), text),
    /** A token of this client. */
    token: (client) => {
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { iss: ISSUER, aud: "features", sub: client, client_id: client, exp: Math.floor(Date.now() / 1000) + 600 };
      const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
      return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** So many features: stored ones, and such as are computed from them; some of each tag. */
export function many(count) {
  const tags = ["", "", "", "pii", "internal", "cleared"];
  const names = [];
  const lines = ["version: 1", "features:"];
  for (let at = 0; at < count; at += 1) {
    const name = `team_${String(at % 500).padStart(3, "0")}:feature_${at}`;
    const parts = [];
    if (tags[at % 6]) parts.push(`tags: [${tags[at % 6]}]`);
    // One that is read by very many, and one that reads very many.
    if (at % 3 === 2) parts.push(`inputs: ["${names[at - 1]}", "${names[Math.floor(at / 2)]}", "${names[0]}"]`);
    if (at === count - 1) parts.splice(0, 2, `inputs: [${names.slice(0, 4000).map((one) => `"${one}"`).join(", ")}]`);
    lines.push(`  "${name}": {${parts.join(", ")}}`);
    names.push(name);
  }
  return {
    last: names.at(-1),
    "catalogue.yaml": `${lines.join("\n")}\n`,
    "policy.yaml": `version: 1
roles:
  analyst: {tags: {pii: Deny, internal: AllowInternal, cleared: AllowDownstream}}
  auditor: {tags: {internal: AllowInternal}}
bindings:
  - {roles: [analyst], when: {client_id: analyst}}
`,
    "next.yaml": `version: 1
roles:
  analyst: {tags: {pii: AllowInternal, internal: Deny, cleared: AllowDownstream}}
bindings:
  - {roles: [analyst], when: {client_id: analyst}}
`,
  };
}

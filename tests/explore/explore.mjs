// The explorer page in the system's Chromium: a real sidecar, a real policy, the keyboard, and what the browser says of it.
// Environment: TAGWARDEN_BIN the program, TAGWARDEN_MODULES the folder with node_modules; TAGWARDEN_BLESS=1 writes the
// pictures of docs/images.

import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { many, start } from "./sidecar.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { chromium } = createRequire(join(process.env.TAGWARDEN_MODULES, "package.json"))("playwright-core");
const pictures = mkdtempSync(join(tmpdir(), "tagwarden-pictures-"));
const read = (path) => readFileSync(join(root, path), "utf8");
const demo = { "policy.yaml": read("policies/demo/policy.yaml"), "catalogue.yaml": read("policies/demo/catalogue.yaml") };
// What a change under review could be: nothing of the income for scores, addresses for marketing.
demo["next.yaml"] = demo["policy.yaml"]
  .replace("pii: AllowInternal               # marketing", "pii: Allow               # marketing")
  .replace("class=financial: AllowInternal   # income", "class=financial: Deny   # income");
const LONGEST_TASK_MS = 1000;
const MOST_NODES = 4000;

const browser = await chromium.launch({
  executablePath: process.env.TAGWARDEN_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP rebound.example 127.0.0.1"],
});

/** A page of its own, which fails where anything is refused by its policy, thrown, or asked of another origin. */
async function open(sidecar, { look = "light", size = { width: 1360, height: 860 } } = {}) {
  const context = await browser.newContext({ colorScheme: look, viewport: size, locale: "en-GB", timezoneId: "UTC", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  const seen = { faults: [], requests: [] };
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (401|503)/.test(message.text())) seen.faults.push(message.text());
  });
  page.on("pageerror", (error) => seen.faults.push(String(error)));
  context.on("request", (request) => seen.requests.push(request));
  await page.addInitScript(() => {
    window.seen = { violations: [], tasks: [] };
    document.addEventListener("securitypolicyviolation", (event) => window.seen.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    new PerformanceObserver((list) => window.seen.tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask", buffered: true });
  });
  await page.goto(`${sidecar.admin}/explore`);
  return {
    page,
    row: (name) => page.getByRole("option").filter({ hasText: name }).first(),
    tab: (name) => page.getByRole("tab", { name }).click(),
    heading: (name) => page.locator("#detail h2", { hasText: name }).waitFor(),
    // The detail as it is when it is no longer waited for.
    detail: () => page.locator("#detail:not([aria-busy])"),
    async close() {
      const { violations, tasks } = await page.evaluate(() => window.seen);
      assert.deepEqual({ violations, faults: seen.faults }, { violations: [], faults: [] });
      const foreign = seen.requests.map((request) => request.url()).filter((url) => !url.startsWith(`${sidecar.admin}/explore`) && !url.startsWith("data:"));
      assert.deepEqual(foreign, []);
      const longest = Math.max(0, ...tasks);
      assert.ok(longest < LONGEST_TASK_MS, `a task of ${longest} ms`);
      await context.close();
      return { longest, requests: seen.requests };
    },
  };
}

const role = async (page, name) => {
  for (const remove of await page.locator("#roles .chips button").all()) await remove.click();
  await page.getByRole("combobox", { name: "Roles of the caller" }).fill(name);
  await page.locator("#roles .popup li").filter({ hasText: name }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.locator("#roles .chips li").filter({ hasText: name }).waitFor();
  await page.keyboard.press("Escape");
};

async function picture(page, name, part = page) {
  const path = join(pictures, `explore-${name}.png`);
  // The pointer would colour what is below it.
  await page.mouse.move(0, 0);
  await part.screenshot({ path, animations: "disabled", caret: "hide" });
  assert.ok(statSync(path).size < 200 << 10, `${name}: ${statSync(path).size} bytes`);
  if (process.env.TAGWARDEN_BLESS) {
    mkdirSync(join(root, "docs/images"), { recursive: true });
    copyFileSync(path, join(root, `docs/images/explore-${name}.png`));
  }
  assert.ok(existsSync(join(root, `docs/images/explore-${name}.png`)), "TAGWARDEN_BLESS=1 writes the pictures of the docs");
}

const cases = {
  async "the keyboard walks from the search to a feature and back"(sidecar) {
    const { page, heading, close } = await open(sidecar);
    await page.getByRole("option").first().waitFor();
    await role(page, "marketing");
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await page.keyboard.type("checkout score");
    await page.locator("[role=option]", { hasText: "checkout_risk:score" }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll("#panel-features [role=option]").length === 1);
    await page.keyboard.press("ArrowDown");
    const list = page.getByRole("listbox", { name: "Features" });
    assert.ok(await list.evaluate((box) => box === document.activeElement));
    const active = await list.getAttribute("aria-activedescendant");
    assert.equal(await page.locator(`#${active}`).getAttribute("aria-selected"), "true");
    await page.keyboard.press("Enter");
    await heading("checkout_risk:score");
    await page.waitForFunction(() => document.activeElement.id === "detail");
    assert.match(await page.locator("#detail").innerText(), /Deny[^]*Rule 4[^]*denied below: customer:income/);
    // Focus is seen.
    await page.keyboard.press("Escape");
    assert.notEqual(await list.evaluate((box) => getComputedStyle(box).outlineStyle), "none");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#search").inputValue(), "");
    await page.waitForFunction(() => document.querySelectorAll("#panel-features [role=option]").length > 10);
    // The tabs go by arrows.
    await page.getByRole("tab", { name: "Features" }).focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.getByRole("tab", { name: "Try a query" }).getAttribute("aria-selected"), "true");
    await page.keyboard.press("End");
    assert.equal(await page.getByRole("tab", { name: "Recent refusals" }).getAttribute("aria-selected"), "true");
    await close();
  },

  async "the lineage is a picture whose boxes open"(sidecar) {
    const { page, row, heading, close } = await open(sidecar);
    await row("checkout_risk:score").click();
    await heading("checkout_risk:score");
    const boxes = page.locator("#detail svg.lineage g.box");
    await boxes.first().waitFor();
    const labels = await boxes.evaluateAll((all) => all.map((box) => box.getAttribute("aria-label")));
    assert.ok(labels.length >= 5 && labels.some((label) => label.startsWith("customer:income: ")), labels.join("\n"));
    // None lies over another, and none is cut off by the picture.
    const overlaps = await boxes.evaluateAll((all) => {
      const places = all.map((box) => box.querySelector(".back").getBoundingClientRect());
      const frame = all[0].ownerSVGElement.getBoundingClientRect();
      const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      const out = places.filter((one) => one.left < frame.left - 1 || one.right > frame.right + 1 || one.top < frame.top - 1 || one.bottom > frame.bottom + 1);
      return places.filter((one, at) => places.some((other, to) => to < at && over(one, other))).length + out.length;
    });
    assert.equal(overlaps, 0);
    // A permission is a sign and a word besides its colour.
    assert.equal(await boxes.locator("svg.sign").count(), labels.length);
    await page.locator("#detail details.text summary").click();
    await page.waitForFunction((count) => document.querySelectorAll("#detail details.text tbody tr").length === count, labels.length);
    await page.locator("g.box", { has: page.locator("text", { hasText: "income" }) }).first().press("Enter");
    await heading("customer:income");
    await close();
  },

  async "the way from a score to what decided is drawn"(_) {
    const sidecar = await start({ "policy.yaml": read("tests/explore/fraud.yaml") });
    try {
      const { page, row, heading, close } = await open(sidecar, { size: { width: 1600, height: 1000 } });
      await row("fraud.score").click();
      await heading("fraud.score");
      const lines = page.locator("#detail svg.lineage g.line");
      await lines.first().waitFor();
      assert.equal(await page.locator("#detail svg.lineage g.box").count(), 17);
      // The score, what it reads, what that reads, and the number that nobody may compute with.
      assert.equal(await page.locator("#detail svg.lineage g.line.decides.deny").count(), 3);
      assert.ok(await page.locator("#detail svg.lineage g.line.join").count() >= 2);
      const outside = await page.locator("#detail g.box").evaluateAll((boxes) => boxes.flatMap((box) => {
        const right = box.querySelector(".back").getBoundingClientRect().right;
        return [...box.querySelectorAll("text")].filter((text) => text.getBoundingClientRect().right > right - 4).map((text) => text.textContent);
      }));
      assert.deepEqual(outside, []);
      await picture(page, "lineage", page.locator("#detail"));
      await close();
    } finally {
      await sidecar.stop();
    }
  },

  async "claims go through the bindings and their values are not shown"(sidecar) {
    const { page, close } = await open(sidecar);
    await page.getByRole("option").first().waitFor();
    await page.getByRole("button", { name: "Claims" }).click();
    await page.locator("#claims-text").fill("{\"iss\": 1,");
    await page.getByRole("button", { name: "Use these claims" }).click();
    await page.getByRole("alert").filter({ hasText: "no claims" }).waitFor();
    await page.locator("#claims-text").fill(JSON.stringify({ iss: "https://issuer.demo.example/", client_id: "fraud-svc", email: "somebody" }));
    await page.getByRole("button", { name: "Use these claims" }).click();
    await page.locator("#given").filter({ hasText: "fraud-model" }).waitFor();
    const said = await page.locator("#bindings").innerText();
    assert.match(said, /gives fraud-model/);
    assert.match(said, /client_id is not "marketing-web"/);
    assert.ok(!said.includes("somebody"));
    await page.locator("#claims-text").fill("{\"iss\": \"https://issuer.demo.example/\", \"client_id\": \"stranger\"}");
    await page.getByRole("button", { name: "Use these claims" }).click();
    await page.locator("#given").filter({ hasText: "no role" }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll("#panel-features [role=option] .badge:not(.deny)").length === 0);
    await close();
  },

  async "a query is tried as it would be decided"(sidecar) {
    const { page, row, heading, tab, close } = await open(sidecar);
    await row("customer:income").waitFor();
    await role(page, "fraud-model");
    await row("customer:income").click();
    await heading("customer:income");
    await page.getByRole("button", { name: "Ask for it in a query" }).click();
    const result = page.locator("#panel-query .detail");
    await result.locator(".banner.no").filter({ hasText: "customer:income" }).first().waitFor();
    await page.getByRole("combobox", { name: "Outputs" }).fill("checkout_risk:score");
    await page.getByRole("listbox", { name: "Outputs" }).getByText("checkout_risk:score").waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Remove customer:income" }).click();
    await page.getByRole("combobox", { name: "Supplied" }).fill("basket_total");
    await page.getByRole("listbox", { name: "Supplied" }).getByText("basket_total").waitFor();
    await page.keyboard.press("Enter");
    await page.locator("#panel-query .detail > .banner.yes").waitFor();
    await result.getByRole("row").filter({ hasText: /basket_total.*counts/ }).waitFor();
    // The candidate would refuse it.
    await result.locator(".besides.differs .banner.no").filter({ hasText: "checkout_risk:score" }).waitFor();
    await page.keyboard.press("Escape");
    await picture(page, "query");
    await tab("Features");
    await close();
  },

  async "the shadow policy is compared for the caller"(sidecar) {
    const { page, row, tab, close } = await open(sidecar);
    await row("customer:income").waitFor();
    await role(page, "marketing");
    await tab("Shadow policy");
    const panel = page.locator("#panel-shadow");
    await panel.getByRole("option").filter({ hasText: "customer:email" }).click();
    await panel.locator(".detail h2", { hasText: "customer:email" }).waitFor();
    const halves = await panel.locator(".half").allInnerTexts();
    assert.match(halves[0], /Live[^]*AllowInternal/);
    assert.match(halves[1], /Shadow[^]*Allow[^]*next\.yaml/);
    assert.match(await panel.locator(".status").innerText(), /[1-9]\d* features? wider, 0 narrower/);
    await role(page, "fraud-model");
    await panel.getByRole("option").filter({ hasText: "customer:income" }).waitFor();
    await panel.getByRole("button", { name: "wider" }).click();
    await panel.getByText("the shadow policy gives the same").waitFor();
    await close();
  },

  async "a refused request is seen, and opens"(sidecar) {
    const { page, tab, heading, close } = await open(sidecar);
    await page.getByRole("option").first().waitFor();
    const trace = "0af7651916cd43dd8448eb211c80319c";
    const token = sidecar.token("marketing-web");
    const ids = [];
    for (const [client, features] of [["fraud-svc", ["customer:income", "customer:ssn"]], ["fraud-svc", ["checkout_risk:basket_to_income"]], ["fraud-svc", ["customer:name", "customer:email"]]]) {
      const response = await fetch(`${sidecar.data}/get-online-features`, {
        method: "POST",
        headers: { authorization: `Bearer ${sidecar.token(client)}`, "content-type": "application/json", traceparent: `00-${trace}-b7ad6b7169203331-01` },
        body: JSON.stringify({ features, entities: { customer_id: [1001] } }),
      });
      assert.equal(response.status, 403);
      ids.push(response.headers.get("x-tagwarden-decision-id"));
    }
    await tab("Recent refusals");
    const panel = page.locator("#panel-refusals");
    await panel.locator(".refusal").filter({ hasText: ids[0] }).waitFor();
    const told = await panel.locator(".refusal").filter({ hasText: ids[0] }).innerText();
    assert.match(told, /get-online-features[^]*refused, 403[^]*customer:income[^]*AllowInternal[^]*customer:ssn[^]*Deny[^]*fraud-model/);
    assert.ok(told.includes(trace) && !told.includes("fraud-svc") && !told.includes("1001"), told);
    const all = await (await fetch(`${sidecar.admin}/explore/api/refusals`)).text();
    assert.ok(!all.includes(token.slice(-20)) && !all.includes("eyJ"));
    await picture(page, "refusals");
    await panel.locator(".refusal").filter({ hasText: ids[0] }).getByRole("button", { name: "customer:ssn" }).click();
    await heading("customer:ssn");
    assert.deepEqual(await page.locator("#roles .chips .name").allInnerTexts(), ["fraud-model"]);
    await close();
  },

  async "it is light and dark, by the system or by hand"(sidecar) {
    const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const pages = {};
    for (const look of ["light", "dark"]) {
      const { page, row, heading, close } = await open(sidecar, { look });
      await row("checkout_risk:score").waitFor();
      await role(page, "marketing");
      await row("checkout_risk:score").click();
      await heading("checkout_risk:score");
      await page.locator("#detail .verdict", { hasText: "Deny" }).waitFor();
      await page.locator("#detail g.box").first().waitFor();
      await picture(page, look);
      const before = await background(page);
      // auto, light, dark: by hand it is either, whatever the system says.
      const other = look === "light" ? 2 : 1;
      for (let at = 0; at < other; at += 1) await page.locator("#theme").click();
      pages[look] = [before, await background(page)];
      assert.ok(await contrast(page), "texts that cannot be read");
      await close();
    }
    assert.notEqual(pages.light[0], pages.dark[0]);
    assert.deepEqual(pages.light, pages.dark.toReversed?.() ?? [...pages.dark].reverse());
  },

  async "names of whoever writes policies stay text"(_) {
    const evil = "<img src=x onerror=window.hit=1>";
    const quoted = JSON.stringify;
    const policy = `version: 1
roles:
  ${quoted(evil)}: {tags: {${quoted(`${evil}tag`)}: Deny}}
features:
  ${quoted(`${evil}:a`)}: {tags: [${quoted(`${evil}tag`)}]}
  ${quoted("</script><script>window.hit=2</script>:b")}: {inputs: [${quoted(`${evil}:a`)}]}
  ${quoted("javascript:window.hit=3//:c")}: {}
bindings:
  - {roles: [${quoted(evil)}], when: {client_id: ${quoted(evil)}}}
`;
    const sidecar = await start({ "policy.yaml": policy, "next.yaml": policy.replace("]}\n  \"</", "], inputs: []}\n  \"</").replace(": Deny", ": Allow") });
    try {
      const { page, row, heading, tab, close } = await open(sidecar);
      await row(evil).click();
      await heading(evil);
      await row("window.hit=2").click();
      await heading("</script><script>window.hit=2</script>:b");
      await page.locator("#detail g.box").nth(1).waitFor();
      const response = await fetch(`${sidecar.data}/get-online-features`, {
        method: "POST", headers: { authorization: `Bearer ${sidecar.token(evil)}`, "content-type": "application/json" },
        body: JSON.stringify({ features: [`${evil}:a`, `${evil}:unknown`], entities: { k: [1] } }),
      });
      assert.equal(response.status, 403);
      for (const name of ["Try a query", "Shadow policy", "Recent refusals"]) await tab(name);
      await page.locator(".refusal").filter({ hasText: `${evil}:a` }).waitFor();
      await page.locator(".refusal").filter({ hasText: `${evil}:unknown` }).waitFor();
      assert.deepEqual(await page.evaluate(() => [window.hit ?? null, document.images.length, document.scripts.length]), [null, 0, 1]);
      await close();
    } finally {
      await sidecar.stop();
    }
  },

  async "a rebound name, a foreign site and a frame get nothing"(sidecar) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const { port } = new URL(sidecar.admin);
    const rebound = await page.goto(`http://rebound.example:${port}/explore`);
    assert.equal(rebound.status(), 421);
    // Nothing can be asked from there, not even by what stands in its own place.
    assert.equal(await page.evaluate(() => fetch("/explore/api/summary").then((response) => response.status, () => "failed")), "failed");
    // A page of another origin, at which the browser says itself who asks.
    const other = await page.goto(`${sidecar.data}/`);
    assert.equal(other.status(), 404);
    const tried = await page.evaluate(async (admin) => {
      const outcomes = [];
      for (const options of [{}, { mode: "no-cors" }, { method: "POST", mode: "no-cors", body: "{}" }, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }]) {
        outcomes.push(await fetch(`${admin}/explore/api/summary`, options).then((response) => response.type, () => "failed"));
      }
      return outcomes;
    }, sidecar.admin);
    assert.deepEqual(tried, ["failed", "failed", "failed", "failed"]);
    await page.evaluate((admin) => {
      const frame = document.createElement("iframe");
      frame.src = `${admin}/explore`;
      document.body.append(frame);
      return new Promise((done) => frame.addEventListener("load", done));
    }, sidecar.admin);
    assert.ok(page.frames().slice(1).every((frame) => !frame.url().startsWith(sidecar.admin)), page.frames().map((frame) => frame.url()).join());
    await context.close();
  },

  async "a token is asked for, kept in the page alone, and sent as a header alone"(_) {
    const secret = "0123456789abcdef-operators";
    const sidecar = await start({ ...demo, operators: `${secret}\n` }, "admin: {address: \"127.0.0.1:0\", token_file: operators}\n");
    try {
      const { page, close } = await open(sidecar);
      const field = page.getByLabel("Token of the admin listener");
      await field.waitFor();
      assert.equal(await page.getByRole("option").count(), 0);
      await field.fill("0123456789abcdef-somebody");
      await page.getByRole("button", { name: "Open", exact: true }).click();
      await page.getByText("That is not the token").waitFor();
      await field.fill(secret);
      await page.keyboard.press("Enter");
      await page.getByRole("option").first().waitFor();
      assert.equal(await field.isVisible(), false);
      const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state, document.documentElement.outerHTML, document.getElementById("token").value]));
      assert.ok(!kept.includes(secret));
      const { requests } = await close();
      assert.ok(requests.every((request) => !request.url().includes(secret) && !(request.postData() ?? "").includes(secret)));
      assert.ok(requests.some((request) => request.headers().authorization === `Bearer ${secret}`));
    } finally {
      await sidecar.stop();
    }
  },

  async "a hundred thousand features are searched and scrolled without a freeze"(_) {
    const { last, ...files } = many(100000);
    const sidecar = await start(files);
    try {
      const { page, row, heading, tab, close } = await open(sidecar);
      page.setDefaultTimeout(120000);
      await page.locator("#panel-features .status", { hasText: "100,000 features" }).waitFor();
      const list = page.getByRole("listbox", { name: "Features" });
      await list.focus();
      await page.keyboard.press("End");
      await row("team_499:feature_99999").waitFor();
      for (let at = 0; at < 40; at += 1) await page.keyboard.press("PageUp");
      for (const part of [0.1, 0.9, 0.5, 0.3, 0.7]) {
        await list.evaluate((box, to) => { box.scrollTop = box.scrollHeight * to; }, part);
        await page.waitForFunction(() => [...document.querySelectorAll("#panel-features .row")].length > 5 && !document.querySelector("#panel-features .row .wait"));
      }
      await page.locator("body").press("/");
      await page.keyboard.type(last);
      await row(last).waitFor();
      await page.waitForFunction((name) => document.querySelector("#panel-features [aria-posinset='1'] .row-name")?.textContent === name, last);
      await row(last).click();
      await heading(last);
      // Of four thousand inputs some are told, and those first that decided.
      await page.locator("#detail g.box").nth(20).waitFor();
      assert.match(await page.locator("#detail svg.lineage").textContent(), /\+\d+ more/);
      assert.match(await page.locator("#detail .because").innerText(), /denied below/);
      await tab("Shadow policy");
      await page.locator("#panel-shadow [role=option]").first().waitFor();
      assert.match(await page.locator("#panel-shadow .status").innerText(), /[\d,]{5,} features wider, [\d,]{5,} narrower/);
      const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
      assert.ok(nodes < MOST_NODES, `${nodes} nodes`);
      const { longest } = await close();
      console.log(`   the longest task took ${Math.round(longest)} ms, there are ${nodes} nodes`);
    } finally {
      await sidecar.stop();
    }
  },

  async "it fits on a narrow screen"(sidecar) {
    const { page, row, heading, close } = await open(sidecar, { size: { width: 420, height: 800 } });
    await row("checkout_risk:score").click();
    await heading("checkout_risk:score");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0);
    await close();
  },
};

/** Whether all text that is seen has a contrast of 4.5 to what is below it (WCAG 2.2, 1.4.3). */
async function contrast(page) {
  const poor = await page.evaluate(() => {
    const parse = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
      .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const below = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) return colour;
      }
      return [255, 255, 255];
    };
    const faults = [];
    for (const element of document.querySelectorAll("body *:not(svg *):not(svg)")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || !element.checkVisibility() || element.closest(".skip")) continue;
      const [one, two] = [light(parse(getComputedStyle(element).color)), light(below(element))];
      const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
      if (ratio < 4.5) faults.push(`${ratio.toFixed(2)} ${element.className} ${element.textContent.slice(0, 40)}`);
    }
    return faults;
  });
  if (poor.length) console.log(poor.join("\n"));
  return poor.length === 0;
}

const only = process.argv[2];
let [passed, failed] = [0, 0];
const sidecar = await start(demo);
try {
  for (const [name, run] of Object.entries(cases)) {
    if (only && !name.includes(only)) continue;
    try {
      await run(sidecar);
      passed += 1;
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}\n${error.stack ?? error}`);
    }
  }
} finally {
  await sidecar.stop();
  await browser.close();
  if (process.env.TAGWARDEN_PICTURES !== "keep") rmSync(pictures, { recursive: true, force: true });
  else console.log(pictures);
}
console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed`);
process.exit(failed ? 1 : 0);

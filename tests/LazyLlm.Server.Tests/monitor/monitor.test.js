// The monitor page in a real browser, against a real server that the caller has started:
//   MONITOR_URL        its address; MONITOR_KEYED_URL and MONITOR_KEY one that asks for a key
//   MONITOR_PICTURES   a folder for screenshots, if they are wanted
import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, describe, it } from "node:test";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const url = process.env.MONITOR_URL;
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const prompt = "Mira keeps the lamp in the attic. People say that the goat dances all night. Hugo keeps the ring in the cellar. Question: Where does Mira keep the lamp? Answer:";
let browser, page, problems;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(() => browser?.close());
beforeEach(() => { problems = []; });
afterEach(async () => {
  await page?.context().close();
  page = undefined;
  assert.deepEqual(problems, [], "errors of the page, or requests to other hosts");
});

// Opens the page and waits until it is live.
async function open({ address = url, live = true, width = 1280, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, bypassCSP: false, ...options });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", error => problems.push(`error: ${error.message}`));
  page.on("console", message => {
    if (["error", "warning"].includes(message.type()) && !/status of 40[01]|ERR_FAILED/.test(message.text())) problems.push(`console: ${message.text()}`);
  });
  page.on("request", request => {
    if (new URL(request.url()).origin !== new URL(address).origin && !request.url().startsWith("data:")) problems.push(`foreign request: ${request.url()}`);
  });
  await page.goto(address);
  if (live) await text("#connection", "live");
  return page;
}

const text = (selector, expected) => page.waitForFunction(([s, t]) => document.querySelector(s)?.textContent.includes(t), [selector, expected]);
const picture = name => process.env.MONITOR_PICTURES && page.screenshot({ path: `${process.env.MONITOR_PICTURES}/${name}.png`, fullPage: true });

async function compare(body) {
  const response = await fetch(new URL("monitor/compare", url), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  assert.equal(response.status, 200);
  return (await response.text()).trim().split("\n").map(line => JSON.parse(line));
}

async function runComparison(schedule = "4:0.3,8:0.1", tokens = 3) {
  await page.fill("#prompt", prompt);
  await page.fill("#schedule", schedule);
  await page.fill("#tokens", String(tokens));
  await page.click("#run");
  await text("#compare-status", "Done.");
}

// Every rule of axe for WCAG 2.2 A and AA and its best practices. The page's policy forbids inline scripts, so it comes by the protocol.
async function accessible() {
  const source = await (await import("node:fs/promises")).readFile(axePath, "utf8");
  await page.evaluate(source);
  const results = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  assert.deepEqual(results.violations.map(v => `${v.id}: ${v.nodes.map(n => `${n.target} ${n.failureSummary}`).join(" | ")}`), []);
}

describe("the monitor page", () => {
  it("loads, says what is served, and names its parts to screen readers", async () => {
    await open();
    await text("#about", "12 layers");
    const tree = await page.locator("body").ariaSnapshot();
    for (const part of ["banner", "main", "contentinfo", 'navigation "Sections"', 'heading "demo"', 'heading "Now"', 'heading "Requests"', 'heading "Compare dense and pruned"',
      'region "Now"', 'textbox "Prompt"', 'textbox "Pruning schedule"', 'combobox "Time shown"', 'button "Pause"', 'img "Time to first token, last 5 minutes: ', "status"]) {
      assert.ok(tree.includes(part), `the accessibility tree has no ${part}:\n${tree}`);
    }
    await accessible();
  });

  it("shows figures that move when requests run", async () => {
    await open();
    const before = Number((await page.textContent("#finished")).replace(",", ""));
    await compare({ prompt, pruning: "4:0.1", maxTokens: 5 });
    await page.waitForFunction(least => Number(document.querySelector("#finished").textContent.replace(",", "")) >= least, before + 2);
    for (const id of ["ttft-dense", "ttft-pruned", "tpot-dense", "tpot-pruned"]) assert.match(await page.textContent(`#${id}`), /^[\d.]+ (ms|s)$/, id);
    assert.ok(await page.locator("[data-chart=ttft] .dot-dense").count() > 0);
    assert.ok(await page.locator("[data-chart=ttft] .dot-pruned").count() > 0);
    assert.match(await page.textContent("[data-chart=ttft] title"), /dense median [\d.]+ m?s of \d+; pruned median [\d.]+ m?s of \d+/);
    await page.click("[data-chart=ttft] summary");
    const rows = await page.locator("[data-chart=ttft] tbody tr").allTextContents();
    assert.ok(rows.some(row => /dense/.test(row)) && rows.some(row => /pruned/.test(row)), rows.join("; "));
    assert.ok((await page.locator("#ended-table tbody tr").allTextContents()).some(row => row.includes("4:0.1")));
    assert.ok((await page.locator("#stage-groups").textContent()).includes("layers 4–11"));
  });

  it("shows a request while it runs, and memory that returns", async () => {
    await open();
    let done = false;
    const load = (async () => { while (!done) await compare({ prompt, pruning: "4:0.1", maxTokens: 400 }); })();
    try {
      await page.waitForSelector("#running-table tbody tr");
      assert.match(await page.locator("#running-table tbody tr").first().textContent(), /(prefill|decode)/);
      await page.waitForFunction(() => document.querySelector("#kv").textContent !== "0 B");
    } finally {
      done = true;
      await load;
    }
    await text("#running", "0");
    await text("#kv", "0 B");
    await page.waitForSelector("#idle:not([hidden])");
  });

  it("runs a prompt dense and pruned and draws which tokens each stage kept", async () => {
    await open();
    const schedule = "4:0.3,8:0.1";
    const expected = await compare({ prompt, pruning: schedule, maxTokens: 3 });
    const tokens = expected.find(e => e.event === "prompt").tokens;
    const answer = run => expected.filter(e => e.event === "token" && e.run === run).map(e => e.text).join("").trim();
    const figures = expected.find(e => e.event === "end" && e.run === "pruned").figures;
    await runComparison(schedule);
    assert.equal(await page.textContent("#dense-answer"), answer("dense"));
    assert.equal(await page.textContent("#pruned-answer"), answer("pruned"));
    const table = await page.textContent("#figures");
    for (const stage of ["layers 0–3", "layers 4–7", "layers 8–11"]) assert.ok(table.includes(stage), table);
    const shown = () => page.$$eval("#token-map .token", nodes => nodes.map(n => ({ text: n.textContent, kept: n.classList.contains("kept"), part: n.classList.contains("part"), label: n.getAttribute("aria-label") })));
    let map = await shown();
    assert.deepEqual(map.map(t => t.text), tokens);
    assert.deepEqual(map.map(t => t.kept ? 2 : t.part ? 1 : 0), figures.lastStages);
    map.forEach((token, i) => assert.match(token.label, figures.lastStages[i] === 2 ? /kept to the end$/ : new RegExp(`position ${i}, pruned after layers ${figures.lastStages[i] ? "4–7" : "0–3"}$`)));
    await page.check("#stage-choice input[value='1']");
    map = await shown();
    assert.deepEqual(map.map(t => t.kept), figures.lastStages.map(stage => stage >= 1));
    assert.equal(map.filter(t => t.kept).length, figures.stages[1].kept);
    await page.click("#map summary");
    assert.ok((await page.textContent("#survivors")).endsWith(tokens.at(-1)));
    await accessible();
    await picture("monitor-light");
  });

  it("says what is wrong with a comparison, and stops one", async () => {
    await open();
    await page.fill("#schedule", "99:0.5");
    await page.click("#run");
    await text("#compare-problem", "layer 99 is beyond the model");
    await page.fill("#prompt", prompt);
    await page.fill("#schedule", "4:0.5");
    await page.fill("#tokens", "1024");
    await page.route("**/monitor/compare", async route => { await new Promise(r => setTimeout(r, 3000)); await route.continue().catch(() => {}); });
    await page.click("#run");
    await page.click("#stop");
    await text("#compare-status", "Stopped.");
    await page.unroute("**/monitor/compare");
    assert.equal(await page.isEnabled("#run"), true);
  });

  it("is used by keyboard alone, without a trap and with the focus seen", async () => {
    await open();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "now");
    const focus = () => page.evaluate(() => {
      const node = document.activeElement, style = getComputedStyle(node);
      return { id: node.id, tag: node.tagName, seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, name: node.id || node.textContent.slice(0, 30) };
    });
    const tabTo = async id => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        const at = await focus();
        if (at.tag !== "BODY") assert.ok(at.seen, `${at.tag} ${at.name} has no visible focus`);
        if (at.id === id) return;
      }
      assert.fail(`the Tab key does not reach #${id}`);
    };
    await tabTo("prompt");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(prompt);
    await tabTo("schedule");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("4:0.2");
    await tabTo("run");
    await page.keyboard.press("Enter");
    await text("#compare-status", "Done.");
    await tabTo("token-map");
    const active = () => page.getAttribute("#token-map", "aria-activedescendant");
    await page.keyboard.press("Home");
    assert.equal(await active(), "token-0");
    await page.keyboard.press("ArrowRight");
    assert.equal(await active(), "token-1");
    assert.match(await page.textContent("#token-note"), /“Mira”, position 1, (kept|pruned)/);
    await page.keyboard.press("End");
    assert.equal(await page.getAttribute(`#${await active()}`, "aria-selected"), "true");
    await page.keyboard.press("Tab");
    assert.notEqual((await focus()).id, "token-map");
    await page.keyboard.press("Shift+Tab");
    assert.equal((await focus()).id, "token-map");
  });

  it("reads well in the dark and on 320 pixels", async () => {
    await open({ width: 320, colorScheme: "dark", reducedMotion: "reduce" });
    await compare({ prompt, pruning: "4:0.1", maxTokens: 5 });
    await runComparison();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "the page is wider than the window");
    const labels = await page.$$eval("[data-chart=ttft] svg text", nodes => nodes.map(n => n.getBoundingClientRect()).map(({ left, right, top, bottom }) => ({ left, right, top, bottom })));
    assert.ok(!labels.some((a, i) => labels.slice(i + 1).some(b => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)), "labels of a chart lie on each other");
    assert.match(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), /rgb\(25, 24, 23\)/);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("#share-bar")).transitionDuration), "0s");
    await accessible();
    await picture("monitor-dark-narrow");
  });

  it("keeps its signs and bars where the reader's own colours replace the page's", async () => {
    await open({ forcedColors: "active", colorScheme: "dark" });
    const drawn = selector => page.evaluate(s => { const node = document.querySelector(s); return getComputedStyle(node).backgroundColor !== getComputedStyle(document.body).backgroundColor; }, selector);
    for (const selector of [".sign.pruned", ".meter i"]) assert.ok(await drawn(selector), `${selector} is not seen`);
  });

  it("says when the server is gone, comes back, and pauses", async () => {
    await open();
    await page.route("**/monitor/state*", route => route.abort());
    await text("#connection", "server not reached");
    await page.unroute("**/monitor/state*");
    await text("#connection", "live");
    await page.click("#pause");
    await text("#connection", "paused");
    const before = await page.textContent("#finished");
    await compare({ prompt, pruning: "4:0.1", maxTokens: 1 });
    await new Promise(resolve => setTimeout(resolve, 1500));
    assert.equal(await page.textContent("#finished"), before);
    await page.click("#pause");
    await page.waitForFunction(text => document.querySelector("#finished").textContent !== text, before);
  });

  it("asks for the key, tells a wrong one, and keeps the right one in memory only", async () => {
    await open({ address: process.env.MONITOR_KEYED_URL, live: false });
    await page.waitForSelector("#key:not([hidden])");
    assert.equal(await page.evaluate(() => document.activeElement.id), "key-text");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await text("#key-problem", "not the server's key");
    await accessible();
    await page.fill("#key-text", process.env.MONITOR_KEY);
    await page.keyboard.press("Enter");
    await text("#connection", "live");
    assert.equal(await page.isVisible("#key"), false);
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, document.querySelector("#key-text").value]));
    assert.ok(!kept.includes(process.env.MONITOR_KEY), kept);
    await runComparison("4:0.5", 1);
  });
});

// The live part of the page: asks the server once a second what is new, and shows it.
import { $, element, setText, setRows } from "./page.js";
import { bytes, clock, count, layers, median, percent, time } from "./format.js";
import { Chart } from "./charts.js";
import { ask } from "./connection.js";
import { prepare } from "./comparison.js";

const remembered = 15 * 60_000;
const charts = {
  ttft: new Chart(figure("ttft"), time, { columns: ["Time", "Run", "TTFT"] }),
  tpot: new Chart(figure("tpot"), time, { columns: ["Time", "Run", "Per token"] }),
  load: new Chart(figure("load"), count, { least: 4, columns: ["Time", "Running", "Waiting"] }),
  memory: new Chart(figure("memory"), bytes, { base: 2, least: 1 << 20, columns: ["Time", "K/V", "Aux", "Promised"] }),
};
let state = null, samples = [], ended = [], paused = false;

function figure(name) {
  return document.querySelector(`[data-chart="${name}"]`);
}

function connection(quality, text) {
  $("connection").dataset.state = quality;
  setText($("connection"), text);
}

async function poll() {
  let wait = document.hidden ? 5000 : 1000;
  if (!paused) {
    try {
      const response = await ask(`monitor/state?sample=${samples.at(-1)?.id ?? 0}&ended=${ended.at(-1)?.id ?? 0}`);
      take(await response.json());
      connection(state.fault ? "bad" : "good", state.fault ? "device failed" : "live");
    } catch {
      connection("bad", "server not reached, trying again");
      wait = 3000;
    }
  }
  setTimeout(poll, wait);
}

function take(news) {
  if (state && state.server.started !== news.server.started) {
    // Another server, with a memory of its own: ask it for all it has.
    samples = [];
    ended = [];
    state = null;
    return;
  }
  if (!state) begin(news.server);
  state = news;
  const oldest = news.now - remembered;
  samples = [...samples, ...news.samples].filter(sample => sample.at >= oldest);
  ended = [...ended, ...news.ended].filter(request => request.at >= oldest);
  if (!paused) show();
}

function begin(server) {
  setText($("model"), server.model);
  document.title = `${server.model} – LazyLLM monitor`;
  setText($("about"), `${server.device} · ${server.layers} layers, context ${count(server.contextLength)} · weights ${bytes(server.weightBytes)} · schedule “${server.schedule}” · since ${clock(server.started)}`);
  prepare(server);
}

function show() {
  const minutes = Number($("window").value);
  const from = state.now - minutes * 60_000;
  const inWindow = ended.filter(request => request.at >= from);
  const span = minutes === 1 ? "minute" : `${minutes} minutes`;
  document.querySelectorAll(".window-text").forEach(node => setText(node, span));
  setText($("fault"), state.fault ? `The device has failed for good, and the server has to be started again: ${state.fault}` : "");
  $("fault").hidden = !state.fault;
  showTiles(inWindow, span, minutes);
  showTimes("ttft", "Time to first token", r => r.timeToFirstToken, from, span, inWindow);
  showTimes("tpot", "Time per token", r => r.timePerToken, from, span, inWindow);
  showLoad(from, span);
  showRunning();
  showEnded();
  showStages(inWindow);
}

function showTiles(requests, span, minutes) {
  const load = state.load, server = state.server;
  for (const [id, pick] of [["ttft", r => r.timeToFirstToken], ["tpot", r => r.timePerToken]]) {
    const all = requests.filter(r => pick(r) != null);
    for (const pruned of [false, true]) {
      setText($(`${id}-${pruned ? "pruned" : "dense"}`), time(median(all.filter(r => r.pruned === pruned).map(pick))));
    }
    setText($(`${id}-note`), all.length ? `median of ${count(all.length)} ${all.length === 1 ? "request" : "requests"}, last ${span}` : `no requests in the last ${span}`);
  }
  setText($("running"), count(load.running));
  setText($("waiting"), count(load.waiting));
  setText($("limits"), `at most ${count(server.runningLimit)} and ${count(server.queueLimit)}`);
  const pruned = requests.filter(r => r.pruned && r.stages.length);
  const pairs = key => pruned.reduce((sum, r) => sum + r.stages.reduce((all, s) => all + s[key] * (s.end - s.first), 0), 0);
  const share = pruned.length && pairs("dense") ? pairs("computed") / pairs("dense") : null;
  setText($("share"), percent(share));
  $("share-bar").style.width = `${Math.min(100, 100 * (share ?? 0))}%`;
  setText($("share-note"), share == null ? `no pruned requests in the last ${span}` : `by ${count(pruned.length)} pruned ${pruned.length === 1 ? "request" : "requests"}`);
  setText($("kv"), bytes(load.keyValueBytes));
  setText($("aux"), bytes(load.auxBytes));
  setText($("budget"), `${bytes(load.memoryPromised)} promised of ${bytes(server.memoryBudget)}`);
  const finished = requests.filter(r => ["stop", "length", "context"].includes(r.outcome));
  setText($("finished"), count(finished.length));
  setText($("failed"), count(requests.length - finished.length));
  const tokens = requests.reduce((sum, r) => sum + r.generatedTokens, 0);
  const seconds = Math.max(1, Math.min(minutes * 60, (state.now - server.started) / 1000));
  setText($("throughput"), `${(tokens / seconds).toFixed(1)} tokens/s, last ${span}`);
}

function showTimes(name, title, pick, from, span, requests) {
  const dots = requests.filter(r => pick(r) != null).map(r => ({ kind: r.pruned ? "pruned" : "dense", at: r.at, value: pick(r) }));
  const rules = ["dense", "pruned"].map(kind => ({ kind, value: median(dots.filter(d => d.kind === kind).map(d => d.value)), number: dots.filter(d => d.kind === kind).length })).filter(r => r.number);
  charts[name].show({
    from, to: state.now, dots, rules,
    summary: `${title}, last ${span}: ${rules.length ? rules.map(r => `${r.kind} median ${time(r.value)} of ${r.number}`).join("; ") : "no requests"}.`,
    rows: dots.map(d => [clock(d.at), d.kind, time(d.value)]),
  });
}

function showLoad(from, span) {
  const shown = [...samples.filter(s => s.at >= from), { ...state.load, at: state.now }];
  const line = (kind, key, area) => ({ kind, area, points: shown.map(s => [s.at, s[key]]) });
  const most = key => Math.max(...shown.map(s => s[key]));
  charts.load.show({
    from, to: state.now, lines: [line("first", "running", true), line("second", "waiting")],
    summary: `Requests, last ${span}: ${state.load.running} running now, at most ${most("running")}; ${state.load.waiting} waiting now, at most ${most("waiting")}.`,
    rows: shown.map(s => [clock(s.at), count(s.running), count(s.waiting)]),
  });
  charts.memory.show({
    from, to: state.now, lines: [line("third", "memoryPromised"), line("first", "keyValueBytes", true), line("second", "auxBytes")],
    summary: `Cache memory, last ${span}: K/V ${bytes(state.load.keyValueBytes)} now, at most ${bytes(most("keyValueBytes"))}; Aux ${bytes(state.load.auxBytes)} now, at most ${bytes(most("auxBytes"))}; promised ${bytes(state.load.memoryPromised)} now.`,
    rows: shown.map(s => [clock(s.at), bytes(s.keyValueBytes), bytes(s.auxBytes), bytes(s.memoryPromised)]),
  });
}

function prefill(request) {
  const done = request.state === "decode" ? state.server.layers : request.prefillLayers;
  return element("span", {}, element("progress", { max: state.server.layers, value: done, "aria-label": "layers of the prefill" }), ` ${done}/${state.server.layers}`);
}

function showRunning() {
  const shown = state.running.slice(0, 50);
  setRows($("running-table").tBodies[0], shown.map(r => [
    String(r.number), r.state, r.schedule, count(r.promptTokens) + (r.reusedTokens ? ` (${count(r.reusedTokens)} reused)` : ""),
    prefill(r), count(r.generatedTokens), time(r.timeToFirstToken), time(r.age)]), new Set([3, 5, 6, 7]));
  $("running-table").parentElement.hidden = shown.length === 0;
  $("idle").hidden = shown.length > 0;
}

function showEnded() {
  const shown = ended.slice(-12).reverse();
  setRows($("ended-table").tBodies[0], shown.map(r => [
    String(r.number), ["stop", "length", "context"].includes(r.outcome) ? r.outcome : element("span", { className: "bad" }, r.outcome),
    r.schedule, count(r.promptTokens) + (r.reusedTokens ? ` (${count(r.reusedTokens)} reused)` : ""), count(r.generatedTokens),
    time(r.queueTime), time(r.timeToFirstToken), time(r.timePerToken), percent(r.computedShare)]), new Set([3, 4, 5, 6, 7, 8]));
  $("ended-table").parentElement.hidden = shown.length === 0;
  $("none-ended").hidden = shown.length > 0;
}

function showStages(requests) {
  const groups = new Map();
  for (const request of requests.filter(r => r.stages.length)) {
    const group = groups.get(request.schedule) ?? groups.set(request.schedule, { requests: 0, stages: request.stages.map(s => ({ ...s, computed: 0, dense: 0, revived: 0 })) }).get(request.schedule);
    group.requests++;
    request.stages.forEach((stage, i) => ["computed", "dense", "revived"].forEach(key => { group.stages[i][key] += stage[key]; }));
  }
  const shown = [...groups].sort((a, b) => b[1].requests - a[1].requests).slice(0, 6);
  $("no-stages").hidden = shown.length > 0;
  const host = $("stage-groups");
  const key = JSON.stringify(shown);
  if (host.dataset.shown === key) return;
  host.dataset.shown = key;
  host.replaceChildren(...shown.map(([schedule, group], g) => {
    const last = Math.max(1, group.stages.length - 1);
    const rows = group.stages.map((stage, i) => {
      const bar = element("i");
      bar.style.width = `${100 * Math.min(1, stage.computed / stage.dense)}%`;
      bar.style.setProperty("--level", i / last);
      return element("tr", {},
        element("th", { scope: "row" }, layers(stage)),
        element("td", { className: "share" }, element("div", { className: "bar", "aria-hidden": "true" }, bar)),
        element("td", { className: "n" }, percent(stage.computed / stage.dense)),
        element("td", { className: "n" }, count(stage.computed)),
        element("td", { className: "n" }, count(stage.dense)),
        element("td", { className: "n" }, count(stage.revived)));
    });
    return element("div", { className: "stage-group" },
      element("h3", { id: `stage-group-${g}` }, element("code", {}, schedule), ` – ${count(group.requests)} ${group.requests === 1 ? "request" : "requests"}`),
      element("div", { className: "scroll", role: "region", "aria-labelledby": `stage-group-${g}`, tabIndex: 0 },
        element("table", {},
          element("thead", {}, element("tr", {}, ...[["Stage", ""], ["Share", "share"], ["Of dense", "n"], ["Computed", "n"], ["Dense", "n"], ["Revived", "n"]].map(([text, className]) => element("th", { scope: "col", className }, text)))),
          element("tbody", {}, ...rows))));
  }));
}

$("window").addEventListener("change", () => state && show());
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  connection(paused ? "wait" : "good", paused ? "paused" : "live");
});
poll();

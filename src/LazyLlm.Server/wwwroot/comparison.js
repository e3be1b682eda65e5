// A prompt run dense and pruned, side by side, with the map of what each stage kept.
import { $, element, setText } from "./page.js";
import { bytes, count, layers, percent, time } from "./format.js";
import { ask } from "./connection.js";

const example = `The harbor is quiet in winter, and the boats lie under their covers. Mira keeps the lamp in the attic. In the spring the fog came over the hills, and the baker lit his oven early. Hugo keeps the compass in the cellar. People say that the goat dances all night when the moon is full. Greta keeps the violin in the tower. The old fox sleeps near the mill, and nobody has seen the ring since the storm. Question: Where does Greta keep the violin? Answer:`;

let running = null, tokens = [], runs = {}, options = [], active = -1, shownStage = -1;

// Fills the form once the server is known.
export function prepare(server) {
  if (!$("prompt").value) $("prompt").value = example;
  if (!$("schedule").value) $("schedule").value = server.schedule === "none" ? "fast" : server.schedule;
}

$("compare-form").addEventListener("submit", async event => {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  $("run").disabled = true;
  $("stop").disabled = false;
  runs = { dense: { text: "" }, pruned: { text: "" } };
  setText($("compare-problem"), "");
  setText($("compare-status"), "Running dense…");
  try {
    const response = await ask("monitor/compare", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ prompt: $("prompt").value, pruning: $("schedule").value, maxTokens: Number($("tokens").value), chat: $("chat").checked }),
      signal: running.signal,
    });
    for await (const line of lines(response.body)) take(JSON.parse(line));
    if (runs.dense.figures && runs.pruned.figures) finish();
  } catch (error) {
    setText($("compare-status"), error.name === "AbortError" ? "Stopped." : "");
    setText($("compare-problem"), error.name === "AbortError" ? "" : error.status ? error.message : "The connection to the server broke. Try again.");
  } finally {
    running = null;
    $("run").disabled = false;
    $("stop").disabled = true;
  }
});

$("stop").addEventListener("click", () => {
  running?.abort();
  $("run").disabled = false;
  $("run").focus();
});

async function* lines(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

function take(event) {
  switch (event.event) {
    case "prompt":
      tokens = event.tokens;
      setText($("dense-answer"), "");
      setText($("pruned-answer"), "");
      $("map").hidden = true;
      $("figures").tBodies[0].replaceChildren();
      $("result").hidden = false;
      break;
    case "warm":
      setText($("compare-status"), "The first comparison of this server: warming up…");
      break;
    case "begin":
      setText($("compare-status"), `Running ${event.run}…`);
      if (event.run === "pruned") setText($("pruned-schedule"), event.schedule);
      break;
    case "token":
      runs[event.run].text += event.text;
      setText($(`${event.run}-answer`), runs[event.run].text.trimStart());
      break;
    case "end":
      runs[event.run].figures = event.figures;
      if (!runs[event.run].text.trim()) setText($(`${event.run}-answer`), "(no text)");
      break;
    case "error":
      setText($("compare-status"), "");
      setText($("compare-problem"), `The ${event.run} run ended early. ${event.message}`);
      break;
  }
}

function finish() {
  const dense = runs.dense.figures, pruned = runs.pruned.figures;
  const speed = dense.timeToFirstToken / pruned.timeToFirstToken;
  setText($("compare-status"), `Done. First token after ${time(dense.timeToFirstToken)} dense and ${time(pruned.timeToFirstToken)} pruned; the pruned run computed ${percent(pruned.computedShare)} of the dense work.`);
  const last = pruned.stages.at(-1);
  const rows = [
    ["Time to first token", time(dense.timeToFirstToken), time(pruned.timeToFirstToken), `${speed.toFixed(2)}× speed`],
    ["Time per token", time(dense.timePerToken), time(pruned.timePerToken), dense.timePerToken && pruned.timePerToken ? `${(dense.timePerToken / pruned.timePerToken).toFixed(2)}× speed` : "–"],
    ["(token, layer) pairs computed", "100%", percent(pruned.computedShare), percent(pruned.computedShare)],
    ...pruned.stages.map(stage => [`Positions of the prompt in ${layers(stage)}`, count(tokens.length), count(stage.kept), percent(stage.kept / tokens.length)]),
    ["Positions revived", "–", count(pruned.stages.reduce((sum, stage) => sum + stage.revived, 0)), ""],
    ["K/V memory", bytes(dense.keyValueBytes), bytes(pruned.keyValueBytes), percent(pruned.keyValueBytes / dense.keyValueBytes)],
    ["Aux cache", bytes(dense.auxBytes), bytes(pruned.auxBytes), ""],
    ["Tokens generated", count(dense.generatedTokens), count(pruned.generatedTokens), ""],
  ];
  $("figures").tBodies[0].replaceChildren(...rows.map(([name, ...cells]) => element("tr", {}, element("th", { scope: "row" }, name), ...cells.map(cell => element("td", { className: "n" }, cell)))));
  drawMap(pruned);
  setText($("survivors"), survivors(pruned, pruned.stages.length - 1));
  document.querySelector("#map summary").textContent = `What ${layers(last)} saw, as text`;
}

function drawMap(figures) {
  const stages = figures.stages;
  const choice = $("stage-choice");
  const radio = (value, text) => {
    const input = element("input", { type: "radio", name: "stage", value, checked: value === -1 });
    input.addEventListener("change", () => shade(figures, value));
    return element("label", {}, input, text);
  };
  choice.replaceChildren(choice.querySelector("legend"), radio(-1, "all stages"), ...stages.map((stage, i) => radio(i, `${layers(stage)} (${count(stage.kept)})`)));
  options = tokens.map((text, position) => element("span", { className: "token", id: `token-${position}`, role: "option", "aria-selected": "false" }, text));
  $("token-map").replaceChildren(...options);
  active = -1;
  $("token-map").removeAttribute("aria-activedescendant");
  setText($("token-note"), "");
  shade(figures, -1);
  $("map").hidden = false;
}

function shade(figures, stage) {
  shownStage = stage;
  const last = figures.stages.length - 1;
  options.forEach((option, position) => {
    const reached = figures.lastStages[position];
    const level = stage < 0 ? (last === 0 ? 1 : reached / last) : reached >= stage ? 1 : 0;
    option.style.setProperty("--level", level);
    option.classList.toggle("kept", level === 1);
    option.classList.toggle("part", level > 0 && level < 1);
    option.setAttribute("aria-label", describe(figures, position));
  });
  const key = (level, kind, text) => {
    const sample = element("span", { className: `token key ${kind}` }, "token");
    sample.style.setProperty("--level", level);
    return element("span", { className: "entry" }, sample, text);
  };
  $("map-key").replaceChildren(...(stage < 0
    ? [key(0, last === 0 ? "kept" : "", `seen only by ${layers(figures.stages[0])}`), ...figures.stages.slice(1, -1).map((s, i) => key((i + 1) / last, "part", `up to ${layers(s)}`)), ...(last > 0 ? [key(1, "kept", `kept to the end, ${layers(figures.stages[last])}`)] : [])]
    : [key(1, "kept", `seen by ${layers(figures.stages[stage])}`), key(0, "", "pruned before")]));
}

function describe(figures, position) {
  const reached = figures.lastStages[position];
  const shown = tokens[position] === "" ? "no text" : tokens[position].trim() === "" ? "space" : `“${tokens[position].trim()}”`;
  const fate = reached === figures.stages.length - 1 ? "kept to the end" : `pruned after ${layers(figures.stages[reached])}`;
  return `${shown}, position ${position}, ${fate}`;
}

function survivors(figures, stage) {
  let text = "", gap = false;
  tokens.forEach((token, position) => {
    const kept = figures.lastStages[position] >= stage;
    if (kept) text += token;
    else if (!gap) text += " … ";
    gap = !kept;
  });
  return text.trim();
}

function activate(position) {
  options[active]?.classList.remove("active");
  options[active]?.setAttribute("aria-selected", "false");
  active = Math.max(0, Math.min(options.length - 1, position));
  const option = options[active];
  option.classList.add("active");
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  $("token-map").setAttribute("aria-activedescendant", option.id);
  setText($("token-note"), describe(runs.pruned.figures, active));
}

$("token-map").addEventListener("keydown", event => {
  const moves = { ArrowRight: active + 1, ArrowLeft: active - 1, ArrowDown: active + 10, ArrowUp: active - 10, Home: 0, End: options.length - 1 };
  if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in moves)) return;
  event.preventDefault();
  activate(moves[event.key]);
});
$("token-map").addEventListener("click", event => {
  const position = options.indexOf(event.target);
  if (position >= 0) activate(position);
});

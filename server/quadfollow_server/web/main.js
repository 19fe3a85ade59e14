// The page: what comes over the link is noted, drawn and written; what is chosen goes back.

import { describe, disclaim } from "./canvas.js";
import { drawSpark, drawStates } from "./charts.js";
import { showFigures, showNone, showServer, showTrack } from "./figures.js";
import { History, SECONDS } from "./history.js";
import { Link } from "./link.js";
import { drawMap } from "./map.js";
import { drawPicture } from "./picture.js";
import { showSnippets, startCopying } from "./snippets.js";
import { startTheme } from "./theme.js";
import { startTry } from "./try.js";

const byId = (id) => document.getElementById(id);
const SILENT = 3000; // ms without a picture after which the page says so
const TRAIL = 150; // places of the target drawn into the picture

let history = new History();
let current = null; // {header, bitmap, past} of the picture on show; past is its History
let chosen = new URLSearchParams(location.search).get("stream") || null;
let info = null; // what the server's /info says
let paused = false;
let learning = false;
let lastPicture = 0; // when it came, or when another stream was chosen

function say(text) {
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

function draw() {
  if (!current) return;
  const { header, bitmap, past } = current;
  const { frame, target } = header.result;
  const full = byId("full").checked;
  const scale = full ? 1 : Math.min(4, (devicePixelRatio * byId("stage").clientWidth) / frame.width);
  const trail = past.moments.slice(-TRAIL).map((moment) => moment.seen && moment.estimate);
  const found = { frame, target, mask: header.mask, camera: header.camera, trail };
  drawPicture(byId("picture"), bitmap, found, { opacity: byId("opacity").value / 100, scale });
  drawMap(byId("map"), past.moments, header.camera);
  drawStates(byId("states"), past.moments, SECONDS);
  drawSpark(byId("latency-line"), past.last("latency"));
  drawSpark(byId("age-line"), past.last("age"));
}

function tell({ stream, result }, moment) {
  showTrack(result, moment);
  showFigures(result, history, moment);
  if (info?.models.some(({ name }) => name === result.model)) showServer(info, result.model);
  else learn();
  const at = result.target && result.target.centroid.map((value) => value.toFixed(0)).join(", ");
  describe(byId("picture"), `Camera ${stream}: ${at ? `target at pixel ${at}` : "no target"}, ${result.track?.state ?? "no track"}`);
  const place = ([x, y]) => `${x.toFixed(0)} east, ${y.toFixed(0)} north`;
  const named = { drone: "drone", estimate: "target", truth: "truth" };
  const places = Object.entries(named).filter(([key]) => moment[key]);
  describe(byId("map"), places.map(([key, name]) => `${name} at ${place(moment[key])}`).join("; ") || "No place known yet");
}

function listStreams(streams) {
  const select = byId("stream");
  const names = chosen === null || streams.includes(chosen) ? streams : [...streams, chosen];
  if (JSON.stringify(names) !== JSON.stringify([...select.options].filter((option) => option.value).map((option) => option.value))) {
    select.replaceChildren(...(names.length ? names.map((name) => new Option(name, name)) : [new Option("none yet", "")]));
  }
  select.disabled = names.length === 0;
  select.value = chosen ?? ""; // so that each can be chosen, the first too
}

function show(header, bitmap) {
  if (paused || (chosen !== null && header.stream !== chosen)) return bitmap?.close(); // asked for before another was chosen
  if (chosen === null) look(header.stream);
  current?.bitmap?.close();
  current = { header, bitmap, past: history };
  lastPicture = performance.now();
  byId("empty").hidden = true;
  delete document.querySelector("main").dataset.stale;
  const moment = history.add(header);
  listStreams(header.streams);
  const lack = header.media ? "This browser cannot read its pictures." : "Its pictures are too large to be shown here.";
  say(`Live: ${header.stream}${bitmap ? "" : `. ${lack}`}`);
  draw();
  tell(header, moment);
}

function nothing(streams) {
  listStreams(streams);
  if (paused || performance.now() - lastPicture < SILENT) return;
  fade();
  if (chosen !== null) say(streams.includes(chosen) ? `No new frames from ${chosen}` : `No stream ${chosen} sends frames`);
  else say(streams.length ? "No new frames from any stream" : "Connected; no stream sends frames yet");
}

function waiting() {
  if (paused) return;
  fade();
  say("Waiting for the next picture");
}

function closed(reason) {
  fade();
  say(reason);
}

// What is on show is no longer how things are.
function fade() {
  if (!current) return;
  document.querySelector("main").dataset.stale = "";
  showNone();
  disclaim(byId("picture"), "No new picture");
  disclaim(byId("map"), "No new place");
}

function look(stream) {
  chosen = stream;
  history = new History();
  current?.bitmap?.close();
  current = null;
  lastPicture = performance.now();
  byId("empty").hidden = false;
  for (const id of ["picture", "map", "states", "latency-line", "age-line"]) byId(id).width = byId(id).width; // empties it
  showNone();
  disclaim(byId("picture"), "No picture yet");
  disclaim(byId("map"), "No place known yet");
  link.look(stream);
}

function opened() {
  say(paused ? "Paused" : "Connected");
  history = new History(); // another server may count and measure time anew
  learn();
}

// Ask what the server is; while it loads its model it cannot tell all.
async function learn() {
  if (learning) return;
  learning = true;
  try {
    const response = await fetch("info");
    if (!response.ok) return;
    info = await response.json();
  } catch {
    return; // the link notices when the server is gone
  } finally {
    learning = false;
  }
  showServer(info, current?.header.result.model);
  showSnippets(info.ports);
  byId("models").hidden = info.models.length < 2;
  const picked = byId("try-model").value;
  byId("try-model").replaceChildren(...info.models.map(({ name }) => new Option(name, name, false, name === picked)));
}

const link = new Link({ picture: show, nothing, waiting, opened, closed }, chosen);

byId("stream").onchange = (event) => {
  look(event.target.value);
  if (!paused) say(`Waiting for ${chosen}`);
  window.history.replaceState(null, "", `?${new URLSearchParams({ stream: chosen })}`); // to be bookmarked and reloaded
};
byId("pause").onclick = (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  link.paused = paused;
  if (link.open) say(paused ? "Paused" : "Connected");
};
byId("opacity").oninput = draw;
byId("full").onchange = () => {
  byId("stage").classList.toggle("full", byId("full").checked);
  draw();
};
addEventListener("resize", draw);
startTheme(byId("theme"), draw);
startCopying();
startTry({ drop: byId("drop"), file: byId("file"), verdict: byId("verdict"), canvas: byId("tried"), model: byId("try-model") });

// The figures beside the picture, as text.

import { distance } from "./geometry.js";

const byId = (id) => document.getElementById(id);
const put = (id, text) => {
  if (byId(id).textContent !== text) byId(id).textContent = text;
};
const known = (value, write) => (value === null || value === undefined ? "–" : write(value));
const metres = (value) => `${value.toFixed(1)} m`;
const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const degrees = (value) => `${((180 / Math.PI) * value).toFixed(0)}°`;
const OF_STREAM = ["state", "age", "place", "distance", "confidence", "error", "rate", "dropped", "shown", "latency", "picture-age"];
const SOURCES = { depth: "measured", height: "from her height" };
const PLACES = {
  world: ([x, y, z]) => `${x.toFixed(1)}, ${y.toFixed(1)}, ${z.toFixed(1)} m (east, north, up)`,
  bearing: ([azimuth, elevation]) => `${degrees(azimuth)} to the right, ${degrees(elevation)} up`,
  pixel: ([u, v]) => `pixel ${u.toFixed(0)}, ${v.toFixed(0)}`,
};

export function showTrack(result, moment) {
  const { track, target } = result;
  byId("state").dataset.state = track?.state ?? "none";
  put("state", track?.state ?? (target ? "seen, no track asked for" : "no track asked for"));
  put("age", known(track?.age, (age) => (age < 0.05 ? "now" : `${age.toFixed(1)} s ago`)));
  put("place", known(track?.space, (space) => PLACES[space](track.position)));
  const from = track?.distance != null ? track : target;
  put("distance", known(from?.distance, (value) => `${metres(value)}, ${SOURCES[from.distance_source]}`));
  put("confidence", known(target?.confidence, (value) => `${(100 * value).toFixed(0)} %`));
  put("error", moment.estimate && moment.truth ? metres(distance(moment.estimate, moment.truth)) : "–");
}

export function showFigures(result, history, moment) {
  const [answered, shown] = history.rates();
  put("rate", `${answered.toFixed(1)} per second`);
  put("dropped", `${result.dropped}; ${(100 * history.dropShare()).toFixed(0)} % of late`);
  put("shown", `${shown.toFixed(1)} per second`);
  put("latency", milliseconds(moment.latency));
  put("picture-age", milliseconds(moment.age));
}

// Instead of figures that are no longer so.
export function showNone() {
  byId("state").dataset.state = "none";
  for (const id of OF_STREAM) put(id, "–");
}

// info: what the server's /info says
export function showServer(info, name) {
  const model = info.models.find((known) => known.name === name) ?? info.models[0];
  put("model", model ? `${model.name}, ${model.contract.width} × ${model.contract.height}` : "still loading");
  put("device", model ? model.device.provider.replace("ExecutionProvider", "") : "–");
  put("reason", model ? model.device.reason : "–");
}

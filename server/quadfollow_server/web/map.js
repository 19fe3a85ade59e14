// The map from above: east to the right, north up, on a grid of metres.

import { colour } from "./colours.js";
import { heading } from "./geometry.js";
import { fitted } from "./canvas.js";

const LEAST = 8; // metres across, at least
const STEP = 4; // the map's middle and width move in steps, so that it does not tremble

// moments: see history.js, oldest first; places are [x, y, z] or null; camera is the newest frame's
export function drawMap(canvas, moments, camera) {
  const { context, width, height } = fitted(canvas);
  const places = moments.flatMap(({ drone, estimate, truth }) => [drone, estimate, truth].filter(Boolean));
  context.fillStyle = colour("back");
  context.fillRect(0, 0, width, height);
  if (!places.length) return write(context, "no world position: send the camera's pose", 12, 24);
  const view = frame(places, width, height);
  drawGrid(context, view, width, height);
  const newest = moments.at(-1);
  trail(context, view, moments.map(({ drone }) => drone), "drone");
  trail(context, view, moments.map(({ truth }) => truth), "truth");
  trail(context, view, moments.map(({ estimate }) => estimate), "target");
  if (newest.truth) diamond(context, view.at(newest.truth));
  if (newest.estimate) estimate(context, view, newest);
  if (newest.drone && camera?.pose) drone(context, view.at(newest.drone), heading(camera.pose), camera);
}

function frame(places, width, height) {
  const [xs, ys] = [0, 1].map((axis) => places.map((place) => place[axis]));
  const [low, high] = [[Math.min(...xs), Math.min(...ys)], [Math.max(...xs), Math.max(...ys)]];
  const middle = low.map((value, axis) => Math.round((value + high[axis]) / 2 / STEP) * STEP);
  const reach = Math.max(...xs.map((x) => (Math.abs(x - middle[0]) / width) * height), ...ys.map((y) => Math.abs(y - middle[1])));
  const across = Math.max(LEAST, STEP * Math.ceil((2 * reach + 2) / STEP));
  const scale = height / across;
  const at = ([x, y]) => [width / 2 + (x - middle[0]) * scale, height / 2 - (y - middle[1]) * scale];
  return { middle, across, scale, at };
}

function drawGrid(context, { middle, across, scale, at }, width, height) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((size) => size * scale > 34) ?? 10 ** Math.ceil(Math.log10(across));
  const [half, wide] = [across / 2, width / scale / 2];
  // Lines are counted: so far from the origin that a step is lost in rounding, a sum would never reach the end.
  const lines = (centre, reach) => {
    const first = Math.ceil((centre - reach) / step);
    return Array.from({ length: (2 * reach) / step + 1 }, (_, index) => (first + index) * step);
  };
  context.beginPath();
  for (const x of lines(middle[0], wide)) {
    context.moveTo(at([x, 0])[0], 0);
    context.lineTo(at([x, 0])[0], height);
  }
  for (const y of lines(middle[1], half)) {
    context.moveTo(0, at([0, y])[1]);
    context.lineTo(width, at([0, y])[1]);
  }
  context.strokeStyle = colour("grid");
  context.lineWidth = 1;
  context.stroke();
  context.strokeStyle = colour("ink");
  context.beginPath();
  context.moveTo(12, height - 12);
  context.lineTo(12 + step * scale, height - 12);
  context.stroke();
  write(context, `${step} m`, 12, height - 18);
  write(context, "N ↑", width - 34, 20);
}

function write(context, text, x, y) {
  context.fillStyle = colour("soft");
  context.font = "13px system-ui, sans-serif";
  context.fillText(text, x, y);
}

function trail(context, view, places, name) {
  context.beginPath();
  let pen = false;
  for (const place of places) {
    if (place) context[pen ? "lineTo" : "moveTo"](...view.at(place));
    pen = Boolean(place);
  }
  context.globalAlpha = 0.6;
  context.strokeStyle = colour(name);
  context.lineWidth = 2;
  context.stroke();
  context.globalAlpha = 1;
}

// A dot, hollow while the target is out of sight, in a ring of one standard deviation.
function estimate(context, view, { estimate: place, spread, seen }) {
  const [x, y] = view.at(place);
  context.beginPath();
  context.arc(x, y, spread * view.scale, 0, 2 * Math.PI);
  context.strokeStyle = colour("target");
  context.lineWidth = 1;
  context.stroke();
  context.beginPath();
  context.arc(x, y, 6, 0, 2 * Math.PI);
  if (seen) return fill(context, "target");
  context.lineWidth = 3;
  context.stroke();
}

function diamond(context, [x, y]) {
  context.beginPath();
  for (const [a, b] of [[0, -9], [9, 0], [0, 9], [-9, 0]]) context.lineTo(x + a, y + b);
  context.closePath();
  fill(context, "truth");
}

// A triangle, and the wedge of the ground that the camera sees.
function drone(context, [x, y], angle, { fx, cx }) {
  context.save();
  context.translate(x, y);
  context.rotate(-angle);
  const half = Math.atan2(cx, fx);
  context.beginPath();
  context.moveTo(0, 0);
  context.arc(0, 0, 60, -half, half);
  context.closePath();
  context.globalAlpha = 0.18;
  context.fillStyle = colour("accent");
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  for (const [a, b] of [[11, 0], [-7, 7], [-7, -7]]) context.lineTo(a, b);
  context.closePath();
  fill(context, "drone");
  context.restore();
}

function fill(context, name) {
  context.fillStyle = colour(name);
  context.fill();
  context.strokeStyle = colour("panel");
  context.lineWidth = 1.5;
  context.stroke();
}

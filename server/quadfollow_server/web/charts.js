// Small charts: a line of late values, and a strip of a track's states.

import { fitted } from "./canvas.js";
import { colour } from "./colours.js";

// States differ in height as well as in colour.
const HEIGHTS = { following: 1, coasting: 0.7, lost: 0.45, searching: 0.2 };
const KNOWN_FOR = 3; // seconds after which a state without a next one is no longer known

export function drawSpark(canvas, values) {
  const { context, width, height } = fitted(canvas);
  const top = Math.max(...values, 1);
  context.beginPath();
  values.forEach((value, at) => {
    context.lineTo((at / Math.max(1, values.length - 1)) * width, height - 2 - (value / top) * (height - 4));
  });
  context.strokeStyle = colour("accent");
  context.lineWidth = 1.5;
  context.stroke();
}

// moments: [{time, state}], oldest first; the strip ends now and is so many seconds long
export function drawStates(canvas, moments, seconds) {
  const { context, width, height } = fitted(canvas);
  const end = moments.at(-1)?.time ?? 0;
  const x = (time) => width * (1 - (end - time) / seconds);
  moments.forEach(({ time, state }, at) => {
    const next = Math.min(moments[at + 1]?.time ?? end, time + KNOWN_FOR);
    const tall = height * (HEIGHTS[state] ?? 0);
    context.fillStyle = HEIGHTS[state] ? colour(state) : colour("grid");
    context.fillRect(x(time), height - tall, x(next) - x(time) + 0.5, tall);
  });
  context.fillStyle = colour("line");
  context.fillRect(0, height - 1, width, 1);
}

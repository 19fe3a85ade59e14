// Draws a frame with its mask, the target's box and where the target has been.

import { channels, colour } from "./colours.js";
import { project } from "./geometry.js";

const PERSON = 1;
const TARGET = 2;
const tint = document.createElement("canvas");

// The server takes pixels as they are stored, and reads some damaged files that a browser refuses: null for those.
export const decoded = (blob) => createImageBitmap(blob, { imageOrientation: "none" }).catch(() => null);

// Bring a run-length encoded class mask onto a canvas of its own size.
function paintMask(mask, opacity) {
  tint.width = mask.width;
  tint.height = mask.height;
  const image = new ImageData(mask.width, mask.height);
  const paint = new Uint32Array(image.data.buffer);
  const inks = { [PERSON]: pixel("person", opacity), [TARGET]: pixel("target", opacity) };
  for (let at = 0, run = 0; run < mask.runs.length; run += 2) {
    const ink = inks[mask.runs[run]];
    if (ink) paint.fill(ink, at, at + mask.runs[run + 1]);
    at += mask.runs[run + 1];
  }
  tint.getContext("2d").putImageData(image, 0, 0);
}

function pixel(name, opacity) {
  return new Uint32Array(Uint8Array.of(...channels(name), Math.round(255 * opacity)).buffer)[0];
}

// frame: {width, height} in pixels as sent; bitmap may be null, of a picture too large to be passed on or unreadable
export function drawPicture(canvas, bitmap, { frame, mask, target, camera, trail }, { opacity, scale }) {
  canvas.width = Math.max(1, Math.round(frame.width * scale));
  canvas.height = Math.max(1, Math.round(frame.height * scale));
  const context = canvas.getContext("2d");
  context.scale(canvas.width / frame.width, canvas.height / frame.height);
  if (bitmap) context.drawImage(bitmap, 0, 0, frame.width, frame.height);
  if (mask && opacity > 0) drawMask(context, mask, opacity);
  const line = frame.width / (canvas.clientWidth || canvas.width); // of the frame's pixels, in one of the page's
  drawTrail(context, trail ?? [], camera, line);
  if (target) drawTarget(context, target, line);
}

function drawMask(context, mask, opacity) {
  paintMask(mask, opacity);
  const { scale_u, scale_v, offset_u, offset_v } = mask.mask_from_frame;
  context.imageSmoothingEnabled = false;
  context.drawImage(tint, -offset_u / scale_u, -offset_v / scale_v, mask.width / scale_u, mask.height / scale_v);
  context.imageSmoothingEnabled = true;
}

// World places are seen from where the camera is now.
function drawTrail(context, trail, camera, line) {
  if (!camera?.pose) return;
  context.beginPath();
  let pen = false;
  for (const place of trail) {
    const at = place && project(camera, place);
    if (at) context[pen ? "lineTo" : "moveTo"](...at);
    pen = Boolean(at);
  }
  stroke(context, line);
}

function drawTarget(context, target, line) {
  const [left, top, right, bottom] = target.box;
  const [u, v] = target.centroid;
  const arm = 7 * line;
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.moveTo(u - arm, v);
  context.lineTo(u + arm, v);
  context.moveTo(u, v - arm);
  context.lineTo(u, v + arm);
  stroke(context, line);
}

// The colour on black, so that it is seen on any ground.
function stroke(context, line) {
  for (const [style, width] of [["#000", 4], [colour("target"), 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width * line;
    context.stroke();
  }
}

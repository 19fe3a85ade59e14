// A canvas made as sharp as the screen, and what it is called for those who do not see it.

const SPEAK = 2000; // ms between two changes of a canvas's spoken name
const spoken = new WeakMap();

// Returns a context in CSS pixels, cleared.
export function fitted(canvas) {
  const [width, height, ratio] = [canvas.clientWidth || canvas.width, canvas.clientHeight || canvas.height, devicePixelRatio];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

export function describe(canvas, text) {
  const now = performance.now();
  if (now - (spoken.get(canvas) ?? -Infinity) < SPEAK) return;
  spoken.set(canvas, now);
  canvas.setAttribute("aria-label", text);
}

// What a canvas is called once it shows nothing new; its next description is not held back.
export function disclaim(canvas, text) {
  spoken.delete(canvas);
  canvas.setAttribute("aria-label", text);
}

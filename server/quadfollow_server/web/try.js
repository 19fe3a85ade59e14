// Try an image: it is posted to /segment, and shown with what was found.

import { decoded, drawPicture } from "./picture.js";

const TYPES = ["image/jpeg", "image/png", "image/webp"];
const WIDEST = 1280; // pixels of the canvas

export function startTry({ drop, file, verdict, canvas, model }) {
  let latest = null; // only its verdict is shown, whichever answer comes last
  const attempt = async (picked) => {
    if (!picked) return;
    latest = picked;
    verdict.textContent = `Asking about ${picked.name}…`;
    canvas.hidden = true;
    try {
      const answer = await segment(picked, model.value);
      const bitmap = await decoded(picked);
      if (picked !== latest) return bitmap?.close();
      const scale = Math.min(2, WIDEST / answer.frame.width);
      canvas.hidden = false;
      drawPicture(canvas, bitmap, answer, { opacity: 0.5, scale });
      bitmap?.close();
      verdict.textContent = `${told(answer)}${bitmap ? "" : " This browser cannot read the image."}`;
      canvas.setAttribute("aria-label", `${picked.name}: ${verdict.textContent}`);
    } catch (error) {
      if (picked === latest) verdict.textContent = error.message;
    }
  };
  file.onchange = async () => {
    await attempt(file.files[0]);
    file.value = ""; // so that the same file can be tried again
  };
  drop.ondragover = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    attempt(event.dataTransfer.files[0]);
  };
}

async function segment(picked, model) {
  const type = TYPES.includes(picked.type) ? picked.type : "application/octet-stream";
  const query = new URLSearchParams({ mask: "rle", ...(model && { model }) });
  let response;
  try {
    response = await fetch(`segment?${query}`, { method: "POST", headers: { "content-type": type }, body: picked });
  } catch {
    throw new Error("The server is not there, or cut the connection because the file is too large.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.title}: ${answer.detail}`);
  return answer;
}

function told({ target, people, held_ms, model }) {
  const others = people.length === 1 ? "one other person" : `${people.length || "no"} other people`;
  const seen = target
    ? `Target at ${target.centroid.map((value) => value.toFixed(0)).join(", ")}, ${(100 * target.confidence).toFixed(0)} % sure`
    : "No target";
  return `${seen}; ${others}. Answered by ${model} in ${held_ms.toFixed(1)} ms.`;
}

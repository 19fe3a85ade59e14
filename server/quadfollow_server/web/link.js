// The WebSocket to the server. One question is out at a time: the next is asked when the last picture is drawn, so a
// slow page gets fewer pictures and never old ones.

import { decoded } from "./picture.js";

const WAITS = [500, 5000]; // ms until the next attempt: the first, and the most it doubles up to
const TRY_LATER = 1013;
const SLOW = 3000; // ms without any answer after which the page says so
const SILENCE = 60000; // ms without any answer after which the connection is made anew: lines are slow, and turns are awaited

export class Link {
  #socket = null;
  #wait = WAITS[0];
  #stream = null;
  #paused = false;
  #asked = false;
  #timers = [];

  // on: {picture(header, bitmap), nothing(streams), waiting(), opened(), closed(reason)}; bitmap is null where there is
  // no picture, or none that the browser can read
  constructor(on, stream) {
    this.on = on;
    this.#stream = stream;
    this.#connect();
  }

  look(stream) {
    this.#stream = stream;
    this.#ask();
  }

  get open() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  set paused(paused) {
    this.#paused = paused;
    this.#ask();
  }

  #connect() {
    const url = new URL("view", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#wait = WAITS[0];
      this.#asked = false;
      this.on.opened();
      this.#ask();
    };
    socket.onmessage = (event) => this.#take(event);
    socket.onclose = (event) => this.#again(event);
  }

  #again({ code, reason }) {
    this.#timers.forEach(clearTimeout);
    this.on.closed(reason ? `${reason}; trying again` : "The server is not there; trying again");
    setTimeout(() => this.#connect(), code === TRY_LATER ? WAITS[1] : this.#wait);
    this.#wait = Math.min(2 * this.#wait, WAITS[1]);
    reloadIfLoggedOut();
  }

  #ask() {
    if (this.#paused || this.#asked || !this.open) return;
    this.#asked = true;
    this.#socket.send(JSON.stringify({ stream: this.#stream }));
    this.#timers = [setTimeout(this.on.waiting, SLOW), setTimeout(() => this.#socket.close(), SILENCE)];
  }

  async #take({ target: socket, data }) {
    this.#timers.forEach(clearTimeout);
    try {
      await this.#show(socket, data);
    } finally { // one answer that cannot be shown is not the end of it
      if (socket === this.#socket) { // else the connection made since then has a question out already
        this.#asked = false;
        this.#ask();
      }
    }
  }

  async #show(socket, data) {
    if (typeof data === "string") return this.on.nothing(JSON.parse(data).streams);
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const bitmap = header.media && (await decoded(new Blob([new Uint8Array(data, 4 + length)], { type: header.media })));
    if (socket.readyState !== WebSocket.OPEN) return bitmap?.close(); // by now the page says that the server is gone
    this.on.picture(header, bitmap);
    await new Promise(requestAnimationFrame); // a page that nobody sees asks for nothing
  }
}

// The browser does not say why a WebSocket was refused. A server that wants a key shows its form to a page loaded anew.
async function reloadIfLoggedOut() {
  const response = await fetch("info").catch(() => null); // nobody is there
  if (response?.status === 401) location.reload();
}

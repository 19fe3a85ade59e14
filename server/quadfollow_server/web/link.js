// The WebSocket to the server. One question is out at a time: the next is asked when the last picture is drawn, so a
// slow page gets fewer pictures and never old ones.

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

  // on: {picture(header, blob), nothing(streams), waiting(), opened(), closed(reason)}; picture may return a promise
  constructor(on, stream) {
    this.on = on;
    this.#stream = stream;
    this.#connect();
  }

  look(stream) {
    this.#stream = stream;
    this.#ask();
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
    socket.onmessage = (event) => this.#take(event.data);
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
    if (this.#paused || this.#asked || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#asked = true;
    this.#socket.send(JSON.stringify({ stream: this.#stream }));
    this.#timers = [setTimeout(this.on.waiting, SLOW), setTimeout(() => this.#socket.close(), SILENCE)];
  }

  async #take(data) {
    this.#timers.forEach(clearTimeout);
    try {
      await this.#show(data);
    } finally { // one answer that cannot be shown is not the end of it
      this.#asked = false;
      this.#ask();
    }
  }

  async #show(data) {
    if (typeof data === "string") return this.on.nothing(JSON.parse(data).streams);
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    await this.on.picture(header, header.media && new Blob([new Uint8Array(data, 4 + length)], { type: header.media }));
    await new Promise(requestAnimationFrame); // a page that nobody sees asks for nothing
  }
}

// The browser does not say why a WebSocket was refused. A server that wants a key shows its form to a page loaded anew.
async function reloadIfLoggedOut() {
  const response = await fetch("info").catch(() => null); // nobody is there
  if (response?.status === 401) location.reload();
}

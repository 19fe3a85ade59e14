// The WebSocket to the server. One question is out at a time: the next is asked when the last picture is drawn, so a
// slow page gets fewer pictures and never old ones.

const WAITS = [500, 5000]; // ms until the next attempt: the first, and the most it doubles up to
const TRY_LATER = 1013;
const SILENCE = 5000; // ms without any answer after which the connection is made anew

export class Link {
  #socket = null;
  #wait = WAITS[0];
  #stream = null;
  #paused = false;
  #asked = false;
  #watchdog = 0;

  // on: {picture(header, blob), nothing(streams), opened(), closed(reason)}; picture may return a promise
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

  #again(event) {
    clearTimeout(this.#watchdog);
    const full = event.code === TRY_LATER;
    this.on.closed(full ? `${event.reason}; trying again` : "The server is not there; trying again");
    setTimeout(() => this.#connect(), full ? WAITS[1] : this.#wait);
    this.#wait = Math.min(2 * this.#wait, WAITS[1]);
  }

  #ask() {
    if (this.#paused || this.#asked || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#asked = true;
    this.#socket.send(JSON.stringify({ stream: this.#stream }));
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#socket.close(), SILENCE);
  }

  async #take(data) {
    clearTimeout(this.#watchdog);
    if (typeof data === "string") {
      this.on.nothing(JSON.parse(data).streams);
    } else {
      const length = new DataView(data).getUint32(0, true);
      const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      await this.on.picture(header, header.media && new Blob([new Uint8Array(data, 4 + length)], { type: header.media }));
      await new Promise(requestAnimationFrame); // a page that nobody sees asks for nothing
    }
    this.#asked = false;
    this.#ask();
  }
}

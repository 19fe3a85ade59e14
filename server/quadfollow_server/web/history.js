// What was shown of late, per stream: enough for trails, charts and rates, and no more.

const SECONDS = 30;
const MOST = 1200;
const RATE_OVER = 3; // seconds

export class History {
  #moments = [];

  get moments() {
    return this.#moments;
  }

  get newest() {
    return this.#moments.at(-1);
  }

  add(header) {
    const { result, camera, truth, number, answered_at: time } = header;
    if (number < this.newest?.number) this.#moments = []; // the server began anew
    this.#moments = this.#moments.filter((moment) => moment.time >= time - SECONDS).slice(1 - MOST);
    const inWorld = result.track?.space === "world";
    const lag = performance.now() / 1000 - time; // how far the clocks are apart, and what the picture took to this page
    const moment = {
      time,
      number,
      lag,
      state: result.track?.state ?? null,
      drone: camera?.pose?.position ?? null,
      estimate: inWorld ? result.track.position : (result.target?.world ?? null),
      spread: inWorld ? Math.max(...result.track.position_sigma.slice(0, 2)) : 0,
      seen: result.target !== null,
      truth: truth?.target ?? null,
      dropped: result.dropped,
      latency: result.held_ms,
      // The fastest picture of late counts as having taken no time from the server to this page.
      age: result.held_ms + 1000 * (lag - Math.min(lag, ...this.last("lag", MOST))),
    };
    this.#moments.push(moment);
    return moment;
  }

  // Answers per second by the server, and pictures per second on this page.
  rates() {
    const late = this.#moments.filter(({ time }) => time >= this.newest.time - RATE_OVER);
    const seconds = this.newest.time - late[0].time;
    return seconds > 0 ? [(this.newest.number - late[0].number) / seconds, (late.length - 1) / seconds] : [0, 0];
  }

  // The share of frames that were dropped, over all that is remembered.
  dropShare() {
    const first = this.#moments[0];
    const dropped = Math.max(0, this.newest.dropped - first.dropped);
    return dropped / Math.max(1, dropped + this.newest.number - first.number);
  }

  last(key, count = 150) {
    return this.#moments.slice(-count).map((moment) => moment[key]);
  }
}

export { SECONDS };

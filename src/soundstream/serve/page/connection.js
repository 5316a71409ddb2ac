// Talks with the server; serve/protocol.py says what is exchanged.

export class ServerError extends Error {
  constructor({ name, message }) {
    super(message);
    this.name = name;
  }
}

const UNREACHABLE = { name: "Unreachable", message: "The server does not answer. Is it still running?" };

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new ServerError(UNREACHABLE);
  }
  if (answer.ok) return answer;
  const error = await answer.json().catch(() => ({ name: "HTTPError", message: `The server answered ${answer.status}.` }));
  throw new ServerError(error);
}

export const about = async () => (await ask("about")).json();
export const example = async (name) => (await ask(`examples/${encodeURIComponent(name)}`)).blob();

/** Send an audio file. @returns its facts and its samples, channel by channel. */
export async function sendClip(blob) {
  const facts = await (await ask("clips", { method: "POST", body: blob })).json();
  const data = await (await ask(`clips/${facts.clip}`)).arrayBuffer();
  return { ...facts, pcm: channelsOf(data, facts.channels) };
}

function channelsOf(data, count) {
  const length = data.byteLength / 4 / count;
  return Array.from({ length: count }, (_, i) => new Float32Array(data, 4 * length * i, length));
}

export function socketTo(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  return socket;
}

/** Codes clips over one WebSocket, which is opened when needed. Only the newest request is answered. */
export class Coder {
  #socket = null;
  #opened = null;
  #wanted = null; // {number, resolve, reject, progress}
  #head = null;
  #number = 0;

  /**
   * @param settings clip, model, bitrate, denoise, loss
   * @returns {Promise<object|null>} figures, `file` and `pcm`; null if a newer request came
   */
  async code(settings, progress) {
    const number = ++this.#number;
    await this.#open();
    if (number !== this.#number) return null;
    this.#wanted?.resolve(null);
    return new Promise((resolve, reject) => {
      this.#wanted = { number, resolve, reject, progress };
      this.#socket.send(JSON.stringify({ type: "code", request: number, ...settings }));
    });
  }

  /** Forget the request under way. */
  drop() {
    this.#number++;
    this.#wanted?.resolve(null);
    this.#wanted = null;
  }

  #open() {
    if (!this.#opened) this.#opened = new Promise((resolve, reject) => {
      const socket = (this.#socket = socketTo("session"));
      socket.onopen = () => resolve();
      socket.onmessage = ({ data }) => this.#take(data);
      socket.onclose = () => {
        this.#opened = null;
        reject(new ServerError(UNREACHABLE));
        this.#fail(UNREACHABLE);
      };
    });
    return this.#opened;
  }

  #take(data) {
    if (typeof data !== "string") return this.#finish(data);
    const message = JSON.parse(data);
    this.#head = message.type === "coded" ? message : null;
    if (message.type === "error" && message.request === null) this.#fail(message);
    if (message.request !== this.#wanted?.number) return;
    if (message.type === "progress") this.#wanted.progress(message.share);
    if (message.type === "error") this.#fail(message);
  }

  #finish(data) {
    const head = this.#head;
    if (head?.request !== this.#wanted?.number) return;
    const pcm = channelsOf(data.slice(head.file_bytes), head.channels);
    this.#wanted.resolve({ ...head, file: data.slice(0, head.file_bytes), pcm });
    this.#wanted = null;
  }

  #fail(error) {
    this.#wanted?.reject(new ServerError(error));
    this.#wanted = null;
  }
}

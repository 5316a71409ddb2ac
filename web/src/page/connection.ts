/**
 * What the page asks for, answered in the browser: it stands in the place of serve/page/connection.js, which asks a
 * server. The codec runs in workers; `serve/protocol.py` says what messages hold.
 */

export class ServerError extends Error {
  constructor({ name, message }: { name: string; message: string }) {
    super(message);
    this.name = name;
  }
}

const MAX_S = 60;
const MAX_CHANNELS = 2;
/** Live sound that may wait to be coded, at most. */
const MAX_WAITING_S = 0.3;
const USUAL_RATE = 48000;
const MAGIC = [0x89, 0x4e, 0x41, 0x43];

interface Clip {
  clip: string;
  sample_rate: number;
  channels: number;
  samples: number;
  whole_s: number | null;
  incomplete: string[];
  pcm: Float32Array[];
}

/** A worker, and the answers that are awaited from it. */
class Codec {
  private readonly worker = new Worker(new URL("codec-worker.js", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const one = this.waiting.get(data.id);
      if (data.progress !== undefined) return one?.progress(data.progress);
      this.waiting.delete(data.id);
      if (data.error) one?.reject(new ServerError(data.error));
      else one?.resolve(data.result);
    };
    this.worker.onerror = ({ message }) => this.failAll(message);
  }

  ask(work: string, values: object, progress: (share: number) => void = () => undefined): Promise<unknown> {
    const id = ++this.asked;
    this.worker.postMessage({ id, work, ...values });
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject, progress }));
  }

  end(): void {
    this.worker.terminate();
  }

  private failAll(message: string): void {
    for (const { reject } of this.waiting.values()) reject(new ServerError({ name: "Worker", message: `The codec cannot run here: ${message}` }));
    this.waiting.clear();
  }
}

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  progress: (share: number) => void;
}

interface Answer {
  id: number;
  progress?: number;
  error?: { name: string; message: string };
  result?: unknown;
}

const codec = new Codec();
let clips = 0;
let present: Clip | null = null;

/** What the page needs to know first. */
export async function about(): Promise<unknown> {
  if ("serviceWorker" in navigator) {
    navigator.serviceWorker.register("sw.js").catch((error: unknown) => console.warn("the page will not work offline:", error));
  }
  return (await fetch("about.json")).json();
}

export const example = async (name: string): Promise<Blob> => (await fetch(`examples/${encodeURIComponent(name)}`)).blob();

/** Take an audio file, or a .nac file. @returns its facts and its samples, channel by channel. */
export async function sendClip(blob: Blob): Promise<Clip> {
  const data = new Uint8Array(await blob.arrayBuffer());
  const isCoded = MAGIC.every((byte, i) => data[i] === byte);
  const { channels, sampleRate } = isCoded ? ((await codec.ask("decode", { data })) as Sound) : await decoded(data);
  const most = MAX_S * sampleRate;
  const pcm = channels.slice(0, MAX_CHANNELS).map((channel) => channel.slice(0, most));
  const samples = channels[0]?.length ?? 0;
  if (!samples) throw new ServerError({ name: "AudioError", message: "the file holds no sound" });
  const incomplete = isCoded ? [`decoded from a .nac file of ${data.length.toLocaleString("en")} bytes`] : [];
  const whole_s = samples > most ? samples / sampleRate : null;
  present = { clip: String(++clips), sample_rate: sampleRate, channels: pcm.length, samples: pcm[0]!.length, whole_s, incomplete, pcm };
  return present;
}

interface Sound {
  channels: Float32Array[];
  sampleRate: number;
}

/** What the browser makes of an audio file, at the file's own rate where it is easy to find. */
async function decoded(data: Uint8Array<ArrayBuffer>): Promise<Sound> {
  const context = new OfflineAudioContext(1, 1, rateOf(data));
  const buffer = await context.decodeAudioData(data.slice().buffer).catch(() => {
    throw new ServerError({ name: "AudioError", message: "this browser cannot read the file; it takes what it can play, such as WAV, FLAC, MP3 and Ogg" });
  });
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  return { channels, sampleRate: buffer.sampleRate };
}

/** Hz of a WAV or FLAC file; of others the usual one. */
function rateOf(data: Uint8Array): number {
  const view = new DataView(data.buffer, data.byteOffset);
  const text = String.fromCharCode(...data.subarray(0, 4));
  const rate = text === "RIFF" ? view.getUint32(24, true) : text === "fLaC" ? view.getUint32(18) >>> 12 : USUAL_RATE;
  return rate >= 8000 && rate <= 96000 ? rate : USUAL_RATE;
}

interface Settings {
  model: string;
  bitrate: number;
  denoise: number;
  loss: number;
}

/** Codes clips. Only the newest request is answered. */
export class Coder {
  private number = 0;

  /** @returns figures, `file` and `pcm`; null if a newer request came. */
  async code(settings: Settings & { clip: string }, progress: (share: number) => void): Promise<unknown> {
    const number = ++this.number;
    const of = present;
    if (of?.clip !== settings.clip) throw new ServerError({ name: "ClipGone", message: "the clip is gone" });
    const values = { ...settings, pcm: of.pcm, sampleRate: of.sample_rate };
    const found = await codec.ask("code", values, (share) => {
      if (number === this.number) progress(share);
    });
    return number === this.number ? found : null;
  }

  /** Forget the request under way. */
  drop(): void {
    this.number++;
    void codec.ask("drop", {});
  }
}

interface Stats {
  samples: number;
  bits: number;
  packets: number;
  lost: number;
  busy_s: number;
}

/** Live sound through two workers, which speak as the server's connection does. */
class LiveSocket {
  readyState: number = WebSocket.CONNECTING;
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string | ArrayBuffer }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  private readonly encoder = new Codec();
  private readonly decoder = new Codec();
  private settings: Settings & { sample_rate: number } | null = null;
  private ready = false;
  private dropped = 0;
  private waiting_s = 0;
  private stats: Stats = nothing();

  constructor() {
    setTimeout(() => {
      this.readyState = WebSocket.OPEN;
      this.onopen?.();
    });
  }

  send(message: string | Float32Array): void {
    if (typeof message !== "string") return void this.sound(message);
    const { type, ...values } = JSON.parse(message) as { type: string } & Settings & { sample_rate: number };
    this.settings = { ...this.settings, ...values };
    (type === "open" ? this.open(values) : this.encoder.ask("set", values)).catch((error: unknown) => this.complain(error));
  }

  private async open(values: object): Promise<void> {
    await Promise.all([this.encoder.ask("live-encoder", values), this.decoder.ask("live-decoder", values)]);
    this.ready = true;
  }

  close(): void {
    this.readyState = WebSocket.CLOSED;
    this.encoder.end();
    this.decoder.end();
  }

  /** Code a block; while the models are not ready, or too much waits, silence comes back in its place. */
  private async sound(pcm: Float32Array): Promise<void> {
    const block_s = pcm.length / (this.settings?.sample_rate ?? Infinity);
    if (!this.ready || this.waiting_s > MAX_WAITING_S) {
      this.dropped += Number(this.ready);
      return this.onmessage?.({ data: new ArrayBuffer(4 * pcm.length) });
    }
    this.waiting_s += block_s;
    try {
      const { packets, busy_s: encode_s } = (await this.encoder.ask("packets", { pcm })) as { packets: Uint8Array[]; busy_s: number };
      const kept = packets.map((packet) => (Math.random() < (this.settings?.loss ?? 0) ? null : packet));
      const found = (await this.decoder.ask("sound", { packets: kept })) as { pcm: Float32Array<ArrayBuffer>; busy_s: number };
      if (this.readyState !== WebSocket.OPEN) return;
      this.onmessage?.({ data: found.pcm.buffer });
      this.count(pcm.length, packets, kept.filter((packet) => !packet).length, Math.max(encode_s, found.busy_s));
    } catch (error) {
      this.complain(error);
    } finally {
      this.waiting_s -= block_s;
    }
  }

  private count(samples: number, packets: Uint8Array[], lost: number, busy_s: number): void {
    const { stats } = this;
    const bits = 8 * packets.reduce((sum, packet) => sum + packet.length, 0);
    Object.assign(stats, { samples: stats.samples + samples, bits: stats.bits + bits, packets: stats.packets + packets.length });
    Object.assign(stats, { lost: stats.lost + lost, busy_s: stats.busy_s + busy_s });
    const duration_s = stats.samples / (this.settings?.sample_rate ?? Infinity);
    if (duration_s < 1) return;
    const { bits: all, packets: count, lost: gone, busy_s: busy } = stats;
    const told = { type: "stats", bitrate: Math.round(all / duration_s), packets: count, lost: gone, load: busy / duration_s, dropped: this.dropped };
    this.stats = nothing();
    this.onmessage?.({ data: JSON.stringify(told) });
  }

  private complain(error: unknown): void {
    if (this.readyState !== WebSocket.OPEN) return;
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    this.onmessage?.({ data: JSON.stringify({ type: "error", request: null, name, message }) });
  }
}

const nothing = (): Stats => ({ samples: 0, bits: 0, packets: 0, lost: 0, busy_s: 0 });

export const socketTo = (): LiveSocket => new LiveSocket();

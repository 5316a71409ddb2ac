/** The codec in a worker of the page: clips, and live sound. Each message is answered, with a result or an error. */

import { type Codec, load } from "../codec.ts";
import { CodecError } from "../errors.ts";
import { LiveDecoder, LiveEncoder } from "../live.ts";
import { configureRuntime } from "../runtime/session.ts";
import { joined } from "../runtime/resample.ts";

const PCM_BITS = 16;
/** Frames of a live packet. Two take a third less time than one and one, since both want all weights, but come 13 ms later. */
const PACKET_FRAMES = 1;
const MAX_THREADS = 4;

interface Request {
  id: number;
  work: string;
  model: string;
  bitrate: number;
  denoise: number;
  loss: number;
  sample_rate: number;
  sampleRate: number;
  data: Uint8Array;
  pcm: Float32Array | Float32Array[];
  packets: (Uint8Array | null)[];
}

/** A newer request took the place of this one. */
class Dropped extends CodecError {
  override name = "Dropped";
}

const loaded = new Map<string, Promise<Codec>>();
let newest = 0;
let encoder: LiveEncoder;
let decoder: LiveDecoder;
let queue: Promise<void> = Promise.resolve();

configureRuntime(self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1, new URL("runtime/", self.location.href).href);

/** A model by its name; of a file that names none, the one that the page begins with. */
function modelOf(name: string): Promise<Codec> {
  const codec = loaded.get(name) ?? load(new URL(`models/${name}`, self.location.href), { packed: true });
  loaded.set(name, codec);
  codec.catch(() => loaded.delete(name));
  return codec;
}

/** The models of the page, the first one first. */
async function names(): Promise<{ name: string; id: string }[]> {
  const answer = await fetch(new URL("about.json", self.location.href));
  return ((await answer.json()) as { models: { name: string; id: string }[] }).models;
}

async function decode({ data }: Request): Promise<unknown> {
  const models = await names();
  const id = Array.from(data.subarray(9, 17), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const found = models.find((model) => model.id === id) ?? models[0]!;
  return (await modelOf(found.name)).decode(data);
}

async function code(request: Request): Promise<unknown> {
  const { id, model, bitrate, denoise, loss, pcm, sampleRate } = request;
  const codec = await modelOf(model);
  const channels = pcm as Float32Array[];
  const watch = (from: number) => (share: number): void => {
    if (id !== newest) throw new Dropped("a newer request came");
    self.postMessage({ id, progress: from + share / 2 });
  };
  const { numQuantizers } = codec.settings({ bitrate });
  await codec.model.loadEncoder(denoise > 0, numQuantizers);
  await codec.model.loadDecoder(numQuantizers);
  const started = performance.now();
  const file = await codec.encode(channels, sampleRate, { bitrate, denoise, progress: watch(0) });
  const encoded = performance.now();
  const live = loss ? await overLoss(codec, request, watch(0.5)) : null;
  const sound = live ?? (await codec.decode(file, { progress: watch(0.5) }));
  const duration_s = channels[0]!.length / sampleRate;
  return {
    pcm: sound.channels,
    file: file.buffer,
    sample_rate: sampleRate,
    channels: channels.length,
    samples: channels[0]!.length,
    file_bytes: file.length,
    bitrate: Math.round((live?.bits ?? 8 * file.length) / duration_s),
    pcm_bitrate: sampleRate * channels.length * PCM_BITS,
    pcm_bytes: (channels.length * channels[0]!.length * PCM_BITS) / 8,
    duration_s,
    encode_s: (encoded - started) / 1000,
    decode_s: (performance.now() - encoded) / 1000,
    packets: live?.packets ?? 0,
    lost: live?.lost ?? 0,
  };
}

interface Heard {
  channels: Float32Array[];
  bits: number;
  packets: number;
  lost: number;
}

/** What live packets of one frame sound like of which the same ones are lost each time. */
async function overLoss(codec: Codec, { pcm, sampleRate, bitrate, denoise, loss }: Request, watch: (share: number) => void): Promise<Heard> {
  const heard: Heard = { channels: [], bits: 0, packets: 0, lost: 0 };
  for (const channel of pcm as Float32Array[]) {
    const [sender, receiver] = [await LiveEncoder.open(codec, sampleRate, { bitrate, denoise }), await LiveDecoder.open(codec, sampleRate)];
    const late = Math.round((codec.spec.delaySamples * sampleRate) / codec.spec.sampleRate);
    const padded = joined([channel, new Float32Array(sampleRate)]);
    const parts: Float32Array[] = [];
    let chance = 1;
    for (let start = 0; start < padded.length; start += sampleRate) {
      for (const packet of await sender.push(padded.subarray(start, start + sampleRate))) {
        chance = (chance * 48271) % 2147483647; // a small generator of random numbers, the same each time
        const gone = chance / 2147483647 < loss;
        parts.push(await receiver.push(gone ? null : packet));
        heard.bits += 8 * packet.length;
        heard.packets += 1;
        heard.lost += Number(gone);
      }
      watch(Math.min(1, start / channel.length));
      await new Promise((resolve) => setTimeout(resolve));
    }
    heard.channels.push(joined(parts).slice(late, late + channel.length));
  }
  return heard;
}

async function timed<T>(work: Promise<T>): Promise<[T, number]> {
  const started = performance.now();
  return [await work, (performance.now() - started) / 1000];
}

const WORK: Record<string, (request: Request) => Promise<unknown>> = {
  code,
  decode,
  drop: () => Promise.resolve(null),
  "live-encoder": async ({ model, sample_rate, bitrate, denoise }) => {
    encoder = await LiveEncoder.open(await modelOf(model), sample_rate, { bitrate, denoise, packetFrames: PACKET_FRAMES });
  },
  "live-decoder": async ({ model, sample_rate }) => {
    decoder = await LiveDecoder.open(await modelOf(model), sample_rate);
  },
  set: ({ bitrate, denoise }) => encoder.set({ bitrate, denoise }),
  packets: async ({ pcm }) => {
    const [packets, busy_s] = await timed(encoder.push(pcm as Float32Array));
    return { packets, busy_s };
  },
  sound: async ({ packets }) => {
    const started = performance.now();
    const parts: Float32Array[] = [];
    for (const packet of packets) parts.push(await decoder.push(packet));
    return { pcm: joined(parts), busy_s: (performance.now() - started) / 1000 };
  },
};

async function answer(request: Request): Promise<void> {
  const { id, work } = request;
  try {
    self.postMessage({ id, result: await WORK[work]!(request) });
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    if (!(error instanceof CodecError)) console.error(error);
    self.postMessage({ id, error: { name, message } });
  }
}

self.onmessage = ({ data }: MessageEvent<Request>) => {
  if (["code", "drop"].includes(data.work)) newest = data.id;
  queue = queue.then(() => answer(data));
};

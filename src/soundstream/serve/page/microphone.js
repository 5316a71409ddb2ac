// The microphone: recordings, and live sound through the codec.

import { ServerError, socketTo } from "./connection.js";

const AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const REFUSALS = {
  NotAllowedError: "The microphone was not allowed. Allow it in the browser's address bar, then try again.",
  NotFoundError: "No microphone was found. Plug one in, then try again.",
  NotReadableError: "Another program holds the microphone. Close it, then try again.",
};

/** Why there can be no microphone here, or null. */
export function noMicrophone() {
  if (!isSecureContext) return "Browsers give the microphone only to https pages and to localhost. Files work all the same.";
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.AudioWorkletNode) return "This browser cannot record here. Files work all the same.";
  return null;
}

/** Open the microphone; `onblock` gets {pcm, waiting_s, gaps} every 20 ms. */
async function openMicrophone(onblock) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS }).catch((error) => {
    throw new ServerError({ name: error.name, message: REFUSALS[error.name] ?? `The microphone cannot be used: ${error.message}` });
  });
  const context = new AudioContext({ latencyHint: "interactive" });
  await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "microphone", { outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => onblock(data);
  context.createMediaStreamSource(stream).connect(node).connect(context.destination);
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
  return { context, node, close };
}

/** Record until `stop` or `most_s`; `onblock` gets the seconds so far and the level, 0 to 1. */
export async function record(most_s, onblock, onfull) {
  const blocks = [];
  let samples = 0;
  const microphone = await openMicrophone(({ pcm }) => {
    if (samples >= most_s * microphone.context.sampleRate) return onfull();
    blocks.push(pcm);
    samples += pcm.length;
    onblock(samples / microphone.context.sampleRate, levelOf(pcm));
  });
  return {
    /** @returns {{pcm: Float32Array, rate: number}} */
    stop() {
      microphone.close();
      const pcm = new Float32Array(samples);
      blocks.reduce((at, block) => (pcm.set(block, at), at + block.length), 0);
      return { pcm, rate: microphone.context.sampleRate };
    },
  };
}

function levelOf(pcm) {
  const power = pcm.reduce((sum, value) => sum + value * value, 0) / pcm.length;
  return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power + 1e-9)) / 60));
}

/** Live sound through the codec. */
export class Live {
  #microphone = null;
  #socket = null;
  #sent = 0; // samples that went, and that came back
  #heard = 0;
  #delay_s = 0;
  #gaps = 0; // times that sound did not come in time

  /** @param settings model, bitrate, denoise, loss; @param on {stats, end} */
  async start(settings, on) {
    const socket = (this.#socket = socketTo("live"));
    this.#sent = this.#heard = 0;
    socket.onmessage = ({ data }) => this.#take(data, on);
    socket.onclose = () => { if (this.#socket === socket) this.#end(on, "The live connection was closed by the server."); };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new ServerError({ name: "Unreachable", message: "The server does not answer." }));
    });
    this.#microphone = await openMicrophone((block) => this.#send(block)).catch((error) => {
      this.stop();
      throw error;
    });
    socket.send(JSON.stringify({ type: "open", sample_rate: this.#microphone.context.sampleRate, ...settings }));
  }

  set({ bitrate, denoise, loss }) {
    this.#socket?.send(JSON.stringify({ type: "set", bitrate, denoise, loss }));
  }

  stop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#microphone?.close();
    this.#microphone = null;
  }

  #send({ pcm, waiting_s, gaps }) {
    if (this.#socket?.readyState !== WebSocket.OPEN || !this.#microphone) return;
    const { sampleRate, baseLatency = 0, outputLatency = 0 } = this.#microphone.context;
    this.#sent += pcm.length;
    this.#gaps = gaps;
    this.#delay_s = (this.#sent - this.#heard) / sampleRate + waiting_s + baseLatency + outputLatency;
    this.#socket.send(pcm);
  }

  #take(data, on) {
    if (typeof data !== "string") {
      const pcm = new Float32Array(data);
      this.#heard += pcm.length;
      this.#microphone?.node.port.postMessage(pcm, [pcm.buffer]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "stats") on.stats({ ...message, delay_s: this.#delay_s, gaps: this.#gaps + (message.dropped ?? 0) });
    if (message.type === "error") this.#end(on, message.message);
  }

  #end(on, reason) {
    this.stop();
    on.end(reason);
  }
}

// The microphone's samples to the page in blocks, and samples from the page to the loudspeaker.

const BLOCK_S = 0.02;
const READY_S = 0.06; // sound to have before playing starts ...
const MORE_S = 0.02, MOST_S = 0.2; // ... and how much more after each gap, up to what
const MAX_S = 0.15; // what is beyond that by more than this is skipped

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.round(BLOCK_S * sampleRate));
    this.filled = 0;
    this.queue = [];
    this.queued = 0;
    this.playing = false;
    this.ready_s = READY_S;
    this.gaps = 0;
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take(pcm) {
    this.queue.push(pcm);
    this.queued += pcm.length;
    if (this.queued > (this.ready_s + MAX_S) * sampleRate) this.skip(this.queued - this.ready_s * sampleRate);
    if (this.queued >= this.ready_s * sampleRate) this.playing = true;
  }

  skip(count) {
    while (count > 0 && this.queue.length) {
      const first = this.queue.shift(), rest = first.subarray(Math.min(first.length, Math.ceil(count)));
      this.queued -= first.length - rest.length;
      count -= first.length - rest.length;
      if (rest.length) this.queue.unshift(rest);
    }
  }

  process([input], [output]) {
    if (input.length) this.capture(input);
    this.play(output);
    return true;
  }

  capture(channels) {
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled++] = sum / channels.length;
      if (this.filled === this.block.length) this.send();
    }
  }

  send() {
    const pcm = this.block.slice();
    this.filled = 0;
    this.port.postMessage({ pcm, waiting_s: this.queued / sampleRate, gaps: this.gaps }, [pcm.buffer]);
  }

  play(channels) {
    const out = channels[0];
    for (let i = 0; i < out.length && this.playing; ) {
      const first = this.queue[0];
      if (!first) {
        this.playing = false;
        this.gaps++;
        this.ready_s = Math.min(MOST_S, this.ready_s + MORE_S);
        break;
      }
      const part = first.subarray(0, out.length - i);
      out.set(part, i);
      i += part.length;
      this.queued -= part.length;
      if (part.length === first.length) this.queue.shift();
      else this.queue[0] = first.subarray(part.length);
    }
    for (const channel of channels.slice(1)) channel.set(out);
  }
}

registerProcessor("microphone", Microphone);

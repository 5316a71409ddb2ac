// Plays the original (A) and the decoded sound (B) in step, sample by sample, and fades between them.

const AHEAD_S = 0.05; // between deciding on a start and the start
const FADE_S = 0.008;
const EDGE_S = 0.004; // fade at start and end of playing

export class Player extends EventTarget {
  #context = null;
  #out = null;
  #buffers = { a: null, b: null };
  #voices = { a: null, b: null };
  #start = null; // {when, sample}: samples since the context began, and place in the clip
  #paused = 0; // place in samples
  #volume = 0.9;
  #loop = true;
  heard = "a";
  rate = 0;
  length = 0;

  /** Take a new original; playing stops. */
  load(rate, channels) {
    this.#halt();
    this.rate = rate;
    this.length = channels[0].length;
    this.#paused = 0;
    this.#open(rate);
    this.#buffers = { a: this.#buffer(channels), b: null };
    this.#changed();
  }

  /** Take newly decoded sound; while playing it takes over in step. */
  setDecoded(channels) {
    this.#buffers.b = channels && this.#buffer(channels);
    if (!this.playing) return;
    const when = this.#soon(), old = this.#voices.b;
    this.#voices.b = this.#buffers.b && this.#voice("b", when, this.#at(when));
    if (this.#voices.b) fade(this.#voices.b.gain.gain, 0, this.heard === "b" ? 1 : 0, when / this.#clock);
    if (old) this.#end(old, when / this.#clock);
  }

  get playing() { return this.#start !== null; }
  get duration() { return this.rate ? this.length / this.rate : 0; }

  /** Seconds into the clip. */
  get position() {
    if (!this.playing) return this.#paused / (this.rate || 1);
    const late = this.#context.outputLatency || 0;
    return this.#at(Math.max(this.#start.when, (this.#context.currentTime - late) * this.#clock)) / this.rate;
  }

  async play() {
    if (this.playing || !this.#buffers.a) return;
    await this.#context.resume();
    if (!this.playing) this.#begin();
  }

  pause() {
    if (!this.playing) return;
    this.#paused = Math.round(this.position * this.rate);
    this.#halt();
    this.#changed();
  }

  seek(seconds) {
    const sample = Math.round(seconds * this.rate);
    this.#paused = Math.max(0, Math.min(this.length - 1, sample));
    if (this.playing) {
      this.#halt();
      this.#begin();
    }
    this.#changed();
  }

  choose(lane) {
    this.heard = lane;
    for (const [name, voice] of Object.entries(this.#voices)) {
      if (voice) fade(voice.gain.gain, null, name === lane ? 1 : 0, this.#context.currentTime);
    }
    this.#changed();
  }

  get loop() { return this.#loop; }
  set loop(loop) {
    this.#loop = loop;
    for (const voice of Object.values(this.#voices)) if (voice) voice.source.loop = loop;
    this.#changed();
  }

  set volume(volume) {
    this.#volume = volume;
    if (this.#out) fade(this.#out.gain, null, volume ** 2, this.#context.currentTime);
  }

  /** A context at the clip's own rate plays samples as they are; the browser's own resampling would be heard. */
  #open(rate) {
    if (this.#context?.sampleRate === rate) return;
    this.#context?.close();
    try {
      this.#context = new AudioContext({ sampleRate: rate });
    } catch {
      this.#context = new AudioContext();
    }
    this.#out = new GainNode(this.#context, { gain: this.#volume ** 2 });
    this.#out.connect(this.#context.destination);
  }

  get #clock() { return this.#context.sampleRate; }

  #buffer(channels) {
    const buffer = new AudioBuffer({ length: this.length, numberOfChannels: channels.length, sampleRate: this.rate });
    channels.forEach((channel, i) => buffer.copyToChannel(channel, i));
    return buffer;
  }

  #soon() { return Math.ceil((this.#context.currentTime + AHEAD_S) * this.#clock); }

  /** Place in the clip, in its samples, at a time in samples of the context. */
  #at(when) {
    const passed = (when - this.#start.when) * this.rate / this.#clock;
    return (this.#start.sample + passed) % this.length;
  }

  #begin() {
    const when = this.#soon();
    this.#start = { when, sample: this.#paused };
    for (const lane of ["a", "b"]) {
      const voice = this.#buffers[lane] && this.#voice(lane, when, this.#paused);
      if (voice) fade(voice.gain.gain, 0, lane === this.heard ? 1 : 0, when / this.#clock, EDGE_S);
      this.#voices[lane] = voice;
    }
    this.#voices.a.source.onended = () => this.#finished();
    this.#changed();
  }

  #voice(lane, when, sample) {
    const source = new AudioBufferSourceNode(this.#context, { buffer: this.#buffers[lane], loop: this.#loop });
    const gain = new GainNode(this.#context, { gain: 0 });
    source.connect(gain).connect(this.#out);
    source.start(when / this.#clock, sample / this.rate);
    return { source, gain };
  }

  #end(voice, when) {
    voice.source.onended = null;
    fade(voice.gain.gain, null, 0, when, EDGE_S);
    voice.source.stop(when + 2 * FADE_S);
  }

  #halt() {
    for (const voice of Object.values(this.#voices)) if (voice) this.#end(voice, this.#context.currentTime);
    this.#voices = { a: null, b: null };
    this.#start = null;
  }

  #finished() {
    this.#halt();
    this.#paused = 0;
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event("change")); }
}

/** Move a gain in a straight line, from a given value or the one it has. */
function fade(gain, from, to, when, seconds = FADE_S) {
  if (gain.cancelAndHoldAtTime) gain.cancelAndHoldAtTime(when);
  else gain.cancelScheduledValues(when);
  gain.setValueAtTime(from ?? gain.value, when);
  gain.linearRampToValueAtTime(to, when + seconds);
}

/** Codes of levels: what a decoder lacks in bands, found frame by frame. */

import type { Network, State } from "./network.ts";
import type { Quantizer } from "./quantizer.ts";

/** The codes of gains, and what is left of those before: one entry a frame is added to their decayed sum. */
export class LevelCoder {
  private readonly total: Float32Array;
  private state: State;

  /**
   * @param codebook entries `[codebook_size, bands]`, which are those of the quantizer.
   * @param network latents and quantized ones to gains.
   * @param memory share of a gain that is left in the next frame.
   */
  constructor(
    private readonly codebook: Float32Array,
    private readonly quantizer: Quantizer,
    private readonly bands: number,
    private readonly memory: number,
    private readonly network: Network,
  ) {
    this.total = new Float32Array(bands);
    this.state = network.initState();
  }

  /** Codes `[frames]` of latents `[latent_dim, frames]` and quantized ones, which lack the levels. */
  async push(latents: Float32Array, quantized: Float32Array, frames: number): Promise<Int32Array> {
    const inputs = {
      latents: { channels: latents.length / frames, data: latents },
      quantized: { channels: quantized.length / frames, data: quantized },
    };
    const [gains, next] = await this.network.step(this.state, inputs);
    this.state = next;
    return Int32Array.from({ length: frames }, (_, frame) => this.next(gains, frame, frames));
  }

  private next(gains: Float32Array, frame: number, frames: number): number {
    const missing = new Float32Array(this.bands);
    for (let band = 0; band < this.bands; band++) {
      this.total[band]! *= Math.fround(this.memory);
      missing[band] = gains[band * frames + frame]! - this.total[band]!;
    }
    const found = this.quantizer.nearest(missing, 0);
    for (let band = 0; band < this.bands; band++) this.total[band]! += this.codebook[found * this.bands + band]!;
    return found;
  }
}

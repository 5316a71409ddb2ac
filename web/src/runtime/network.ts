/** One network: `step` takes the state and the next input, and gives output and new state. */

import { ArtifactError } from "../errors.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { type Engine, Graph } from "./graph.ts";
import type { Tensor } from "./onnx.ts";
import { size } from "./operators.ts";
import { openSession } from "./session.ts";

const STATE_SUFFIX = ".next";

/** What a network remembers of one signal. */
export type State = Record<string, Tensor>;

/** Rows of one signal `[channels, time]`, the last one changing fastest. */
export interface Rows {
  channels: number;
  data: Float32Array;
}

/** A graph whose first output is its result and whose `NAME.next` outputs are the next call's state inputs. */
export class Network {
  private readonly states: string[];

  private constructor(private readonly engine: Engine) {
    const states = engine.outputs.filter((output) => output.endsWith(STATE_SUFFIX));
    this.states = states.map((output) => output.slice(0, -STATE_SUFFIX.length));
  }

  /** @throws ArtifactError the graph is damaged, or neither we nor ONNX Runtime can run it. */
  static async load(name: string, model: Uint8Array, kernels: Kernels): Promise<Network> {
    try {
      return new Network(Graph.of(model, kernels) ?? (await openSession(model)));
    } catch (error) {
      if (error instanceof ArtifactError) throw error;
      throw new ArtifactError(`ONNX Runtime cannot load ${name}: ${String(error)}`);
    }
  }

  /** Channels of an input; 0 if the graph has none of this name. */
  inputChannels(name: string): number {
    return this.engine.inputs.get(name)?.[1] ?? 0;
  }

  /** State before the first sample of a signal. */
  initState(): State {
    return Object.fromEntries(
      this.states.map((name) => {
        const dims = [1, ...this.engine.inputs.get(name)!.slice(1)];
        return [name, { dims, data: new Float32Array(size(dims)) }];
      }),
    );
  }

  /** Run the graph on the next rows; its first result `[channels, time]`, and the state after them. */
  async step(state: State, inputs: Record<string, Rows>): Promise<[Float32Array, State]> {
    const tensors = Object.entries(inputs).map(([name, { channels, data }]) => {
      return [name, { dims: [1, channels, 1, data.length / channels], data }] as const;
    });
    const found = await this.engine.run({ ...state, ...Object.fromEntries(tensors) });
    const result = this.engine.outputs.find((name) => !name.endsWith(STATE_SUFFIX))!;
    const next = this.states.map((name) => [name, found[name + STATE_SUFFIX]!] as const);
    return [found[result]!.data, Object.fromEntries(next)];
  }
}

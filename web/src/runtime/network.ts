/** One network in ONNX Runtime: `step` takes the state and the next input, and gives output and new state. */

import * as ort from "onnxruntime-web/wasm";

import { ArtifactError } from "../errors.ts";
import { withFloatProducts } from "./onnx.ts";

const STATE_SUFFIX = ".next";

/** What a network remembers of one signal. */
export type State = Record<string, ort.Tensor>;

/** Rows of one signal `[channels, time]`, the last one changing fastest. */
export interface Rows {
  channels: number;
  data: Float32Array;
}

/** An ONNX graph whose first output is its result and whose `NAME.next` outputs are the next call's state inputs. */
export class Network {
  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly shapes: Map<string, readonly (number | string)[]>,
    private readonly states: string[],
  ) {}

  /** @throws ArtifactError ONNX Runtime cannot load the graph. */
  static async load(name: string, model: Uint8Array): Promise<Network> {
    try {
      const options = { executionProviders: ["wasm"], logSeverityLevel: 3 } as const;
      const session = await ort.InferenceSession.create(withFloatProducts(model), options);
      const shapes = session.inputMetadata.map((input) => [input.name, input.isTensor ? input.shape : []] as const);
      const states = session.outputNames.filter((output) => output.endsWith(STATE_SUFFIX));
      return new Network(session, new Map(shapes), states.map((output) => output.slice(0, -STATE_SUFFIX.length)));
    } catch (error) {
      if (error instanceof ArtifactError) throw error;
      throw new ArtifactError(`ONNX Runtime cannot load ${name}: ${String(error)}`);
    }
  }

  /** Channels of an input; 0 if the graph has none of this name. */
  inputChannels(name: string): number {
    return Number(this.shapes.get(name)?.[1] ?? 0);
  }

  /** State before the first sample of a signal. */
  initState(): State {
    return Object.fromEntries(
      this.states.map((name) => {
        const dims = [1, ...this.shapes.get(name)!.slice(1).map(Number)];
        return [name, new ort.Tensor("float32", new Float32Array(dims.reduce((all, size) => all * size)), dims)];
      }),
    );
  }

  /** Run the graph on the next rows; its first result `[channels, time]`, and the state after them. */
  async step(state: State, inputs: Record<string, Rows>): Promise<[Float32Array, State]> {
    const tensors = Object.entries(inputs).map(([name, { channels, data }]) => {
      return [name, new ort.Tensor("float32", data, [1, channels, 1, data.length / channels])] as const;
    });
    const found = await this.session.run({ ...state, ...Object.fromEntries(tensors) });
    const result = this.session.outputNames.find((name) => !name.endsWith(STATE_SUFFIX))!;
    const next = this.states.map((name) => [name, found[name + STATE_SUFFIX]!] as const);
    return [found[result]!.data as Float32Array, Object.fromEntries(next)];
  }
}

/**
 * How ONNX Runtime is to run; before the first network is loaded.
 *
 * @param threads of WebAssembly; more than one need a page that is isolated (`crossOriginIsolated`).
 * @param files the folder of its `.wasm` and `.mjs` files; not given, they lie beside its own module.
 */
export function configureRuntime(threads: number, files?: string): void {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  if (files !== undefined) ort.env.wasm.wasmPaths = files;
}

/** ONNX Runtime, for graphs with operators that we do not have; it is fetched when the first of them is loaded. */

import type { Engine } from "./graph.ts";

const settings: { threads: number; files?: string } = { threads: 1 };

/**
 * How ONNX Runtime is to run, where a model needs it; before the first network is loaded.
 *
 * @param threads of WebAssembly; more than one need a page that is isolated (`crossOriginIsolated`).
 * @param files the folder of its `.wasm` and `.mjs` files; not given, they lie beside its own module.
 */
export function configureRuntime(threads: number, files?: string): void {
  Object.assign(settings, { threads }, files === undefined ? {} : { files });
}

export async function openSession(model: Uint8Array): Promise<Engine> {
  const ort = await import("onnxruntime-web/wasm");
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = settings.threads;
  if (settings.files !== undefined) ort.env.wasm.wasmPaths = settings.files;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  const shapes = session.inputMetadata.map((input) => {
    return [input.name, input.isTensor ? input.shape.map((length) => Number(length) || 0) : []] as const;
  });
  return {
    inputs: new Map(shapes),
    outputs: session.outputNames,
    run: async (inputs) => {
      const tensors = Object.entries(inputs).map(([name, { dims, data }]) => [name, new ort.Tensor("float32", data, dims)] as const);
      const found = await session.run(Object.fromEntries(tensors));
      return Object.fromEntries(session.outputNames.map((name) => [name, { dims: found[name]!.dims, data: found[name]!.data as Float32Array }]));
    },
  };
}

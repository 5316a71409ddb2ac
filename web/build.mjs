// Builds the kernels, the library in dist/, and what the static page has of its own.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { build } from "esbuild";

const KERNELS = "src/kernels/kernels";
const PAGE = "../src/soundstream/serve/static";

mkdirSync("dist", { recursive: true });
execFileSync("node_modules/.bin/asc", [
  `${KERNELS}.as.ts`, "-o", "dist/kernels.wasm", "-O3", "--runtime", "stub", "--enable", "simd", "--use", "abort=",
], { stdio: "inherit" });
const wasm = readFileSync("dist/kernels.wasm").toString("base64");
writeFileSync(`${KERNELS}.wasm.ts`, `// Made by build.mjs of kernels.as.ts.\nexport const KERNELS =\n  "${wasm}";\n`);

const shared = { bundle: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };
await build({ ...shared, entryPoints: ["src/index.ts"], outfile: "dist/index.js", external: ["onnxruntime-web/wasm"] });

const RUNTIME = "node_modules/onnxruntime-web";
const ENTRY = "ort.wasm.min.mjs";
await build({
  ...shared,
  minify: true,
  entryPoints: ["src/page/connection.ts", "src/page/codec-worker.ts"],
  outdir: PAGE,
  external: [`./runtime/${ENTRY}`],
  alias: { "onnxruntime-web/wasm": `./runtime/${ENTRY}` },
});
copyFileSync("src/page/sw.js", `${PAGE}/sw.js`);
const files = [ENTRY, "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const digest = (name) => createHash("sha256").update(readFileSync(`${RUNTIME}/dist/${name}`)).digest("hex");
const { version } = JSON.parse(readFileSync(`${RUNTIME}/package.json`, "utf8"));
const runtime = { version, files: Object.fromEntries(files.map((name) => [name, digest(name)])) };
writeFileSync(`${PAGE}/runtime.json`, `${JSON.stringify(runtime, null, 2)}\n`);

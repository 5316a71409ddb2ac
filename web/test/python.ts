/** Files of the checkout, and its Python, for tests. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PYTHON = `${ROOT}.venv/bin/python`;

/** Why nothing can be compared with Python here, or false: what `skip` of a test takes. */
export const noPython = existsSync(PYTHON) ? false : "no .venv with the Python package";

export function bytes(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(ROOT + path));
}

/** Run a script of the Python package in the folder of the tests. @returns what it printed. */
export function python(script: string, ...args: string[]): string {
  const options = { cwd: ROOT, encoding: "utf8", env: { ...process.env, PYTHONPATH: `${ROOT}tests`, OMP_NUM_THREADS: "1" } } as const;
  const { status, stdout, stderr } = spawnSync(PYTHON, ["-c", script, ...args], options);
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

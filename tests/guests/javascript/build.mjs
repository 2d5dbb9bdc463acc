// Makes connector.wasm of connector.mjs: node build.mjs WIT-FOLDER OUTPUT
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, output] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath: fileURLToPath(new URL('connector.mjs', import.meta.url)),
  witPath,
  worldName: 'base',
  // What is left is wasi:http for fetch, clocks and randomness. Lines for the operator go through usher:host/log.
  disableFeatures: ['stdio', 'fetch-event'],
});
await writeFile(output, component);

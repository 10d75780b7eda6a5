// @vladmandic/human with its WASM backend, the models of its package and the default face options, except: up to 50
// faces instead of 1, and no caching between photographs (`cacheSensitivity: 0`). Started in the folder with its
// node_modules.
const fs = require('fs');
const path = require('path');
const { fileURLToPath, pathToFileURL } = require('url');
const { createRequire } = require('module');

const installed = createRequire(path.join(process.cwd(), 'package.json'));
const wasm = installed('@tensorflow/tfjs-backend-wasm');
const { decode, run } = require('./answer_loop.cjs');

// Node's fetch does not read files; Human loads its models with fetch.
const download = globalThis.fetch;
globalThis.fetch = async (url, init) => (
  String(url).startsWith('file:') ? new Response(fs.readFileSync(fileURLToPath(url))) : download(url, init)
);

const PACKAGE = path.join(process.cwd(), 'node_modules', '@vladmandic', 'human');
const { Human } = require(path.join(PACKAGE, 'dist', 'human.node-wasm.js'));
const human = new Human({
  backend: 'wasm',
  wasmPath: `${path.dirname(installed.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/dist/`,
  modelBasePath: `${pathToFileURL(path.join(PACKAGE, 'models'))}/`,
  cacheSensitivity: 0,
  debug: false,
  face: { detector: { maxDetected: 50 } },
  body: { enabled: false },
  hand: { enabled: false },
  object: { enabled: false },
  gesture: { enabled: false },
});

async function analyze(file) {
  const { data, width, height } = await decode(file);
  const tensor = human.tf.tensor3d(data, [height, width, 3], 'int32');
  const { face } = await human.detect(tensor);
  human.tf.dispose(tensor);
  return face.map((one) => ({
    box: one.box,
    age: one.age ?? null,
    gender: one.gender === 'unknown' ? null : one.gender ?? null,
    emotions: Object.fromEntries((one.emotion ?? []).map(({ emotion, score }) => [emotion, score])),
  }));
}

async function main() {
  wasm.setThreadsCount(1);
  await human.load();
  const { tf } = human;
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const backend = `${tf.getBackend()}, SIMD ${simd}`;
  await run({ human: human.version, tfjs: tf.version['tfjs-core'] ?? tf.version_core, backend }, analyze);
}

main();

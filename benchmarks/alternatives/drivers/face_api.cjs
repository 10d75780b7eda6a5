// @vladmandic/face-api as in its README ("NodeJS using WASM") and TUTORIAL: SSD MobileNet V1 with its default options,
// landmarks for the alignment, expressions, age and gender. Started in the folder with its node_modules.
const path = require('path');
const { createRequire } = require('module');

const installed = createRequire(path.join(process.cwd(), 'package.json'));
const tf = installed('@tensorflow/tfjs');
const wasm = installed('@tensorflow/tfjs-backend-wasm');
const faceapi = installed('@vladmandic/face-api/dist/face-api.node-wasm.js');
const { decode, run } = require('./answer_loop.cjs');

const EMOTIONS = {
  angry: 'angry', disgusted: 'disgust', fearful: 'fear', happy: 'happy', sad: 'sad', surprised: 'surprise', neutral: 'neutral',
};
const MODELS = path.join(path.dirname(installed.resolve('@vladmandic/face-api/package.json')), 'model');

async function analyze(file) {
  const { data, width, height } = await decode(file);
  const tensor = tf.tensor3d(data, [height, width, 3], 'int32');
  const found = await faceapi.detectAllFaces(tensor).withFaceLandmarks().withFaceExpressions().withAgeAndGender();
  tf.dispose(tensor);
  return found.map(({ detection, expressions, age, gender }) => ({
    box: [detection.box.x, detection.box.y, detection.box.width, detection.box.height],
    age,
    gender,
    emotions: Object.fromEntries(Object.entries(EMOTIONS).map(([name, ours]) => [ours, expressions[name]])),
  }));
}

async function main() {
  wasm.setWasmPaths(`${path.dirname(installed.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/dist/`);
  wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  const { nets } = faceapi;
  for (const net of [nets.ssdMobilenetv1, nets.faceLandmark68Net, nets.ageGenderNet, nets.faceExpressionNet]) {
    await net.loadFromDisk(MODELS);
  }
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  await run({ 'face-api': faceapi.version, tfjs: tf.version_core, backend: `${tf.getBackend()}, SIMD ${simd}` }, analyze);
}

main();

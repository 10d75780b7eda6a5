// The common form of the drivers in JavaScript: one path per line on standard input, one JSON object per line on
// standard output. Time and CPU time are from the path to the predictions, with reading and decoding of the file.
const readline = require('readline');
const sharp = require('sharp');

sharp.concurrency(1);
sharp.cache(false);
console.log = console.error; // the libraries' own messages

function write(object) {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

/** Return a photograph as { data: RGB bytes, width, height }. */
async function decode(path) {
  const { data, info } = await sharp(path).toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Answer every line with the faces that `analyze(path)` returns. */
async function run(versions, analyze) {
  write({ versions: { node: process.versions.node, ...versions } });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const start = process.hrtime.bigint();
    const cpu = process.cpuUsage();
    const faces = await analyze(line);
    const used = process.cpuUsage(cpu);
    const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
    write({ photograph: line, faces, milliseconds, cpu_ms: (used.user + used.system) / 1e3 });
  }
}

module.exports = { decode, run };

// Analyze a photograph from Node.js: npm ci && node client.mjs localhost:50051 photo.jpg PROTOS...
// PROTOS: the folders that `python -m mien.protos` prints, in a clone of Mien `protos` and that of googleapis-common-protos.
import { readFile } from "node:fs/promises";
import { credentials, loadPackageDefinition, status } from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [server, photo, ...folders] = process.argv.slice(2);
const includeDirs = folders.map((folder) => folder.replace(/^-I/, ""));
const options = { includeDirs, keepCase: true, enums: String, defaults: true };
const { mien } = loadPackageDefinition(protoLoader.loadSync("mien/v1/face_service.proto", options));
const client = new mien.v1.FaceAnalysisService(server, credentials.createInsecure());

const analyze = (request) =>
  new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    client.analyze(request, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });

try {
  const reply = await analyze({ image: await readFile(photo) });
  for (const { box, age, gender, emotions } of reply.faces) {
    const place = `(${box.x.toFixed()}, ${box.y.toFixed()})`;
    console.log(place, age?.years.toFixed(), gender?.value, emotions[0]?.label); // absent if a task abstained or failed
  }
  for (const { task, status: { code, message } } of reply.tasks) {
    if (code !== status.OK) console.error(`${task} failed: ${message}`);
  }
} catch (error) {
  console.error(`${status[error.code] ?? "error"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}

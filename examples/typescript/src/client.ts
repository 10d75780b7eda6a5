// Analyze a photograph: node dist/client.js http://localhost:50051 photo.jpg       (gRPC)
//                       node dist/client.js http://localhost:8000 photo.jpg web   (gRPC-Web, through Envoy)
// A browser uses the second transport, which needs `fetch` alone.
import { readFile } from "node:fs/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { GenderValue } from "./gen/mien/v1/face_pb.js";
import { FaceAnalysisService } from "./gen/mien/v1/face_service_pb.js";

const [baseUrl = "http://localhost:50051", photo = "photo.jpg", web] = process.argv.slice(2);
const transport = web ? createGrpcWebTransport({ baseUrl }) : createGrpcTransport({ baseUrl });
const client = createClient(FaceAnalysisService, transport);

try {
  const image = await readFile(photo);
  const reply = await client.analyze({ source: { case: "image", value: image } }, { timeoutMs: 10_000 });
  for (const { box, age, gender, emotions } of reply.faces) {
    const place = `(${box?.x.toFixed()}, ${box?.y.toFixed()})`;
    // Absent if a task abstained or failed.
    console.log(place, age?.years.toFixed(), gender && GenderValue[gender.value], emotions[0]?.label);
  }
} catch (error) {
  const { code, rawMessage } = ConnectError.from(error);
  const [info] = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema) : [];
  console.error(`${Code[code]} ${info?.reason ?? ""}: ${rawMessage}`);
  process.exitCode = 1;
}

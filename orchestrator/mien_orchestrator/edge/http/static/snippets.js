// The same request as a command line and as programs.

import { query } from "./api.js";

export const LANGUAGES = { curl, Python: python, Node: node };

function curl({ origin, name, options, token }) {
  const header = token ? "  --header 'Authorization: Bearer TOKEN' \\\n" : "";
  return `curl --data-binary @${quoted(name)} \\\n${header}  '${origin}/v1/analyze${query(options)}'`;
}

function python({ name, options, server, token }) {
  const given = [
    options.tasks ? `tasks=[${options.tasks.map((task) => `"${task}"`).join(", ")}]` : "",
    options.maxFaces ? `max_faces=${options.maxFaces}` : "",
  ].filter(Boolean);
  const call = [JSON.stringify(name), ...given].join(", ");
  const credentials = token ? ', token="TOKEN"' : "";
  return `import mien  # pip install mien

with mien.Client("${server}"${credentials}) as client:  # gRPC; mien.Client.local() needs no server
    analysis = client.analyze(${call})
    for face in analysis.faces:
        print(face)`;
}

function node({ origin, name, options, token }) {
  const headers = token ? `\n  headers: { authorization: "Bearer TOKEN" },` : "";
  return `import { readFile } from "node:fs/promises";

const response = await fetch("${origin}/v1/analyze${query(options)}", {
  method: "POST",${headers}
  body: await readFile(${JSON.stringify(name)}),
});
const reply = await response.json();
if (!response.ok) throw new Error(reply.message);
console.log(reply.faces);`;
}

const quoted = (name) => (/^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);

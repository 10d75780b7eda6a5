// The camera, live: frames to the server through a WebSocket, boxes with track numbers and a curve of the mood.

import { query } from "./api.js";
import { $, element, percent, plain, shape } from "./dom.js";

const IN_FLIGHT = 2; // frames on their way: the next one is taken while the last one is analyzed
const CURVE_MS = 20_000;
const WIDTH = 640;

export class Live {
  constructor(options, token, onEnd) {
    this.onEnd = onEnd;
    this.waiting = 0;
    this.curves = new Map();
    this.rate = [];
    this.canvas = document.createElement("canvas");
    const url = new URL(`v1/stream?drop_policy=latest${query(options).replace("?", "&")}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url, token ? ["mien.v1", `bearer.${token}`] : ["mien.v1"]);
    this.socket.addEventListener("open", () => this.pump());
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.end(event.code === 1000 ? "" : event.reason));
  }

  // Sends a frame whenever there is room for one.
  async pump() {
    const video = $("video");
    while (this.socket.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => video.requestVideoFrameCallback?.(resolve) ?? requestAnimationFrame(resolve));
      if (this.waiting >= IN_FLIGHT || !video.videoWidth || this.sending) continue;
      this.sending = true;
      this.canvas.width = Math.min(WIDTH, video.videoWidth);
      this.canvas.height = Math.round((video.videoHeight * this.canvas.width) / video.videoWidth);
      this.canvas.getContext("2d").drawImage(video, 0, 0, this.canvas.width, this.canvas.height);
      const blob = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", 0.85));
      this.sending = false;
      if (this.socket.readyState !== WebSocket.OPEN) return;
      this.waiting += 1;
      this.socket.send(blob);
    }
  }

  receive(reply) {
    if (reply.error) {
      this.problem = reply.error.message;
      return;
    }
    if (reply.frame_id === undefined) return; // the last one
    this.waiting = Math.max(0, this.waiting - 1 - reply.dropped_frames);
    const now = performance.now();
    this.rate = [...this.rate.filter((time) => time > now - 2000), now];
    draw(reply);
    this.follow(reply);
    $("live-status").textContent =
      `${reply.faces.length} ${reply.faces.length === 1 ? "face" : "faces"}, ${Math.round(this.rate.length / 2)} frames per second`;
  }

  // Adds a point to the curve of each face.
  follow({ faces, timestamp_ms: now }) {
    for (const { track_id: id, face } of faces) {
      if (!face.mood) continue;
      const curve = [...(this.curves.get(id) ?? []), { now, valence: face.mood.valence }];
      this.curves.set(id, curve.filter((point) => point.now > now - CURVE_MS));
    }
    const lines = [...this.curves].map(([id, curve]) => line(id, curve, now)).filter(Boolean);
    $("curve").replaceChildren(shape("line", { x1: 0, x2: 200, y1: 30, y2: 30, class: "axis" }), ...lines);
    const texts = faces.map(({ track_id: id, face, emotion }) => {
      const mood = face.mood ? `, mood ${plain(face.mood.label)}` : "";
      const age = face.age ? `, about ${Math.round(face.age.years)}` : "";
      return element("li", {}, `Face ${id}: ${emotion || "no expression yet"}${mood}${age}`);
    });
    $("tracks").replaceChildren(...texts);
  }

  // Ends the stream from this side.
  stop() {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.close(1000);
    else this.end("");
  }

  end(reason) {
    if (this.ended) return;
    this.ended = true;
    $("overlay").replaceChildren();
    this.onEnd(this.problem || reason);
  }
}

function draw({ faces, image }) {
  const layer = $("overlay");
  layer.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  const size = image.height / 22;
  layer.replaceChildren(...faces.flatMap(({ track_id: id, emotion, face: { box, emotions } }) => {
    const place = { x: box.x, y: box.y, width: box.width, height: box.height, rx: size / 4 };
    const share = emotions.find((each) => each.label === emotion)?.probability;
    const text = `${id}${emotion ? ` ${emotion}` : ""}${share === undefined ? "" : ` ${percent(share)}`}`;
    return [shape("rect", { ...place, class: "under" }), shape("rect", place),
      shape("text", { x: box.x, y: Math.max(size, box.y - size / 3), "font-size": size }, text)];
  }));
}

function line(id, curve, now) {
  if (curve.length < 2) return null;
  const points = curve.map((point) => `${200 - ((now - point.now) / CURVE_MS) * 200},${30 - point.valence * 28}`);
  return shape("polyline", { points: points.join(" "), class: `curve-${id % 4}` });
}

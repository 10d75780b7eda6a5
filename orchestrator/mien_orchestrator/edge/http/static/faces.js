// The faces of a reply: boxes over the photograph, and a card for each face.

import { element, percent, plain, shape } from "./dom.js";

const REASONS = {
  REASON_FACE_TOO_SMALL: (face, server) =>
    `Too small to tell: ${Math.round(face.quality.size_px)} pixels high; this server needs ${Math.round(server.min_face_px)}.`,
  REASON_FACE_TOO_BLURRED: (face, server) =>
    `Too blurred to tell: sharpness ${face.quality.sharpness.toFixed(3)}; this server needs ${server.min_sharpness}.`,
};

export function picture(reply, url) {
  const { width, height } = reply.image;
  const size = Math.max(width, height) / 28;
  const layer = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  reply.faces.forEach(({ box }, index) => {
    const place = { x: box.x, y: box.y, width: box.width, height: box.height, rx: size / 4 };
    const label = shape("text", { x: box.x + size / 5, y: box.y - size / 4, "font-size": size }, String(index + 1));
    if (box.y < size * 1.3) label.setAttribute("y", box.y + size);
    layer.append(shape("rect", { ...place, class: "under" }), shape("rect", place), label);
  });
  const image = element("img", { src: url, alt: `The photograph, with ${count(reply.faces.length)} marked` });
  const frame = element("div", { className: "picture" }, image, layer);
  image.addEventListener("error", () => frame.classList.add("broken")); // a format that the browser does not show
  return { frame, image };
}

export const count = (faces) => `${faces} ${faces === 1 ? "face" : "faces"}`;

export function cards(reply, server, image) {
  const list = element("ol", { className: "faces" });
  reply.faces.forEach((face, index) => list.append(element("li", {}, faceCard(face, index, server, image))));
  return list;
}

function faceCard(face, index, server, image) {
  const thumbnail = element("canvas", { width: 112, height: 112, "aria-hidden": "true" });
  const draw = () => drawFace(thumbnail, image, face.box);
  if (image.complete && image.naturalWidth) draw();
  else image.addEventListener("load", draw);
  const score = face.detection_score === undefined ? "" : `detected with ${percent(face.detection_score)}`;
  const heading = element("div", {}, element("h3", {}, `Face ${index + 1}`), element("small", {}, score));
  const made = element("article", { className: "face" }, element("header", {}, thumbnail, heading));
  made.setAttribute("aria-label", `Face ${index + 1}`);
  const reasons = face.quality?.abstained_reasons ?? [];
  if (reasons.length) {
    const texts = reasons.map((reason) => REASONS[reason]?.(face, server) ?? plain(reason));
    made.append(element("p", { className: "abstained" }, texts.join(" "), " There is no estimate rather than a guess."));
    return made;
  }
  const facts = element("dl");
  const fact = (name, text) => facts.append(element("dt", {}, name), element("dd", {}, text));
  if (face.age) fact("Age", `about ${Math.round(face.age.years)} (${Math.round(face.age.low)} to ${Math.round(face.age.high)})`);
  if (face.gender) fact("Looks", `${plain(face.gender.value)}, ${percent(face.gender.probability)}`);
  made.append(facts);
  if (face.emotions.length) made.append(bars(face.emotions));
  if (face.mood) made.append(circumplex(face.mood));
  return made;
}

function drawFace(canvas, image, box) {
  const side = Math.max(box.width, box.height) * 1.3;
  const x = box.x + box.width / 2 - side / 2;
  const y = box.y + box.height / 2 - side / 2;
  canvas.getContext("2d").drawImage(image, x, y, side, side, 0, 0, canvas.width, canvas.height);
}

function bars(emotions) {
  const rows = emotions.map(({ label, probability }) => {
    const fill = element("div", { className: "fill" });
    fill.style.width = `${probability * 100}%`;
    return element("tr", {},
      element("th", { scope: "row" }, label),
      element("td", {}, element("div", { className: "track" }, fill)),
      element("td", { className: "share" }, percent(probability)));
  });
  return element("table", { className: "bars" }, element("caption", {}, "Expression"), element("tbody", {}, ...rows));
}

function circumplex({ valence, arousal, label }) {
  const drawing = shape("svg", { viewBox: "-1.25 -1.25 2.5 2.5", role: "img", "aria-label":
    `Mood ${plain(label)}: valence ${signed(valence)}, arousal ${signed(arousal)}` },
  shape("circle", { class: "rim", r: 1 }),
  shape("line", { x1: -1, x2: 1, y1: 0, y2: 0 }),
  shape("line", { x1: 0, x2: 0, y1: -1, y2: 1 }),
  shape("text", { x: 0, y: -1.06, "text-anchor": "middle" }, "aroused"),
  shape("text", { x: 0, y: 1.2, "text-anchor": "middle" }, "calm"),
  shape("circle", { class: "point", r: .12, cx: valence, cy: -arousal }));
  const text = element("p", {}, "Mood: ", element("strong", {}, plain(label)), element("br"),
    `valence ${signed(valence)}, arousal ${signed(arousal)}`);
  return element("div", { className: "mood" }, drawing, text);
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

// One photograph from the camera.

import { $ } from "./dom.js";

let stream = null;

export async function open() {
  if (!navigator.mediaDevices) throw new Error("The browser gives pages without HTTPS no camera, except on localhost.");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch (error) {
    throw new Error(error.name === "NotAllowedError" ? "The browser does not allow the camera." : "There is no camera.");
  }
  $("video").srcObject = stream;
  await $("video").play();
  $("camera").hidden = false;
  $("drop").hidden = true;
}

export function close() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("video").srcObject = null;
  $("camera").hidden = true;
  $("drop").hidden = false;
}

export function shoot() {
  const video = $("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(new File([blob], "camera.jpg")), "image/jpeg", 0.92));
}

// The page: takes a photograph, calls the server, shows the reply.

import * as api from "./api.js";
import * as camera from "./camera.js";
import { $, element, plain } from "./dom.js";
import { cards, count, picture } from "./faces.js";
import { Live } from "./live.js";
import { markdown } from "./markdown.js";
import { LANGUAGES } from "./snippets.js";
import { summary, waterfall } from "./timing.js";

const state = { server: null, grpcPort: 0, photograph: null, url: null, calls: null, live: null, language: "curl" };

const token = () => $("token").value.trim();

function options() {
  const boxes = [...document.querySelectorAll("#tasks input")];
  const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
  return {
    tasks: chosen.length === boxes.length ? null : chosen,
    maxFaces: $("max-faces").value ? Number($("max-faces").value) : null,
  };
}

// --- the server -------------------------------------------------------------------------------------------------

async function connect() {
  try {
    state.server = await api.serverInfo(token());
  } catch (error) {
    $("server").textContent = error.status === 401 ? "This server needs a token." : "No connection.";
    if (error.status === 401) $("token-field").hidden = false;
    else showProblem(error);
    return;
  }
  $("server").textContent = `version ${state.server.version}, ${plain(state.server.deployment_mode)}`;
  if (!$("tasks").childElementCount) {
    for (const task of state.server.tasks) {
      const box = element("input", { type: "checkbox", value: task, checked: true });
      $("tasks").append(element("label", {}, box, ` ${task}`));
    }
  }
  const { models } = await api.models(token());
  await offerComparison(models);
  const used = new Set(Object.values(state.server.models).map((model) => model.name));
  $("model").replaceChildren(...models.map(({ name }) =>
    element("option", { value: name }, used.has(name) ? `${name} (in use)` : name)));
  await showCard();
}

async function offerComparison(models) {
  const settings = await api.settings();
  state.grpcPort = settings.grpc_port;
  const inUse = state.server.models;
  const others = models.flatMap(({ name, tasks }) =>
    tasks.filter((task) => inUse[task] && inUse[task].name !== name).map((task) => `${task}:${name}`));
  $("compare-field").hidden = !settings.compare_models || !others.length;
  $("compare").replaceChildren(element("option", { value: "" }, "no other model"),
    ...others.map((value) => element("option", { value }, value.replace(":", ": "))));
}

async function showCard() {
  if (!$("model").value) return;
  try {
    $("card").replaceChildren(...markdown((await api.card($("model").value, token())).markdown));
  } catch (error) {
    $("card").replaceChildren(element("p", { className: "problem" }, error.message));
  }
}

// --- the photograph ---------------------------------------------------------------------------------------------

function take(file) {
  if (!file) return;
  if (file.type && !file.type.startsWith("image/")) {
    showProblem(new api.Problem(`“${file.name}” is not an image.`));
    return;
  }
  state.photograph = file;
  if (state.url) URL.revokeObjectURL(state.url);
  state.url = URL.createObjectURL(file);
  $("again").disabled = false;
  analyze();
}

async function analyze() {
  state.calls?.abort();
  const calls = (state.calls = new AbortController());
  const asked = options();
  if (asked.tasks?.length === 0) {
    showProblem(new api.Problem("Choose at least one thing to estimate."));
    return;
  }
  $("problem").hidden = true;
  $("status").textContent = "Analyzing …";
  $("result").setAttribute("aria-busy", "true");
  try {
    const wanted = [asked, ...($("compare").value ? [{ ...asked, models: $("compare").value }] : [])];
    const replies = wanted.map((each) => api.analyze(state.photograph, each, token(), calls.signal));
    show(await Promise.all(replies), wanted);
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error);
  } finally {
    if (state.calls === calls) $("result").removeAttribute("aria-busy");
  }
  showSnippet();
}

function show(replies, wanted) {
  const [reply] = replies;
  const { frame, image } = picture(reply, state.url);
  const columns = replies.map((each, index) => column(each, wanted[index], image, replies.length > 1));
  $("answers").replaceChildren(frame, element("div", { className: "columns" }, ...columns));
  $("answers").classList.toggle("beside", replies.length === 1 && reply.faces.length < 2);
  if ($("result").getBoundingClientRect().top > innerHeight / 2) $("result").scrollIntoView();
  const more = reply.faces_truncated ? ", the largest; there are more" : "";
  const damaged = reply.image.data_missing ? " A part of the file is missing." : "";
  const { width, height, format } = reply.image;
  $("status").textContent = `${count(reply.faces.length)}${more}, in ${width} by ${height} pixels of ${format}.${damaged}`;
  $("timing-text").textContent = summary(reply.timing);
  $("waterfall").replaceChildren(...waterfall(reply.timing));
  $("timing").hidden = false;
  $("json").textContent = JSON.stringify(reply, null, 2);
  $("raw").hidden = false;
}

function column(reply, { models }, image, headed) {
  const failed = reply.tasks.filter((task) => task.status.code);
  const notes = failed.map((task) =>
    element("p", { className: "problem" }, `${task.task}: ${task.status.message}`));
  const heading = models ? `With ${models.replace(":", ": ")}` : "With the models in use";
  const children = [...(headed ? [element("h3", {}, heading)] : []), ...notes, cards(reply, state.server, image)];
  return element("section", { "aria-label": heading }, ...children);
}

function showProblem(error) {
  $("problem").replaceChildren(error.message, ...(error.reason ? [element("br"), element("code", {}, error.reason)] : []));
  $("problem").hidden = false;
  $("status").textContent = "No result.";
  $("answers").replaceChildren();
  $("timing").hidden = $("raw").hidden = true;
  if (error.status === 401) {
    $("token-field").hidden = false;
    $("token").focus();
  }
}

// --- code -------------------------------------------------------------------------------------------------------

function showSnippet() {
  const origin = location.origin;
  const name = state.photograph?.name || "photo.jpg";
  const server = `${location.hostname}:${state.grpcPort || 50051}`;
  $("snippet").textContent = LANGUAGES[state.language]({ origin, name, server, options: options(), token: token() });
  $("copied").textContent = "";
}

function choose(language) {
  state.language = language;
  for (const tab of $("languages").children) {
    const selected = tab.textContent === language;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
    if (selected) $("snippet-panel").setAttribute("aria-labelledby", tab.id);
  }
  showSnippet();
}

function makeTabs() {
  const names = Object.keys(LANGUAGES);
  names.forEach((name, index) => {
    const tab = element("button", { type: "button", id: `tab-${name}`, role: "tab", "aria-controls": "snippet-panel" }, name);
    tab.addEventListener("click", () => choose(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = names[(index + step + names.length) % names.length];
      choose(next);
      $(`tab-${next}`).focus();
    });
    $("languages").append(tab);
  });
  choose("curl");
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("snippet").textContent);
    $("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren($("snippet"));
    $("copied").textContent = "Selected: press Ctrl+C.";
  }
}

// --- live -------------------------------------------------------------------------------------------------------

function startLive() {
  if (options().tasks?.length === 0) {
    showProblem(new api.Problem("Choose at least one thing to estimate."));
    return;
  }
  $("live").setAttribute("aria-pressed", "true");
  $("live-panel").hidden = false;
  $("problem").hidden = true;
  state.live = new Live(options(), token(), (reason) => {
    state.live = null;
    $("live").setAttribute("aria-pressed", "false");
    $("live-panel").hidden = true;
    if (reason) showProblem(new api.Problem(reason));
  });
}

function stopLive() {
  state.live?.stop();
}

// --- events -----------------------------------------------------------------------------------------------------

$("file").addEventListener("change", () => {
  take($("file").files[0]);
  $("file").value = "";
});
$("example").addEventListener("click", async () => {
  const response = await fetch("static/example.jpg");
  take(new File([await response.blob()], "example.jpg", { type: "image/jpeg" }));
});
$("options").addEventListener("submit", (event) => {
  event.preventDefault();
  if (state.photograph) analyze();
});
$("options").addEventListener("change", showSnippet);
$("compare").addEventListener("change", () => state.photograph && analyze());
$("token").addEventListener("change", connect);
$("model").addEventListener("change", showCard);
$("copy").addEventListener("click", copy);
$("open-camera").addEventListener("click", () => camera.open().then(() => $("shoot").focus(), showProblem));
$("live").addEventListener("click", () => (state.live ? stopLive() : startLive()));
$("close-camera").addEventListener("click", () => {
  stopLive();
  camera.close();
  $("open-camera").focus();
});
$("shoot").addEventListener("click", async () => {
  const file = await camera.shoot();
  stopLive();
  camera.close();
  take(file);
});
addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
for (const name of ["dragover", "dragenter"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files.length > 1) {
    showProblem(new api.Problem("Drop one photograph at a time."));
    return;
  }
  take(event.dataTransfer.files[0]);
});

makeTabs();
connect();

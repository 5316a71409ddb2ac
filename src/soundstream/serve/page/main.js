// The page: what is chosen, heard, seen and measured.

import { Coder, ServerError, about, example, sendClip } from "./connection.js";
import { Live, noMicrophone, record } from "./microphone.js";
import { drawSpectrogram, drawWave, frequencyMarks, spectrogram, topOf } from "./pictures.js";
import { Player } from "./player.js";
import { wavOf } from "./wav.js";

const DEBOUNCE_MS = 160;
const KEPT_RESULTS = 24; // codings of the present clip that are kept, so that going back to a rate is instant
const SEEK_S = 1;

const $ = (id) => document.getElementById(id);
const player = new Player(), coder = new Coder(), live = new Live();
let facts = null; // what the server says of itself
let clip = null; // {name, blob, clip, sample_rate, channels, samples, whole_s, incomplete, pcm, top}
let result = null; // the coding that is heard
let kept = new Map(); // codings of this clip by their settings
let settings = { model: "", bitrate: 6000, denoise: 0, loss: 0 };
let recording = null, debounce = 0, opening = 0;

// ---- words for numbers

const number = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const rateText = (bitrate) => `${number(bitrate / 1000, bitrate % 1000 === 0 ? 0 : 2)} kbit/s`;
const sizeText = (bytes) => (bytes < 1e6 ? `${number(bytes / 1000, bytes < 1e5 ? 1 : 0)} kB` : `${number(bytes / 1e6, 1)} MB`);
const clockText = (seconds, digits = 1) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
const channelText = (count) => ["", "mono", "stereo"][count] ?? `${count} channels`;
const speedText = (took_s, duration_s) => `${took_s < 10 ? number(took_s, 2) : number(took_s, 1)} s · ${number(duration_s / took_s, duration_s / took_s < 10 ? 1 : 0)}×`;

// ---- messages

function complain(error) {
  if (!(error instanceof ServerError)) console.error(error);
  $("alert-text").textContent = error instanceof ServerError ? error.message.replace(/^./, (first) => first.toUpperCase()) : "Something went wrong on this page; its console says what.";
  $("alert").hidden = false;
}

function calm() { $("alert").hidden = true; }

// ---- the sound to code

async function open(name, blob) {
  const turn = ++opening;
  calm();
  $("source-facts").textContent = `Opening ${name} …`;
  $("source").setAttribute("aria-busy", "true");
  try {
    const sent = await send(await blob);
    if (turn === opening) await take({ name, ...sent });
  } catch (error) {
    if (turn !== opening) return;
    complain(error);
    describeClip();
  } finally {
    if (turn === opening) $("source").removeAttribute("aria-busy");
  }
}

/** Send a file; one that the server cannot take as it is goes as a WAV file that the browser makes of it. */
async function send(blob) {
  try {
    if (blob.size > facts.limits.upload_bytes) throw new ServerError({ name: "LimitError", message: `the file is too large; at most ${sizeText(facts.limits.upload_bytes)} are taken here` });
    return { blob, ...(await sendClip(blob)) };
  } catch (error) {
    if (!["AudioError", "LimitError"].includes(error.name)) throw error;
    const wav = await convert(blob).catch(() => { throw error; });
    return { blob: wav.blob, ...(await sendClip(wav.blob)), whole_s: wav.whole_s };
  }
}

async function convert(blob) {
  const context = new OfflineAudioContext(1, 1, 48000);
  const buffer = await context.decodeAudioData(await blob.arrayBuffer());
  const most = Math.ceil(facts.limits.duration_s * buffer.sampleRate);
  const count = Math.min(buffer.numberOfChannels, facts.limits.channels);
  const channels = Array.from({ length: count }, (_, i) => buffer.getChannelData(i).subarray(0, most));
  return { blob: wavOf(channels, buffer.sampleRate), whole_s: buffer.length > most ? buffer.duration : null };
}

async function take(opened) {
  coder.drop();
  clip = opened;
  [result, kept] = [null, new Map()];
  player.load(clip.sample_rate, clip.pcm);
  document.body.classList.add("loaded");
  describeClip();
  showResult();
  showTimes();
  showLane("a", clip.pcm);
  recode();
  await showSpectrogram("a", clip.pcm);
}

function describeClip() {
  const text = "Drop an audio file here, record your voice, or take an example.";
  if (!clip) return void ($("source-facts").textContent = text);
  const duration_s = clip.samples / clip.sample_rate;
  const length = clip.whole_s ? `the first ${number(duration_s)} s of ${clockText(clip.whole_s, 0)}` : `${number(duration_s, 1)} s`;
  $("source-title").textContent = clip.name;
  $("source-facts").textContent = `${length}, ${number(clip.sample_rate / 1000, clip.sample_rate % 1000 ? 2 : 0)} kHz, ${channelText(clip.channels)}${clip.incomplete.map((text) => `; ${text}`).join("")}`;
  $("facts-a").textContent = `16-bit PCM, ${number((clip.sample_rate * clip.channels * 16) / 1000)} kbit/s`;
}

// ---- coding

function recodeSoon() {
  clearTimeout(debounce);
  debounce = setTimeout(recode, DEBOUNCE_MS);
}

async function recode() {
  clearTimeout(debounce);
  if (!clip) return;
  const of = clip, wanted = { ...settings }, key = JSON.stringify(wanted);
  if (kept.has(key)) {
    coder.drop();
    return showResult(kept.get(key));
  }
  showProgress(0);
  try {
    const coded = await code(of, wanted);
    if (!coded || of !== clip) return;
    keep(key, { ...coded, settings: wanted });
    calm();
    showResult(kept.get(key));
  } catch (error) {
    if (of !== clip) return;
    showProgress(null);
    complain(error);
  }
}

async function code(of, wanted) {
  const ask = () => coder.code({ clip: of.clip, ...wanted }, showProgress);
  try {
    return await ask();
  } catch (error) {
    if (error.name !== "ClipGone") throw error;
    of.clip = (await sendClip(of.blob)).clip;
    return ask();
  }
}

function keep(key, coded) {
  kept.set(key, coded);
  if (kept.size > KEPT_RESULTS) kept.delete(kept.keys().next().value);
}

function showProgress(share) {
  $("progress").hidden = share === null;
  if (share !== null) $("progress").value = share;
  document.querySelector("[data-lane=b]").setAttribute("aria-busy", String(share !== null));
}

function showResult(coded = null) {
  const before = result;
  result = coded;
  showProgress(null);
  if (coded !== before || !coded) player.setDecoded(coded?.pcm ?? null);
  for (const id of ["save-nac", "save-wav"]) $(id).disabled = !coded;
  showFigures();
  showTransport();
  if (!coded) return clearLane("b");
  showLane("b", coded.pcm);
  showSpectrogram("b", coded.pcm).catch(complain);
}

function showFigures() {
  const texts = { used: "–", ratio: "–", size: "–", encode: "–", decode: "–", "facts-b": "" };
  if (result) {
    const { bitrate, pcm_bitrate, pcm_bytes, file_bytes, encode_s, decode_s, duration_s, packets, lost } = result;
    texts.used = rateText(Math.round(bitrate / 10) * 10);
    texts.ratio = `${number(pcm_bitrate / bitrate, pcm_bitrate / bitrate < 10 ? 1 : 0)}×`;
    texts.size = packets ? `${number(lost)} of ${number(packets)} lost` : `${sizeText(file_bytes)} of ${sizeText(pcm_bytes)}`;
    texts.encode = speedText(encode_s, duration_s);
    texts.decode = speedText(decode_s, duration_s);
    texts["facts-b"] = `${result.settings.model}, ${texts.used}`;
  }
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  $("size-name").textContent = result?.packets ? "Live packets" : "File";
  $("share").style.width = result ? `${Math.max(0.4, (100 * result.bitrate) / result.pcm_bitrate)}%` : "0";
}

// ---- pictures

const lane = (name) => document.querySelector(`[data-lane=${name}]`);

function showLane(name, channels) {
  const colour = getComputedStyle(lane(name)).getPropertyValue("--lane").trim();
  drawWave(lane(name).querySelector(".wave"), channels, colour);
}

function clearLane(name) {
  for (const canvas of lane(name).querySelectorAll("canvas")) canvas.width = canvas.height = 0;
  lane(name).querySelector(".scale").replaceChildren();
}

async function showSpectrogram(name, channels) {
  const of = clip, picture = await spectrogram(channels, of.sample_rate);
  const wanted = name === "a" ? of.pcm : result?.pcm;
  if (of !== clip || wanted !== channels) return;
  if (name === "a") of.top = topOf(picture);
  drawSpectrogram(lane(name).querySelector(".sonagram canvas"), picture, of.top ?? topOf(picture));
  lane(name).querySelector(".scale").replaceChildren(...frequencyMarks(picture.high).map(({ text, share }) => {
    const mark = document.createElement("span");
    mark.textContent = text;
    mark.style.bottom = `${100 * share}%`;
    return mark;
  }));
}

function showTimes() {
  const { duration } = player, steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15];
  const step = steps.find((wanted) => duration / wanted <= Math.max(3, $("timeline").clientWidth / 90)) ?? 15;
  const marks = Array.from({ length: Math.floor(duration / step - 0.3) + 1 }, (_, i) => {
    const mark = document.createElement("span");
    mark.textContent = step < 1 ? (i * step).toFixed(1) : clockText(i * step, 0);
    mark.style.left = `${(100 * i * step) / duration}%`;
    return mark;
  });
  $("times").replaceChildren(...marks);
}

function redraw() {
  if (!clip) return;
  showTimes();
  showLane("a", clip.pcm);
  if (result) showLane("b", result.pcm);
}

// ---- playing

function showTransport() {
  $("play").disabled = !clip;
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  document.body.classList.toggle("playing", player.playing);
  for (const name of ["a", "b"]) {
    const heard = player.heard === name;
    $(`hear-${name}`).setAttribute("aria-pressed", String(heard));
    lane(name).classList.toggle("heard", heard);
  }
  $("hear-a").disabled = !clip;
  $("hear-b").disabled = !result;
  $("loop").setAttribute("aria-pressed", String(player.loop));
  $("timeline").setAttribute("aria-disabled", String(!clip));
  $("timeline").setAttribute("aria-valuemax", player.duration.toFixed(2));
  showPosition();
}

function showPosition() {
  const { position, duration } = player;
  $("head").hidden = !clip;
  $("head").style.left = `${duration ? (100 * position) / duration : 0}%`;
  $("clock").textContent = clockText(Math.floor(position * 10) / 10);
  if (player.playing) requestAnimationFrame(showPosition);
  else {
    $("timeline").setAttribute("aria-valuenow", position.toFixed(2));
    $("timeline").setAttribute("aria-valuetext", `${position.toFixed(1)} of ${duration.toFixed(1)} seconds`);
  }
}

function hear(name) {
  if (name === "b" && !result) return;
  player.choose(name);
}

function toggle() {
  if (!clip) return;
  if (player.playing) player.pause();
  else player.play().catch(complain);
}

function seekTo(event) {
  const box = $("timeline").getBoundingClientRect();
  player.seek(((event.clientX - box.left) / box.width) * player.duration);
}

// ---- settings

function modelFacts() { return facts.models.find(({ name }) => name === settings.model); }

function showSettings() {
  const model = modelFacts(), step = model.bitrate_step, most = model.max_bitrate / step;
  const count = Math.max(1, Math.min(most, Math.round(settings.bitrate / step)));
  settings.bitrate = count * step;
  if (!model.denoise) settings.denoise = 0;
  Object.assign($("rate"), { max: most, value: count });
  $("rate").setAttribute("aria-valuetext", rateText(settings.bitrate));
  $("rate-out").textContent = rateText(settings.bitrate);
  $("rate-ends").replaceChildren(...[1, most].map((end) => Object.assign(document.createElement("span"), { textContent: number((end * step) / 1000, end === 1 ? 2 : 0) })));
  $("model-hint").textContent = `${number(model.latency_ms, 1)} ms of latency, ${number(model.sample_rate / 1000)} kHz, id ${model.id.slice(0, 8)}`;
  Object.assign($("denoise"), { disabled: !model.denoise, checked: settings.denoise > 0 });
  $("denoise-hint").textContent = model.denoise ? "The encoder leaves out what it takes for noise; meant for speech." : "This model was not trained to remove noise.";
  showLoss();
}

function showLoss() {
  const percent = Math.round(100 * settings.loss);
  $("loss").value = percent;
  $("loss-out").textContent = `${percent} %`;
  $("loss-hint").textContent = percent ? "Coded as live packets of one frame; the same ones are lost each time." : "With some lost, the clip is coded as live packets and the gaps are concealed.";
}

function change(changes) {
  Object.assign(settings, changes);
  showSettings();
  live.set(settings);
  recodeSoon();
}

function showModels() {
  $("models").replaceChildren(...facts.models.map(({ name }) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "model", value: name, checked: name === settings.model });
    input.onchange = () => { endLive(); change({ model: name }); };
    label.append(input, name);
    label.title = name;
    return label;
  }));
}

function showExamples() {
  $("examples").replaceChildren(...facts.examples.map((name) => {
    const button = document.createElement("button"), title = name.replace(/\.[^.]+$/, "").replace(/[_-]+/g, " ");
    Object.assign(button, { className: "chip", textContent: title });
    button.onclick = () => open(title, example(name));
    return button;
  }));
}

// ---- recording

async function startRecording() {
  player.pause();
  endLive();
  calm();
  try {
    recording = await record(facts.limits.duration_s, showLevel, stopRecording);
    $("recording").hidden = false;
    $("record").disabled = true;
    $("record-stop").focus();
  } catch (error) {
    complain(error);
  }
}

function showLevel(seconds, level) {
  $("record-time").textContent = clockText(seconds, 0);
  $("record-level").value = level;
}

function endRecording() {
  const taken = recording?.stop();
  recording = null;
  $("recording").hidden = true;
  $("record").disabled = false;
  return taken;
}

function stopRecording() {
  const taken = endRecording();
  if (!taken) return;
  if (!taken.pcm.length) return complain(new ServerError({ name: "Empty", message: "Nothing was recorded; try again." }));
  open("Recording", wavOf([taken.pcm], taken.rate));
  $("play").focus();
}

// ---- live

async function toggleLive() {
  if (document.body.classList.contains("live-on")) return endLive();
  player.pause();
  calm();
  $("live").disabled = true;
  try {
    await live.start(settings, { stats: showLiveStats, end: (reason) => { endLive(); complain(new ServerError({ name: "Live", message: reason })); } });
    document.body.classList.add("live-on");
    $("live").textContent = "Stop";
    $("live-figures").hidden = false;
  } catch (error) {
    endLive();
    complain(error);
  } finally {
    $("live").disabled = false;
  }
}

function endLive() {
  live.stop();
  document.body.classList.remove("live-on");
  $("live").textContent = "Start the microphone";
  $("live-figures").hidden = true;
}

function showLiveStats({ bitrate, packets, lost, load, delay_s, gaps }) {
  $("live-rate").textContent = rateText(Math.round(bitrate / 10) * 10);
  $("live-lost").textContent = `${lost} of ${packets}`;
  $("live-gaps").textContent = number(gaps);
  $("live-delay").textContent = `${number(1000 * delay_s)} ms`;
  $("live-load").textContent = `${number(100 * load)} %`;
}

// ---- saving

function save(blob, suffix) {
  const link = document.createElement("a"), { model, bitrate } = result.settings;
  link.href = URL.createObjectURL(blob);
  link.download = `${clip.name.replace(/\.[^.]+$/, "")}_${model}_${bitrate}${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- wiring

const KEYS = {
  " ": toggle,
  a: () => hear("a"),
  b: () => hear("b"),
  x: () => hear(player.heard === "a" ? "b" : "a"),
  l: () => { player.loop = !player.loop; },
  "[": () => stepRate(-1),
  "]": () => stepRate(1),
  arrowleft: () => player.seek(player.position - SEEK_S),
  arrowright: () => player.seek(player.position + SEEK_S),
  home: () => player.seek(0),
};

function stepRate(by) {
  const step = modelFacts().bitrate_step;
  change({ bitrate: Math.max(step, Math.min(modelFacts().max_bitrate, settings.bitrate + by * step)) });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !facts) return;
  const key = event.key.toLowerCase(), act = KEYS[key];
  const own = key === " " ? "button:focus-visible, label, input[type=checkbox], input[type=radio]" : "input";
  const needed = key.startsWith("arrow") || key === "home";
  if (!act || (event.target.matches(own) && (key === " " || needed)) || (needed && !clip)) return;
  event.preventDefault();
  if (!event.repeat || needed || "[]".includes(key)) act();
}

/** After a click the keys belong to the player again, not to the button that was clicked. */
function freeKeys() {
  if (document.activeElement.matches("button, input[type=checkbox], input[type=radio]")) document.activeElement.blur();
}

function wireDrop() {
  let depth = 0;
  const over = (by) => document.body.classList.toggle("dropping", (depth = Math.max(0, depth + by)) > 0);
  addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(0);
    const file = event.dataTransfer.files[0];
    if (file && facts) open(file.name, file);
  });
}

function wire() {
  $("alert-close").onclick = calm;
  $("file").onchange = ({ target }) => {
    if (target.files[0]) open(target.files[0].name, target.files[0]);
    target.value = "";
  };
  $("record").onclick = startRecording;
  $("record-stop").onclick = stopRecording;
  $("record-cancel").onclick = endRecording;
  $("play").onclick = toggle;
  $("hear-a").onclick = () => hear("a");
  $("hear-b").onclick = () => hear("b");
  $("loop").onclick = () => { player.loop = !player.loop; };
  $("volume").oninput = ({ target }) => { player.volume = target.value / 100; };
  $("rate").oninput = ({ target }) => change({ bitrate: target.value * modelFacts().bitrate_step });
  $("denoise").onchange = ({ target }) => change({ denoise: target.checked ? 1 : 0 });
  $("loss").oninput = ({ target }) => change({ loss: target.value / 100 });
  $("live").onclick = toggleLive;
  $("save-nac").onclick = () => save(new Blob([result.file], { type: "audio/x-nac" }), ".nac");
  $("save-wav").onclick = () => save(wavOf(result.pcm, result.sample_rate), ".wav");
  $("timeline").onpointerdown = (event) => {
    if (!clip || event.button) return;
    $("timeline").setPointerCapture(event.pointerId);
    seekTo(event);
  };
  $("timeline").onpointermove = (event) => { if (event.buttons & 1 && clip) seekTo(event); };
  player.addEventListener("change", showTransport);
  addEventListener("keydown", onKey);
  addEventListener("pointerup", () => setTimeout(freeKeys));
  new ResizeObserver(redraw).observe($("timeline"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  wireDrop();
}

function wireMicrophone() {
  const why = noMicrophone();
  if (!why) return;
  for (const id of ["record", "live"]) $(id).disabled = true;
  $("record-hint").hidden = false;
  $("record-hint").textContent = why;
}

async function begin() {
  wire();
  wireMicrophone();
  $("server").textContent = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) ? "this computer" : location.hostname;
  try {
    facts = await about();
    settings.model = facts.models[0].name;
    if (facts.local) $("privacy").textContent = "Everything is computed on this device: no sound leaves it.";
    $("version").textContent = `soundstream ${facts.version}`;
    showModels();
    showExamples();
    showSettings();
  } catch (error) {
    complain(error);
  }
}

begin();

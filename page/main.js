// Where frames come from, and what happens with each of them.

import { PoseFinder } from "./pose.js";
import { StreamingRecognizer } from "./stream.js";
import { bestOf, ClassList, drawPicture, SpaceView, TimeView } from "./view.js";

const $ = (id) => document.getElementById(id);
const TURN = 0.45; // radians per second of the body in space
const SURE = 0.4; // probability from which an action is named in large letters
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

let recognizer, about, samples, front, around, chart, list, finder;
let playing = 0; // number of the source that is shown; an older one stops by itself
let paused = false;
const costs = { pose: [], network: [], drawing: [] }; // milliseconds of the last frames

// words

function say(text, problem = false) {
  $("note").textContent = text;
  $("note").classList.toggle("problem", problem);
}

function answer(p) {
  const best = bestOf(p);
  const name = best === null ? "nobody" : about.classes[best];
  const clear = best !== null && name !== about.nothing && p[best] >= SURE;
  const waiting = recognizer.answers === 0;
  $("answer").textContent = waiting ? "…" : clear || best === null ? name : about.nothing;
  $("answer").dataset.state = clear ? "clear" : "quiet";
}

function showCost(joints) {
  const mean = (some) => some.reduce((a, b) => a + b, 0) / some.length;
  const parts = Object.entries(costs).filter(([, some]) => some.length);
  const words = parts.map(([name, some]) => `${name} ${mean(some).toFixed(1)} ms`);
  const V = about.skeleton.joints.length;
  const seen = about.skeleton.joints.filter((_, i) => joints !== null && !Number.isNaN(joints[3 * i]));
  $("cost").textContent = `Per frame: ${words.join(" · ")} · ${seen.length} of ${V} joints seen`;
}

function spent(part, since) {
  costs[part].push(performance.now() - since);
  if (costs[part].length > 60) costs[part].shift();
}

// sources: each yields {time, joints, picture, image, truth, late}; a late frame is not drawn

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

async function* sampleShots(sample) {
  const { rate, skeleton } = about;
  let elapsed = 0;
  let before = performance.now();
  for (let i = 0; i < sample.labels.length; i++) {
    while (elapsed < i / rate) {
      await nextFrame();
      const now = performance.now();
      if (!paused) elapsed += Math.min((now - before) / 1000, 1);
      before = now;
    }
    const V = skeleton.joints.length;
    const joints = Float32Array.from(sample.joints.slice(3 * V * i, 3 * V * (i + 1)), (mm) => mm / 1000);
    const late = elapsed >= (i + 1) / rate;
    yield { time: i / rate, joints, picture: null, image: null, truth: sample.labels[i], late };
  }
}

// The time of the next picture; null when the film is over.
function nextPicture(video) {
  return new Promise((done) => {
    const over = () => done(null);
    video.addEventListener("ended", over, { once: true });
    video.requestVideoFrameCallback((now, { mediaTime }) => {
      video.removeEventListener("ended", over);
      done(video.srcObject ? now / 1000 : mediaTime);
    });
  });
}

async function* videoShots(video) {
  const picture = document.createElement("canvas");
  const context = picture.getContext("2d");
  finder.cleanState();
  await video.play().catch(() => {
    throw new Error("This browser cannot play that film.");
  });

  for (let before = -Infinity; ; ) {
    const time = video.ended ? null : await nextPicture(video);
    if (time === null) return;
    if (time <= before) continue;
    before = time;

    const scale = Math.min(1, about.pose.longest / Math.max(video.videoWidth, video.videoHeight));
    const size = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
    if (picture.width !== size[0] || picture.height !== size[1]) [picture.width, picture.height] = size;
    context.drawImage(video, 0, 0, ...size);

    const since = performance.now();
    const person = await finder.find(picture, size, time);
    spent("pose", since);
    yield { time, joints: person?.joints ?? null, picture, image: person?.image ?? null, truth: null, late: false };
  }
}

// what happens with each frame

async function show(shot, mirrored) {
  const nobody = new Float32Array(3 * about.skeleton.joints.length).fill(NaN);
  let since = performance.now();
  const p = await recognizer.forwardStep(shot.joints ?? nobody, shot.time);
  spent("network", since);

  chart.push(shot.time, p, shot.truth);
  if (shot.late) return;

  since = performance.now();
  const turn = still ? 0.6 : TURN * shot.time;
  if (shot.picture) drawPicture($("front"), shot.picture, shot.image, about.skeleton, mirrored);
  else front.draw(shot.joints, 0.35);
  around.draw(shot.joints, turn);
  chart.draw();
  list.draw(p);
  answer(p);
  spent("drawing", since);
  showCost(shot.joints);
}

// Show one source until it ends or another one is chosen; true if it came to its end.
async function play(button, shots, mirrored = false) {
  const mine = ++playing;
  for (const some of document.querySelectorAll("#sources button"))
    some.setAttribute("aria-pressed", String(some === button));
  setPaused(false);
  await working; // the frame of the source before
  for (const part of [recognizer, front, around, chart]) part.cleanState();
  for (const some of Object.values(costs)) some.length = 0;

  for await (const shot of shots) {
    if (mine !== playing) return false;
    working = show(shot, mirrored);
    await working;
  }
  return mine === playing;
}
let working = Promise.resolve();

async function playSamples(first) {
  closeFilm();
  for (let i = first, over = true; over; i = (i + 1) % samples.length) {
    say(samples[i].words);
    over = await play($(`sample${i}`), sampleShots(samples[i]));
  }
}

let film = null; // the video that is shown

function closeFilm() {
  film?.pause();
  film?.srcObject?.getTracks().forEach((track) => track.stop());
  if (film?.src) URL.revokeObjectURL(film.src);
  film = null;
}

async function playVideo(button, open, words, mirrored) {
  closeFilm();
  playing++;
  say("Loading MediaPipe Pose, about " + about.pose.megabytes + " MB, once…");
  finder ??= await PoseFinder.open(about.pose);

  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  await open(video);
  film = video;
  say(words);
  if (await play(button, videoShots(video), mirrored)) say("The film is over.");
}

async function openWebcam(video) {
  if (!navigator.mediaDevices) throw new Error("A webcam needs a page from https or from localhost.");
  const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
}

function setPaused(value) {
  paused = value;
  $("pause").textContent = value ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", String(value));
  if (value) film?.pause();
  else film?.play();
}

const guarded = (task) => (...given) => task(...given).catch((problem) => say(problem.message, true));

async function start() {
  const load = async (name) => (await fetch(name)).json();
  [about, samples] = await Promise.all([load("model.json"), load("samples.json")]);
  recognizer = await StreamingRecognizer.open(about, "model.onnx");
  front = new SpaceView($("front"), about.skeleton);
  around = new SpaceView($("around"), about.skeleton);
  chart = new TimeView($("time"), about);
  list = new ClassList($("classes"), about);
  for (const place of document.querySelectorAll("[data-fact]"))
    place.textContent = about[place.dataset.fact].toLocaleString("en");

  samples.forEach(({ name }, i) => {
    const button = Object.assign(document.createElement("button"), { id: `sample${i}`, type: "button", textContent: name });
    button.addEventListener("click", guarded(() => playSamples(i)));
    $("webcam").before(button);
  });
  $("webcam").addEventListener("click", guarded(() => playVideo($("webcam"), openWebcam, "Your webcam, shown as a mirror. Step back until your whole body is in the picture.", true)));
  $("file").addEventListener("click", () => $("picker").click());
  $("picker").addEventListener("change", guarded(async () => {
    const [file] = $("picker").files;
    $("picker").value = "";
    if (file) await playVideo($("file"), async (video) => { video.src = URL.createObjectURL(file); }, file.name, false);
  }));
  $("pause").addEventListener("click", () => setPaused(!paused));
  await playSamples(0);
}

guarded(start)();

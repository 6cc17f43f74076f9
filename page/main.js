// Where frames come from, and what happens with each of them.

import { PoseFinder } from "./pose.js";
import { StreamingRecognizer, wholeEnough } from "./stream.js";
import { bestOf, ClassList, drawPicture, namedBy, SpaceView, TimeView } from "./view.js";

const $ = (id) => document.getElementById(id);
const TURN = 0.45; // radians per second of the body in space
const MIRROR = "You, as in a mirror. Step back until your whole body is in the picture.";
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

let recognizer, about, samples, front, around, chart, list, finder;
let playing = 0; // number of the source that is shown; an older one stops by itself
let working = Promise.resolve(); // on a frame
let paused = false;
let shown = null; // the last frame: {shot, p, mirrored}
const costs = { pose: [], network: [], drawing: [] }; // milliseconds of the last frames

// words

function say(text, problem = false) {
  $("note").textContent = text;
  $("note").classList.toggle("problem", problem);
}

function answer(p) {
  const named = namedBy(p, about);
  const quiet = bestOf(p) === null ? "nobody" : about.nothing;
  const words = named === null ? quiet : about.classes[named];
  $("answer").textContent = recognizer.answers === 0 ? "…" : words;
  $("answer").dataset.state = named === null ? "quiet" : "clear";
}

function showCost(joints) {
  const mean = (some) => some.reduce((a, b) => a + b, 0) / some.length;
  const parts = Object.entries(costs).filter(([, some]) => some.length);
  const words = parts.map(([name, some]) => `${name} ${mean(some).toFixed(1)} ms`);
  const V = about.skeleton.joints.length;
  const seen = about.skeleton.joints.filter((_, i) => joints && !Number.isNaN(joints[3 * i]));
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
    const millimeters = sample.joints.slice(3 * V * i, 3 * V * (i + 1));
    const joints = Float32Array.from(millimeters, (value) => value / 1000);
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
  const mine = playing;
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
    const size = [video.videoWidth, video.videoHeight].map((pixels) => Math.round(pixels * scale));
    if (picture.width !== size[0]) picture.width = size[0];
    if (picture.height !== size[1]) picture.height = size[1];
    context.drawImage(video, 0, 0, ...size);

    const since = performance.now();
    const person = await finder.find(picture, size, time);
    if (mine !== playing) return; // its milliseconds are not those of the source that is shown now
    spent("pose", since);
    const { joints = null, image = null } = person ?? {};
    yield { time, joints, picture, image, truth: null, late: false };
  }
}

// what happens with each frame

async function show(shot, mirrored) {
  const nobody = new Float32Array(3 * about.skeleton.joints.length).fill(NaN);
  const since = performance.now();
  const asked = wholeEnough(shot.joints, about) ? shot.joints : nobody;
  const p = await recognizer.forwardStep(asked, shot.time);
  spent("network", since);
  chart.push(shot.time, p, shot.truth);
  shown = { shot, p, mirrored };
  if (!shot.late) draw();
}

function draw() {
  if (shown === null) return;
  const { shot, p, mirrored } = shown;
  const since = performance.now();
  if (shot.picture) drawPicture($("front"), shot.picture, shot.image, about.skeleton, mirrored);
  else front.draw(shot.joints, 0.35);
  around.draw(shot.joints, still ? 0.6 : TURN * shot.time);
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
  await working.catch(() => {}); // the frame of the source before; its own loop tells of errors
  for (const part of [recognizer, front, around, chart]) part.cleanState();
  for (const some of Object.values(costs)) some.length = 0;

  for await (const shot of shots) {
    if (mine !== playing) return false;
    working = show(shot, mirrored);
    await working;
  }
  return mine === playing;
}

async function playSamples(first) {
  closeFilm();
  for (let i = first, over = true; over; i = (i + 1) % samples.length) {
    say(samples[i].words);
    over = await play($(`sample${i}`), sampleShots(samples[i]));
  }
}

let film = null; // the video that is shown

function close(video) {
  video.pause();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  if (video.src) URL.revokeObjectURL(video.src);
}

function closeFilm() {
  if (film !== null) close(film);
  film = null;
}

async function playVideo(button, open, words, mirrored) {
  closeFilm();
  const mine = ++playing;
  say(`Loading MediaPipe Pose, about ${about.pose.megabytes} MB, once…`);
  finder ??= await PoseFinder.open(about.pose);
  if (mine !== playing) return; // something else was chosen meanwhile

  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  await open(video);
  if (mine !== playing) return close(video);
  film = video;
  say(words);
  if (await play(button, videoShots(video), mirrored)) say("The film is over.");
}

async function openWebcam(video) {
  if (!navigator.mediaDevices)
    throw new Error("A webcam needs a page from https or from localhost.");
  const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
}

function setPaused(value) {
  paused = value;
  $("pause").textContent = value ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", String(value));
  if (value) film?.pause();
  else film?.play().catch(() => {}); // `videoShots` says what is wrong
}

// A task whose errors are shown.
function guarded(task) {
  return async (...given) => {
    try {
      await task(...given);
    } catch (problem) {
      say(problem.message, true);
    }
  };
}

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
    const button = Object.assign(document.createElement("button"), { id: `sample${i}` });
    button.textContent = name;
    button.addEventListener("click", guarded(() => playSamples(i)));
    $("webcam").before(button);
  });
  const mirror = () => playVideo($("webcam"), openWebcam, MIRROR, true);
  $("webcam").addEventListener("click", guarded(mirror));
  $("file").addEventListener("click", () => $("picker").click());
  $("picker").addEventListener("change", guarded(async () => {
    const [file] = $("picker").files;
    $("picker").value = "";
    const open = async (video) => { video.src = URL.createObjectURL(file); };
    if (file) await playVideo($("file"), open, file.name, false);
  }));
  $("pause").addEventListener("click", () => setPaused(!paused));
  new ResizeObserver(draw).observe($("front"));
  await playSamples(0);
}

guarded(start)();

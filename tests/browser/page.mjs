// Opens the page in headless Chromium, tries it out, and prints what it found, as JSON.
// node page.mjs CHROMIUM URL PART INPUT SHOTS   (PART: sample, with JSON of test_page.py as INPUT,
// or webcam, which shows INPUT, MJPEG; SHOTS: a folder for pictures or -)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL(`file://${process.env.NODE_PATH}/`));
const { chromium } = require("playwright-core");
const [executablePath, base, part, input, shots] = process.argv.slice(2);

// WebGL, which MediaPipe needs, without a graphics card; canvases without it
const args = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"];
args.push("--enable-unsafe-swiftshader", "--disable-gpu-rasterization");
args.push("--disable-accelerated-2d-canvas", "--use-fake-ui-for-media-stream");
args.push("--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${input}`);
const browser = await chromium.launch({ executablePath, args, timeout: 90000 });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
await context.grantPermissions(["camera"]);
const tab = await context.newPage();
tab.setDefaultTimeout(400000);

const requests = [];
const errors = [];
tab.on("request", (r) => requests.push(r.url()));
tab.on("response", (r) => r.status() >= 400 && errors.push(`${r.status()} ${r.url()}`));
tab.on("pageerror", (e) => errors.push(String(e)));
const found = { requests, errors };
const text = (id) => tab.locator(`#${id}`).textContent();
const click = (id) => tab.evaluate((button) => document.getElementById(button).click(), id);
const shot = async (name) => {
  if (shots !== "-") await tab.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
};
// until what the page says of a frame fits
const said = (pattern) => tab.waitForFunction((source) => {
  return new RegExp(source).test(document.getElementById("cost").textContent);
}, pattern.source);

// a sample begins by itself
await tab.goto(base);
await tab.waitForFunction(() => document.getElementById("answer").textContent.length > 1);
await (part === "sample" ? trySample(JSON.parse(readFileSync(input, "utf8"))) : tryWebcam());
await browser.close();
console.log(JSON.stringify(found));

async function trySample(given) {
  found.sample = { answer: await text("answer"), cost: await text("cost") };
  found.note = await text("note");
  found.bars = await tab.locator("meter").evaluateAll((bars) => bars.map((bar) => bar.value));
  await click("pause");
  await shot("sample_1280");
  await tab.setViewportSize({ width: 390, height: 844 });
  found.wider = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await shot("sample_390");
  await tab.setViewportSize({ width: 1280, height: 900 });

  // the same frames as Python reads
  found.answers = await tab.evaluate(async ({ streams }) => {
    const { StreamingRecognizer } = await import("./stream.js");
    const about = await (await fetch("model.json")).json();
    const recognizer = await StreamingRecognizer.open(about, "model.onnx");
    const all = [];
    for (const { frames, times } of streams) {
      recognizer.cleanState();
      const answers = [];
      for (let t = 0; t < frames.length; t++) {
        const joints = Float32Array.from(frames[t], (value) => value ?? NaN);
        answers.push([...(await recognizer.forwardStep(joints, times?.[t]))]);
      }
      all.push(answers);
    }
    return all;
  }, given);

  // the same landmarks
  found.people = await tab.evaluate(async ({ landmarks, size }) => {
    const { personOf, Placement } = await import("./pose.js");
    const { wholeEnough } = await import("./stream.js");
    const about = await (await fetch("model.json")).json();
    const { pose } = about;
    const placement = new Placement(pose);
    return landmarks.map(({ time, image, world }) => {
      const named = (mark) => ({ x: mark[0], y: mark[1], z: mark[2], visibility: mark[3] });
      const marks = { poseLandmarks: image.map(named), poseWorldLandmarks: world.map(named) };
      const person = personOf(marks, size, time, placement, pose);
      const enough = wholeEnough(person.joints, about);
      return { joints: [...person.joints], image: [...person.image], enough };
    });
  }, given);

  // nobody else can be asked
  found.refused = await tab.evaluate((elsewhere) => new Promise((done) => {
    document.addEventListener("securitypolicyviolation", (e) => done(e.effectiveDirective));
    const failed = () => setTimeout(done, 1000, "failed, but not by the policy");
    fetch(elsewhere, { mode: "no-cors" }).then(() => done("loaded"), failed);
  }), given.elsewhere);
}

async function tryWebcam() {
  // somebody before the webcam
  await tab.evaluate(async () => {
    const { PoseFinder } = await import("./pose.js");
    const { find } = PoseFinder.prototype;
    PoseFinder.prototype.find = async function (...picture) {
      window.person = (await find.apply(this, picture)) ?? window.person;
      return window.person;
    };
  });
  await click("webcam");
  await said(/pose.* [1-9]\d* of 15 joints/);
  found.webcam = { cost: await text("cost"), answer: await text("answer") };
  found.person = await tab.evaluate(() => {
    return { joints: [...window.person.joints], image: [...window.person.image] };
  });
  await shot("webcam_1280");

  // back to a sample, and the camera is closed
  await click("sample1");
  await said(/^Per frame: network/);
  found.after = await text("note");
}

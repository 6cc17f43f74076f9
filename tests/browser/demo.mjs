// Drives the page of `last demo` as people do, in headless Chromium, and prints what it showed.
// node demo.mjs CHROMIUM URL SHOTS FILM WEBCAM     (SHOTS: a folder or -; WEBCAM: a .y4m)
import { createRequire } from "node:module";

const require = createRequire(new URL(`file://${process.env.NODE_PATH}/`));
const { chromium } = require("playwright-core");
const [executablePath, url, shots, film, webcam] = process.argv.slice(2);

const args = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
const browser = await chromium.launch({
  executablePath, args: [...args, `--use-file-for-fake-video-capture=${webcam}`],
});
const outside = [];
const errors = [];

async function open(width, height) {
  const context = await browser.newContext({ viewport: { width, height } });
  await context.grantPermissions(["camera"], { origin: new URL(url).origin });
  context.on("request", (r) => {
    if (!r.url().startsWith(url) && !/^(data|blob):/.test(r.url())) outside.push(r.url());
  });
  const tab = await context.newPage();
  tab.setDefaultTimeout(120000);
  tab.on("pageerror", (e) => errors.push(String(e)));
  await tab.goto(url);
  await tab.getByText("an actor kicks").waitFor();
  return tab;
}

// What the page shows once its film is another one than before.
async function result(tab, before = "") {
  await tab.waitForFunction((old) => {
    const video = document.querySelector(".stage video");
    return video?.src && video.src !== old && video.readyState >= 2;
  }, before);
  return tab.evaluate(async () => {
    const video = document.querySelector(".stage video");
    const [body, curves] = document.querySelectorAll(".stage canvas");
    const look = (c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    const drawn = (pixels) => pixels.filter((x, i) => i % 4 === 3 && x).length;
    const differ = (one, other) => one.some((x, i) => x !== other[i]);
    let first, second;
    // a busy machine draws its first picture late, and a film may begin without anybody
    for (let tries = 0; tries < 40; tries++) {
      first = look(body);
      await new Promise((done) => setTimeout(done, 500));
      second = look(body);
      if (drawn(first) > 500 && drawn(look(curves)) > 500 && differ(first, second)) break;
    }
    return {
      film: video.src,
      seconds: video.duration,
      picture: [video.videoWidth, video.videoHeight],
      drawn: [drawn(first), drawn(look(curves))],
      moved: differ(first, second),
      text: document.querySelector("#text").innerText,
      wider: document.documentElement.scrollWidth - window.innerWidth,
    };
  });
}

// A picture at a moment of the film; afterwards it stands still and leaves the processor to others.
async function shoot(tab, name, seconds) {
  await tab.evaluate((time) => {
    const video = document.querySelector(".stage video");
    video.pause();
    video.controls = false;  // they would hide the feet
    video.currentTime = time;
  }, seconds);
  if (shots === "-") return;
  await tab.waitForTimeout(1500);
  await tab.screenshot({ path: `${shots}/demo_${name}.png`, fullPage: true });
}

const found = {};
const wide = await open(1280, 900);
const phone = await open(390, 844);

// two people at once, each with a question of their own
await wide.getByLabel("an actor kicks").check();
await phone.getByLabel("a puppet squats").check();
found.sample = await result(wide);
await shoot(wide, "sample", 0.8);
found.phone = await result(phone);
await shoot(phone, "phone", 1.2);

await wide.getByRole("tab", { name: "Film" }).click();
await wide.locator("input[type=file]").first().setInputFiles(film);
found.film = await result(wide, found.sample.film);
await shoot(wide, "film", 0.4);
await wide.context().close();

await phone.getByRole("tab", { name: "Webcam" }).click();
await phone.getByText("Click to Access Webcam").click();
await phone.getByLabel("start recording").click();
await phone.waitForTimeout(1500);
await phone.getByLabel("start recording").click(); // its name while it records, too
found.webcam = await result(phone, found.phone.film);
await shoot(phone, "webcam", 0.4);

await browser.close();
console.log(JSON.stringify({ ...found, outside, errors }));

// Opens pages of the built site in headless Chromium and prints what it found, as JSON.
// node pages.mjs CHROMIUM URL WIDTH SHOTS PAGE...   (SHOTS: a folder for pictures, or - for none)
import { createRequire } from "node:module";

const require = createRequire(new URL(`file://${process.env.NODE_PATH}/`));
const { chromium } = require("playwright-core");
const [executablePath, base, width, shots, ...pages] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: Number(width), height: 900 } });
const found = [];
for (const page of pages) {
  const tab = await context.newPage();
  const failed = [];
  const outside = [];
  const errors = [];
  tab.on("request", (r) => {
    if (!r.url().startsWith(base) && !r.url().startsWith("data:")) outside.push(r.url());
  });
  tab.on("requestfailed", (r) => failed.push(r.url()));
  tab.on("response", (r) => r.status() >= 400 && failed.push(`${r.status()} ${r.url()}`));
  tab.on("pageerror", (e) => errors.push(String(e)));

  await tab.goto(base + page, { waitUntil: "load" });
  await tab.waitForFunction(() => !window.MathJax?.startup?.promise || window.mathIsReady ||
    (window.MathJax.startup.promise.then(() => { window.mathIsReady = true; }), false));
  const seen = await tab.evaluate(() => {
    const shown = [...document.querySelectorAll("article img, main img")];
    const raw = [...document.querySelectorAll(".math")].filter((m) => !m.querySelector("mjx-container"));
    return {
      pictures: shown.length,
      missing: shown.filter((i) => !i.complete || !i.naturalWidth).map((i) => i.src.slice(0, 80)),
      formulas: document.querySelectorAll("mjx-container").length,
      raw: raw.map((m) => m.textContent.slice(0, 60)),
      broken: document.querySelectorAll("mjx-merror").length,
      wider: document.documentElement.scrollWidth - window.innerWidth,
      text: document.querySelector("main").innerText.length,
      results: document.querySelectorAll("#search-results li").length,
    };
  });
  if (shots !== "-") {
    const name = page.replace(/\W+/g, "_");
    await tab.screenshot({ path: `${shots}/${name}_${width}.png`, fullPage: false });
  }
  found.push({ page, failed, outside, errors, ...seen });
  await tab.close();
}

await browser.close();
console.log(JSON.stringify(found));

// Opens pages of the built site in headless Chromium and prints what it found, as JSON.
// node pages.mjs CHROMIUM URL WIDTHS SHOTS PAGE...   (WIDTHS: 1280,400; SHOTS: a folder or -)
import { createRequire } from "node:module";

const require = createRequire(new URL(`file://${process.env.NODE_PATH}/`));
const { chromium } = require("playwright-core");
const [executablePath, base, widths, shots, ...pages] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const found = [];
const visits = widths.split(",").flatMap((width) => pages.map((page) => [Number(width), page]));
for (const [width, page] of visits) {
  const context = await browser.newContext({ viewport: { width, height: 900 } });
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
  // results of a search come one by one
  if (page.startsWith("search"))
    await tab.waitForFunction(() => document.querySelectorAll("#search-results li").length > 3,
      null, { timeout: 60000 }).catch(() => {});
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
      font: parseFloat(getComputedStyle(document.querySelector("main p") ?? document.body).fontSize),
      results: document.querySelectorAll("#search-results li").length,
    };
  });
  if (shots !== "-") {
    const name = page.replace(/\W+/g, "_");
    await tab.screenshot({ path: `${shots}/${name}_${width}.png`, fullPage: false });
  }
  found.push({ page, width, failed, outside, errors, ...seen });
  await context.close();
}

await browser.close();
console.log(JSON.stringify(found));

// Opens notebooks in a running JupyterLab and chooses Run > Run All Cells; prints what came of it.
// node notebooks.mjs CHROMIUM URL TOKEN SHOTS NAME...     (SHOTS: a folder for pictures, or -)
import { createRequire } from "node:module";

const require = createRequire(new URL(`file://${process.env.NODE_PATH}/`));
const { chromium } = require("playwright-core");
const [executablePath, url, token, shots, ...names] = process.argv.slice(2);

// What the notebook in front holds, from its model: not all of its cells are in the page.
function state() {
  const panel = window.jupyterapp?.shell.currentWidget;
  const model = panel?.content?.model;
  if (!model?.cells || !panel.context.isReady) return null;

  const cells = [...Array(model.cells.length).keys()].map((i) => model.cells.get(i));
  const code = cells.filter((c) => c.type === "code" && c.sharedModel.getSource().trim());
  const outputs = code.flatMap((c) => [...Array(c.outputs.length).keys()].map((i) => c.outputs.get(i).toJSON()));
  return {
    path: panel.context.path,
    kernel: panel.sessionContext.session?.kernel?.status,
    cells: code.length,
    ran: code.filter((c) => c.executionCount !== null).length,
    errors: outputs.filter((o) => o.output_type === "error").map((o) => `${o.ename}: ${o.evalue}`),
    pictures: outputs.filter((o) => o.data && ("image/png" in o.data || "image/gif" in o.data)).length,
  };
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const tab = await browser.newPage({ viewport: { width: 1280, height: 900 } });
tab.setDefaultTimeout(120000);
const outside = [];
tab.on("request", (r) => {
  if (!/^(data|blob):/.test(r.url()) && new URL(r.url()).host !== new URL(url).host) outside.push(r.url());
});

const found = [];
for (const name of names) {
  const start = Date.now();
  await tab.goto(`${url}lab/tree/nbs/${name}.ipynb?token=${token}&reset`);
  const ready = ([source, path]) => {
    const now = Function(`return (${source})()`)();
    return now?.path === path && now.kernel === "idle";
  };
  await tab.waitForFunction(ready, [state.toString(), `nbs/${name}.ipynb`]);

  // as a person does it; a cell that ran before has a number already, so these are taken away
  await tab.evaluate(() => window.jupyterapp.commands.execute("notebook:clear-all-cell-outputs"));
  await tab.getByRole("menuitem", { name: "Run", exact: true }).click();
  await tab.locator(".lm-Menu-itemLabel", { hasText: /^Run All Cells$/ }).click();
  const finished = (source) => {
    const now = Function(`return (${source})()`)();
    return now.kernel === "idle" && (now.ran === now.cells || now.errors.length > 0);
  };
  await tab.waitForFunction(finished, state.toString(), { polling: 200 });
  const end = await tab.evaluate(state);
  if (shots !== "-") await tab.screenshot({ path: `${shots}/lab_${name}.png` });
  found.push({ name, seconds: (Date.now() - start) / 1000, ...end });
  await tab.evaluate(() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown());
}

await browser.close();
console.log(JSON.stringify({ found, outside }));

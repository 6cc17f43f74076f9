// What is seen: a person in a picture, their joints in space, and probabilities over time.

const SIDES = { left: "#4aa3e8", right: "#ff9a3d", middle: "#e8edf3" };
const QUIET = "#9aa8b8";
const HUES = ["#ff6b6b", "#ffa94d", "#ffe066", "#a9e34b", "#51cf66", "#38d9a9", "#3bc9db"];
HUES.push("#4dabf7", "#748ffc", "#b197fc", "#f783ac");
const SURE = 0.4; // probability from which an action is named, as in `last.streaming`
const SHOWN = 12; // seconds on the chart
const FAR = 3.4; // meters from the eye to a body in space

export function colorOf(i, about) {
  return about.classes[i] === about.nothing ? "#6b7788" : HUES[i % HUES.length];
}

function sideOf(joint) {
  return ["left", "right"].find((side) => joint.startsWith(side)) ?? "middle";
}

// A canvas at the screen's own resolution, cleared: its context, and its size in CSS pixels.
function cleared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio || 1;
  const size = [width, height].map((pixels) => Math.round(pixels * scale));
  if (canvas.width !== size[0]) canvas.width = size[0];
  if (canvas.height !== size[1]) canvas.height = size[1];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// Bones and joints, as far as they are there.
function drawBody(context, points, skeleton, thick) { // [[x, y] in CSS pixels, ...]
  const known = points.map((point) => point.every(Number.isFinite));
  context.lineCap = "round";
  context.lineWidth = thick;
  skeleton.parents.forEach((parent, joint) => {
    if (parent < 0 || !known[joint] || !known[parent]) return;
    context.strokeStyle = SIDES[sideOf(skeleton.joints[joint])];
    context.beginPath();
    context.moveTo(...points[joint]);
    context.lineTo(...points[parent]);
    context.stroke();
  });

  context.fillStyle = "#fff";
  points.forEach((point, joint) => {
    if (!known[joint]) return;
    context.beginPath();
    const radius = thick * (skeleton.joints[joint] === "head" ? 1.9 : 0.75);
    context.arc(...point, radius, 0, 2 * Math.PI);
    context.fill();
  });
}

// A picture, as large as fits, with the person in it; mirrored for people who look at themselves.
export function drawPicture(canvas, picture, image, skeleton, mirrored) { // V x 2 pixels, or null
  const { context, width, height } = cleared(canvas);
  const scale = Math.min(width / picture.width, height / picture.height);
  context.translate(width / 2, height / 2);
  context.scale(mirrored ? -scale : scale, scale);
  context.translate(-picture.width / 2, -picture.height / 2);
  context.drawImage(picture, 0, 0);
  if (image === null) return;

  const points = skeleton.joints.map((_, i) => [image[2 * i], image[2 * i + 1]]);
  drawBody(context, points, skeleton, Math.max(picture.width, picture.height) / 130);
}

// Joints in space, seen by an eye that follows the body.
export class SpaceView {
  constructor(canvas, skeleton) {
    this.canvas = canvas;
    this.skeleton = skeleton;
    this.cleanState();
  }

  cleanState() {
    this.middle = null; // [x, y, z] between the joints
    this.floor = null; // y of the lowest joint, once a foot was seen
  }

  // Where to look: calm, so that motion is seen and not followed.
  follow(joints) {
    const all = this.skeleton.joints.map((_, i) => joints.subarray(3 * i, 3 * i + 3));
    const known = all.filter((joint) => joint.every(Number.isFinite));
    if (!known.length) return;

    const along = (d) => known.map((joint) => joint[d]);
    const middle = [0, 1, 2].map((d) => (Math.min(...along(d)) + Math.max(...along(d))) / 2);
    const calmed = (before, now) => (before === null ? now : 0.93 * before + 0.07 * now);
    this.middle = middle.map((now, d) => calmed(this.middle?.[d] ?? null, now));

    const feet = all.filter((_, i) => this.skeleton.joints[i].endsWith("ankle"));
    if (feet.some((joint) => Number.isFinite(joint[1])))
      this.floor = calmed(this.floor, Math.min(...along(1)));
  }

  draw(joints, turn) { // V x 3 meters, or null; radians about the vertical
    const { context, width, height } = cleared(this.canvas);
    if (joints !== null) this.follow(joints);
    if (this.middle === null) return;

    const size = 1.5 * Math.min(height, 1.5 * width); // pixels per meter at one meter
    const level = this.floor === null ? this.middle[1] : this.floor + 0.88; // where to look
    const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
    const tilt = 0.16; // the eye looks down a little
    const project = ([x, y, z]) => {
      const [dx, dy, dz] = [x - this.middle[0], y - level, z - this.middle[2]];
      const side = -(cos * dx + sin * dz); // x points to the left of the picture
      const away = cos * dz - sin * dx;
      const up = Math.cos(tilt) * dy - Math.sin(-tilt) * away;
      const depth = Math.max(FAR + Math.cos(tilt) * away - Math.sin(tilt) * dy, 0.3);
      return [width / 2 + (size * side) / depth, 0.47 * height - (size * up) / depth];
    };

    if (this.floor !== null) this.drawFloor(context, project);
    if (joints === null) return;
    const points = this.skeleton.joints.map((_, i) => project(joints.subarray(3 * i, 3 * i + 3)));
    drawBody(context, points, this.skeleton, Math.min(width, height) / 75);
  }

  // Squares of half a meter that stay where they are in the room.
  drawFloor(context, project) {
    context.strokeStyle = "#2b3748";
    context.lineWidth = 1;
    const [x0, z0] = [0, 2].map((d) => Math.round(2 * this.middle[d]) / 2);
    for (let i = -3; i <= 3; i++)
      for (const [a, b] of [[[i, -3], [i, 3]], [[-3, i], [3, i]]]) {
        context.beginPath();
        for (const [method, [x, z]] of [["moveTo", a], ["lineTo", b]])
          context[method](...project([x0 + x / 2, this.floor, z0 + z / 2]));
        context.stroke();
      }
  }
}

// Probabilities of the last seconds; below, what is named and, for samples, what was done.
export class TimeView {
  constructor(canvas, about) {
    this.canvas = canvas;
    this.about = about;
    this.cleanState();
  }

  cleanState() {
    this.answers = []; // {time, p, truth}
  }

  push(time, p, truth) { // seconds; Float32Array; class number, or null
    this.answers.push({ time, p, truth });
    while (this.answers[0].time < time - SHOWN - 1) this.answers.shift();
  }

  draw() {
    const { context, width, height } = cleared(this.canvas);
    const rows = [["named", ({ p }) => namedBy(p, this.about)]];
    if (this.answers.some(({ truth }) => truth !== null)) rows.push(["done", ({ truth }) => truth]);

    const margin = 58;
    const strip = 22;
    const bottom = height - rows.length * (strip + 4) - 12;
    const now = Math.max(this.answers.at(-1)?.time ?? 0, 0);
    const xOf = (time) => width - 12 - ((now - time) / SHOWN) * (width - 12 - margin);
    const yOf = (p) => bottom - p * (bottom - 14);

    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    this.drawAxes(context, margin, width, yOf);

    context.save();
    context.beginPath();
    context.rect(margin, 0, width - margin - 12, height);
    context.clip();
    this.about.classes.forEach((_, i) => this.drawClass(context, i, xOf, yOf));
    const topOf = (r) => bottom + 8 + r * (strip + 4);
    rows.forEach(([, labelOf], r) => this.drawStrip(context, labelOf, xOf, topOf(r), strip));
    context.restore();

    context.fillStyle = QUIET;
    context.textAlign = "right";
    rows.forEach(([name], r) => context.fillText(name, margin - 8, topOf(r) + strip / 2));
  }

  drawAxes(context, margin, width, yOf) {
    context.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      context.strokeStyle = "#222c39";
      context.beginPath();
      context.moveTo(margin, yOf(share));
      context.lineTo(width - 12, yOf(share));
      context.stroke();
      context.fillStyle = QUIET;
      context.fillText(`${100 * share} %`, margin - 8, yOf(share));
    }
  }

  drawClass(context, i, xOf, yOf) {
    const nothing = this.about.classes[i] === this.about.nothing;
    context.strokeStyle = colorOf(i, this.about);
    context.fillStyle = `${colorOf(i, this.about)}2e`;
    context.lineWidth = nothing ? 1 : 2;
    context.setLineDash(nothing ? [3, 4] : []);

    let line = [];
    const finish = () => {
      if (line.length > 1) {
        const shape = new Path2D();
        line.forEach(([x, y]) => shape.lineTo(x, y));
        context.stroke(shape);
        shape.lineTo(line.at(-1)[0], yOf(0));
        shape.lineTo(line[0][0], yOf(0));
        if (!nothing) context.fill(shape);
      }
      line = [];
    };
    for (const { time, p } of this.answers) {
      if (Number.isNaN(p[i])) finish();
      else line.push([xOf(time), yOf(p[i])]);
    }
    finish();
    context.setLineDash([]);
  }

  drawStrip(context, labelOf, xOf, top, height) {
    const runs = [];
    for (const answer of this.answers) {
      const label = labelOf(answer);
      const last = runs.at(-1);
      if (last) last.end = answer.time;
      if (last?.label !== label) runs.push({ label, start: answer.time, end: answer.time });
    }

    context.textAlign = "left";
    for (const { label, start, end } of runs) {
      if (label === null || this.about.classes[label] === this.about.nothing) continue;

      const left = xOf(start);
      const wide = xOf(end) - left;
      context.fillStyle = colorOf(label, this.about);
      context.beginPath();
      context.roundRect(left, top, Math.max(wide, 1), height, 4);
      context.fill();

      const name = this.about.classes[label];
      context.fillStyle = "#0c1016";
      const inside = Math.max(left, 58) + 6;
      const fits = context.measureText(name).width < left + wide - inside - 4;
      if (fits) context.fillText(name, inside, top + height / 2 + 1);
    }
  }
}

// The likeliest class; null if nobody is there.
export function bestOf(p) {
  if (Number.isNaN(p[0])) return null;
  return p.indexOf(Math.max(...p));
}

// The action that is named; null if none is clear enough.
export function namedBy(p, about) {
  const best = bestOf(p);
  const clear = best !== null && p[best] >= SURE && about.classes[best] !== about.nothing;
  return clear ? best : null;
}

// One line with a bar for each class, in an order that stays.
export class ClassList {
  constructor(list, about) {
    this.rows = about.classes.map((name, i) => {
      const row = document.createElement("li");
      const words = Object.assign(document.createElement("span"), { textContent: name });
      const share = document.createElement("output");
      const bar = Object.assign(document.createElement("meter"), { max: 1, ariaLabel: name });
      row.append(words, share, bar);
      row.style.setProperty("--mark", colorOf(i, about));
      list.append(row);
      return { row, share, bar };
    });
  }

  draw(p) {
    const best = bestOf(p);
    this.rows.forEach(({ row, share, bar }, i) => {
      row.toggleAttribute("data-best", i === best);
      share.textContent = best === null ? "" : `${Math.round(100 * p[i])} %`;
      bar.value = best === null ? 0 : p[i];
    });
  }
}

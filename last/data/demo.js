// Runs in the page of `last demo` (72_demo): draws the scene beside its film. Gradio gives it
// `element`, `props` and `watch`.
let loop = 0, turn = 0, held = false;
const LINES = ["#7bd88f", "#ff7b72", "#b39ddb", "#ffd166", "#4dd0e1"];
const COLORS = { left: "#1f77b4", right: "#ff7f0e", "": "#d0d4da" };

function frameAt(times, time) {
  let t = 0;
  while (t + 1 < times.length && times[t + 1] <= time) t++;
  return t;
}

// (x left, y up, z away) to the place on the canvas, how much larger it is drawn, how far it is
function project([x, y, z], width, height) {
  const c = Math.cos(turn), s = Math.sin(turn), tilt = 0.2;
  const right = -(x * c - z * s) / 1000, away = (x * s + z * c) / 1000, up = y / 1000;
  const far = away * Math.cos(tilt) - up * Math.sin(tilt);
  const high = up * Math.cos(tilt) + away * Math.sin(tilt);
  const near = 4 / (4 + far), scale = 0.42 * Math.min(width, height) * near;
  return [width / 2 + right * scale, height / 2 - high * scale, near, far];
}

function drawFloor(pen, scene, width, height) {
  for (let i = -4; i <= 4; i++)
    for (const ends of [[[i, -4], [i, 4]], [[-4, i], [4, i]]]) {
      const at = ([x, z]) => project([250 * x, scene.floor, 250 * z], width, height);
      line(pen, ends.map(at), "#4a4f58", 1);
    }
}

function drawPerson(pen, scene, pose, values, width, height) {
  const places = pose.map((p) => (p.includes(null) ? null : project(p, width, height)));
  const size = Math.min(width, height) / 300;
  const bones = scene.bones.filter(([j, k]) => places[j] && places[k]);
  bones.sort((a, b) => places[b[0]][3] - places[a[0]][3]);
  pen.lineCap = "round";
  for (const [j, k] of bones) {
    line(pen, [places[j], places[k]], COLORS[scene.sides[j]], 4 * size * places[j][2]);
  }
  for (const j of scene.head.filter((j) => places[j])) dot(pen, places[j], 9 * size, "#d0d4da");
  places.forEach((place, j) => {
    const v = values[j];
    const color = `rgb(230 ${190 - 170 * v} 40 / 85%)`;
    if (place && v > 0.05) dot(pen, place, (3 + 7 * v) * size, color);
  });
}

function dot(pen, [x, y, near], radius, color) {
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(x, y, radius * near, 0, 7);
  pen.fill();
}

// probabilities over time; a line where the film is, and on the right what holds there
function drawCurves(pen, scene, time, width, height) {
  const unit = devicePixelRatio, right = width - 170 * unit, bottom = height - 24 * unit;
  const end = scene.times.at(-1) || 1, top = 14 * unit, left = 40 * unit;
  const place = (t, p) => [left + ((right - left) * t) / end, bottom - (bottom - top) * p];
  pen.font = `${12 * unit}px sans-serif`;
  pen.fillStyle = "#9aa0a8";
  for (const p of [0, 0.5, 1]) {
    line(pen, [place(0, p), place(end, p)], "#4a4f58", unit);
    pen.fillText(`${100 * p} %`, 2 * unit, place(0, p)[1] + 4 * unit);
  }
  pen.fillText(`${time.toFixed(1)} of ${end.toFixed(1)} s`, left, height - 6 * unit);
  line(pen, [place(time, 0), place(time, 1)], "#d0d4da", unit);

  const now = frameAt(scene.moments, time);
  scene.curves.forEach(({ name, p }, i) => {
    line(pen, p.map((x, k) => place(scene.moments[k], x)), LINES[i], 2 * unit);
    pen.fillStyle = LINES[i];
    const known = scene.moments[0] <= time ? `${Math.round(100 * p[now])} %` : "";
    pen.fillText(`${known.padStart(4)} ${name}`, right + 12 * unit, top + (22 * i + 10) * unit);
  });
}

function line(pen, places, color, width) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.beginPath();
  places.forEach(([x, y]) => pen.lineTo(x, y));
  pen.stroke();
}

function clean(canvas) {
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  return [canvas.getContext("2d"), canvas.width, canvas.height];
}

function show() {
  clearTimeout(loop);
  if (!props.value) return;
  const scene = JSON.parse(props.value);
  scene.floor = Math.min(...scene.points.flat(2).map((p) => p[1] ?? 1000));
  const video = element.querySelector("video"), canvas = element.querySelector("#body");
  const low = element.querySelector("#curves");
  const bytes = Uint8Array.from(atob(scene.film), (c) => c.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  turn = scene.flat ? 0 : 0.5;

  canvas.onpointerdown = (e) => { held = true; canvas.setPointerCapture(e.pointerId); };
  canvas.onpointerup = canvas.onpointercancel = () => { held = false; };
  canvas.onpointermove = (e) => { if (held) turn += e.movementX / 100; };

  function draw() {
    const [pen, width, height] = clean(canvas), t = frameAt(scene.times, video.currentTime);
    if (!scene.flat) drawFloor(pen, scene, width, height);
    scene.points.forEach((person, m) => {
      drawPerson(pen, scene, person[t], scene.values[m][t], width, height);
    });
    drawCurves(clean(low)[0], scene, video.currentTime, low.width, low.height);
    turn += held || scene.flat ? 0 : 0.015;
    loop = setTimeout(draw, 40);  // the network needs this machine as well
  }
  draw();
}

watch("value", show);
show();

// One frame of joints in, an answer out: what `last.streaming` does, on onnxruntime-web.
// The build (tools/page.py) writes model.onnx and, beside it, model.json with all numbers used.

import * as ort from "./vendor/onnxruntime/ort.wasm.bundle.min.mjs";

const SAME_MOMENT = 1e-9; // seconds

// A pose on the way from a to b; joints that one of them has lost come from the nearer one.
export function between(a, b, share) {
  const mixed = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) {
    const value = (1 - share) * a[i] + share * b[i];
    mixed[i] = Number.isNaN(value) ? (share < 0.5 ? a[i] : b[i]) : value;
  }
  return mixed;
}

// Is so much of a body seen that one may ask about it? As `last.watchers.whole_enough`.
export function wholeEnough(joints, about) {
  if (joints === null) return false;
  const seen = (joint) => [0, 1, 2].every((k) => Number.isFinite(joints[3 * joint + k]));
  const count = about.skeleton.joints.filter((_, joint) => seen(joint)).length;
  return count >= about.enough * about.skeleton.joints.length && about.root.every(seen);
}

// Frames at any moments to frames at a fixed rate.
export class Resampler {
  constructor(rate, longestGap) { // frames per second; seconds that may be bridged
    this.rate = rate;
    this.longestGap = longestGap;
    this.cleanState();
  }

  cleanState() {
    this.last = null; // {time, frame}
    this.given = 0; // frames since the beginning
    this.start = 0; // moment of the first one
  }

  // The frames that are known once this one has come.
  push(time, frame) { // seconds; Float32Array, NaN where nothing was seen
    if (this.last === null) {
      this.last = { time, frame };
      this.start = time;
      this.given = 1;
      return [frame];
    }

    const before = this.last;
    if (time <= before.time)
      throw new Error(`frames must come in order: ${time} s after ${before.time} s`);

    this.last = { time, frame };
    const gap = time - before.time;
    const known = [];
    for (;;) {
      const moment = this.start + this.given / this.rate;
      if (moment > time + SAME_MOMENT) return known;

      this.given += 1;
      const share = (moment - before.time) / gap;
      const lost = gap > this.longestGap && share < 1 - SAME_MOMENT;
      const nobody = new Float32Array(frame.length).fill(NaN);
      known.push(lost ? nobody : between(before.frame, frame, share));
    }
  }
}

// A joint with a coordinate that is no number is lost as a whole.
function wholeJoints(frame) {
  const whole = Float32Array.from(frame);
  for (let i = 0; i < whole.length; i += 3)
    if (!whole.subarray(i, i + 3).every(Number.isFinite)) whole.fill(NaN, i, i + 3);
  return whole;
}

// Class probabilities after every frame. Calls must wait for one another.
export class StreamingRecognizer {
  constructor(session, about) {
    this.session = session;
    this.about = about; // model.json
    this.classes = about.classes;
    this.resampler = new Resampler(about.rate, about.longest_gap);
    this.cleanState();
  }

  static async open(about, url) { // model.json, and where model.onnx lies
    const wasm = new URL("./vendor/onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url);
    ort.env.wasm.numThreads = 1; // more would need headers that a plain server does not send
    ort.env.wasm.wasmPaths = { wasm: wasm.href };
    return new StreamingRecognizer(await ort.InferenceSession.create(url), about);
  }

  // Frames until a new frame is part of an answer, at most.
  get delay() {
    return this.about.frames - 1;
  }

  // Forget everything.
  cleanState() {
    this.state = {};
    this.about.state.forEach((shape, i) => {
      const size = shape.reduce((a, b) => a * b, 1);
      this.state[`state${i}`] = new ort.Tensor("float32", new Float32Array(size), [1, ...shape]);
    });
    this.pending = []; // frames of the step that is not complete
    this.answer = new Float32Array(this.classes.length).fill(NaN); // NaN: nobody is there
    this.answers = 0; // steps so far
    this.resampler.cleanState();
  }

  // The answer that holds after this frame.
  async forwardStep(frame, time) { // V x 3 meters, NaN: lost; seconds, or none: at the own rate
    const { skeleton, forgotten } = this.about;
    const V = skeleton.joints.length;
    if (frame.length !== 3 * V)
      throw new Error(`expected ${V} joints (${skeleton.name}), found ${frame.length / 3}`);

    const pose = wholeJoints(frame);
    if (time === undefined) {
      await this.add(pose);
      return this.answer;
    }

    const { last } = this.resampler;
    if (last !== null && time - last.time > forgotten) this.cleanState();
    for (const known of this.resampler.push(time, pose)) await this.add(known);
    return this.answer;
  }

  // One frame at the network's rate; a step whenever enough have come together.
  async add(pose) {
    this.pending.push(pose);
    if (this.pending.length < this.about.frames) return;

    const frames = new Float32Array(this.about.frames * pose.length);
    this.pending.forEach((some, i) => frames.set(some, i * pose.length));
    this.pending = [];

    const shape = [1, this.about.frames, pose.length / 3, 3];
    const feed = { frames: new ort.Tensor("float32", frames, shape), ...this.state };
    const found = await this.session.run(feed);

    for (const name of Object.keys(this.state))
      this.state[name] = found[name.replace("state", "next")];
    const nobody = new Float32Array(this.classes.length).fill(NaN);
    this.answer = found.seen.data[0] > 0 ? found.probabilities.data : nobody;
    this.answers += 1;
  }
}

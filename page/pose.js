// A picture in, the network's joints out: what `last.pose` does, on @mediapipe/pose.

const FOLDER = new URL("./vendor/mediapipe/", import.meta.url).href;

// Where a person stands, from their joints in meters and in pixels.
export class Placement {
  constructor({ view, calm, gone }) { // degrees along the longer side; seconds, as in `last.placement`
    this.view = view;
    this.halfLife = calm;
    this.gone = gone;
    this.last = null; // {time, distance}
  }

  // Meters to add: the place of the hips, seen from the camera.
  place(world, image, size, time) { // V x 3 meters around the hips, V x 2 pixels, [w, h], seconds
    const focal = Math.max(...size) / 2 / Math.tan((this.view * Math.PI) / 360);
    const seen = [];
    for (let i = 0; i < image.length / 2; i++) {
      const [x, y, z] = world.subarray(3 * i, 3 * i + 3);
      const u = (image[2 * i] - size[0] / 2) / focal;
      const v = (image[2 * i + 1] - size[1] / 2) / focal;
      if ([x, y, z, u, v].every(Number.isFinite)) seen.push({ x, y, z, u, v });
    }
    if (seen.length < 4) return [0, 0, 0];

    // least squares for (x + t_x) / (z + t_z) = u and (y + t_y) / (z + t_z) = v
    const mean = (value) => seen.reduce((sum, joint) => sum + value(joint), 0) / seen.length;
    const u = mean((j) => j.u);
    const v = mean((j) => j.v);
    const right = (j) => [j.u * j.z - j.x, j.v * j.z - j.y];
    const spread = mean((j) => (j.u - u) ** 2 + (j.v - v) ** 2);
    const along = mean((j) => (j.u - u) * right(j)[0] + (j.v - v) * right(j)[1]);

    const t = this.calm(Math.max(spread > 0 ? -along / spread : 0, 0.2), time);
    return [mean((j) => j.u * (j.z + t) - j.x), mean((j) => j.v * (j.z + t) - j.y), t];
  }

  // The distance, averaged with those before it.
  calm(distance, time) {
    if (this.last !== null && time - this.last.time < this.gone) {
      const keep = 0.5 ** (Math.max(time - this.last.time, 0) / this.halfLife);
      distance = keep * this.last.distance + (1 - keep) * distance;
    }
    this.last = { time, distance };
    return distance;
  }
}

// MediaPipe's 33 landmarks as a person: {joints: V x 3 meters, image: V x 2 pixels}, NaN: lost.
export function personOf(found, size, time, placement, about) { // about: `pose` of model.json
  const marks = found.poseLandmarks;
  const image = new Float32Array(2 * marks.length);
  const world = new Float32Array(3 * marks.length);
  marks.forEach((mark, i) => {
    image.set([mark.x * size[0], mark.y * size[1]], 2 * i);
    const { x, y, z, visibility } = found.poseWorldLandmarks[i];
    world.set([x, y, z], 3 * i);

    const [left, top] = image.subarray(2 * i, 2 * i + 2);
    const outside = left < 0 || top < 0 || left > size[0] || top > size[1];
    if (visibility < about.visible || outside) {
      image.fill(NaN, 2 * i, 2 * i + 2);
      world.fill(NaN, 3 * i, 3 * i + 3);
    }
  });

  // MediaPipe: x to the right of the picture, y down; here: x to the left, y up
  const [tx, ty, tz] = placement.place(world, image, size, time);
  for (let i = 0; i < world.length; i += 3)
    world.set([-(world[i] + tx), -(world[i + 1] + ty), world[i + 2] + tz], i);
  return { joints: mapJoints(world, 3, about.map), image: mapJoints(image, 2, about.map) };
}

// Each joint as a weighted mean of landmarks; lost where one of them is.
export function mapJoints(points, dims, map) { // map: per joint [[landmark, weight], ...]
  const mapped = new Float32Array(dims * map.length);
  map.forEach((parts, j) => {
    for (let d = 0; d < dims; d++)
      mapped[dims * j + d] = parts.reduce((sum, [i, w]) => sum + w * points[dims * i + d], 0);
  });
  return mapped;
}

function loadScript(src) {
  return new Promise((done, failed) => {
    const script = Object.assign(document.createElement("script"), { src, onload: done });
    script.onerror = () => failed(new Error(`${src}: cannot be loaded`));
    document.head.append(script);
  });
}

// Finds one person per picture.
export class PoseFinder {
  static async open(about) {
    if (!window.Pose) await loadScript(`${FOLDER}pose.js`);
    const finder = new PoseFinder();
    finder.about = about;
    finder.busy = Promise.resolve();
    finder.network = new window.Pose({ locateFile: (name) => FOLDER + name });
    finder.network.setOptions({
      modelComplexity: about.complexity,
      smoothLandmarks: true,
      minDetectionConfidence: 0.5,
      minTrackingConfidence: 0.5,
    });
    finder.network.onResults((found) => {
      finder.found = found;
    });
    await finder.network.initialize();
    finder.cleanState();
    return finder;
  }

  // Another source follows.
  cleanState() {
    this.placement = new Placement(this.about);
    this.network.reset();
  }

  // A person, or null; one picture after the other.
  find(picture, size, time) {
    this.busy = this.busy.catch(() => {}).then(() => this.findNow(picture, size, time));
    return this.busy;
  }

  async findNow(picture, size, time) {
    this.found = null;
    await this.network.send({ image: picture });
    if (!this.found?.poseLandmarks) return null;
    return personOf(this.found, size, time, this.placement, this.about);
  }
}

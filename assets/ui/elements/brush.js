// Brush that edits the mask of a picture, by strokes that add or remove and can be undone.

import { make } from "../dom.js";

/**
 * @typedef {"add" | "remove"} Mode
 * @typedef {{ mode: Mode, size: number }} Tool `size` in per cent of the picture's longer side.
 * @typedef {{ x: number, y: number }} Point in pixels of the canvas
 * @typedef {{ mode: Mode | "none", width: number, points: Point[] }} Stroke
 *   "none" takes back all strokes before it.
 * @typedef {CanvasRenderingContext2D} Sheet
 */

export const BRUSH = { smallest: 1, largest: 25, usual: 7 }; // widths in per cent of the picture's longer side
const BRUSH_STEP = 0.02; // move by an arrow key, as a share of the longer side
/** Colours that the server reads. @type {Record<Mode, string>} */
const MARKS = { add: "#00ff00", remove: "#ff0000" };
const AROUND = [-1, 0, 1].flatMap((x) => [-1, 0, 1].map((y) => [x, y])); // offsets of the outline's copies
const ERASER = 32; // eraser end of a pen, in `event.buttons`

/** @param {number} width @param {number} height */
function layer(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return /** @type {Sheet} */ (canvas.getContext("2d", { willReadFrequently: true }));
}

/** @param {string} address */
function loadedImage(address) {
  const image = new Image();
  image.src = address;
  return image.decode().then(() => image);
}

/**
 * Make the canvas. Calls `done` after every stroke and `turned` where a key changes the tool.
 * @param {{ done: () => void, turned: (tool: Tool) => void }} listeners
 */
export function makeBrush({ done, turned }) {
  const canvas = make("canvas", {
    class: "tl-canvas",
    tabindex: 0,
    role: "application",
    "aria-label": "Mask of the character. Arrow keys move the brush, holding Space draws, X switches between adding and erasing, plus and minus change the width.",
  });
  const ring = make("span", { class: "tl-ring", hidden: true });
  const box = make("div", { class: "tl-canvas-box" }, canvas, ring);
  const context = /** @type {Sheet} */ (canvas.getContext("2d"));
  /** The picture below the mask. @type {HTMLImageElement | null} */
  let view = null;
  let found = layer(1, 1); // the mask before any stroke, in its alpha
  /** Strokes stored before. @type {Sheet | null} */
  let begun = null;
  // The current mask, all strokes, and a buffer for drawing.
  let [shape, marks, lines] = [found, found, found];
  /** @type {Stroke[]} */
  let strokes = [];
  /** The stroke in progress. @type {Stroke | null} */
  let stroke = null;
  /** Position of the brush. @type {Point} */
  let at = { x: 0, y: 0 };
  /** @type {Tool} */
  const tool = { mode: "add", size: BRUSH.usual };

  /**
   * Load a picture; `mask` is white where the figure is, `earlier` is a result of `marked` or null.
   * @param {{ picture: string, mask: string, earlier: string | null }} addresses
   */
  async function load({ picture, mask, earlier }) {
    const addresses = earlier ? [picture, mask, earlier] : [picture, mask];
    const [image, ...sheets] = await Promise.all(addresses.map(loadedImage));
    Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    box.style.setProperty("--tl-ratio", String(canvas.width / canvas.height));
    view = image;
    [shape, marks, lines] = [1, 2, 3].map(() => layer(canvas.width, canvas.height));
    const [lit, before] = sheets.map((sheet) => {
      const drawn = layer(canvas.width, canvas.height);
      drawn.drawImage(sheet, 0, 0, canvas.width, canvas.height);
      return drawn;
    });
    found = withBrightnessAsAlpha(lit);
    begun = before ?? null;
    strokes = [];
    stroke = null;
    at = { x: canvas.width / 2, y: canvas.height / 2 };
    replay();
  }

  /** Draw the mask again from all strokes. */
  function replay() {
    restart(begun);
    for (const each of strokes) {
      if (each.mode === "none") restart(null);
      each.points.forEach((point, index) => segment(each, each.points[Math.max(0, index - 1)], point));
    }
    draw();
  }

  /** @param {Sheet | null} earlier strokes to begin with */
  function restart(earlier) {
    for (const sheet of [shape, marks]) sheet.clearRect(0, 0, canvas.width, canvas.height);
    shape.drawImage(found.canvas, 0, 0);
    if (!earlier) return;
    marks.drawImage(earlier.canvas, 0, 0);
    shape.putImageData(mended(shape, earlier), 0, 0);
  }

  /** @param {Stroke} part @param {Point} from @param {Point} to */
  function segment({ mode, width }, from, to) {
    if (mode === "none") return;
    /** @type {[Sheet, string, GlobalCompositeOperation][]} */
    const ways = [
      [shape, "#ffffff", mode === "add" ? "source-over" : "destination-out"],
      [marks, MARKS[mode], "source-over"],
    ];
    for (const [sheet, colour, how] of ways) {
      sheet.globalCompositeOperation = how;
      Object.assign(sheet, { strokeStyle: colour, fillStyle: colour, lineWidth: width, lineCap: "round" });
      sheet.beginPath();
      sheet.arc(to.x, to.y, width / 2, 0, 2 * Math.PI);
      sheet.fill();
      sheet.beginPath();
      sheet.moveTo(from.x, from.y);
      sheet.lineTo(to.x, to.y);
      sheet.stroke();
      sheet.globalCompositeOperation = "source-over";
    }
  }

  /** Draw the figure in colour with an outline, and everything else faint. */
  function draw() {
    if (!view) return;
    const { width, height } = canvas;
    context.clearRect(0, 0, width, height);
    Object.assign(context, { filter: "grayscale(1)", globalAlpha: 0.3 });
    context.drawImage(view, 0, 0, width, height);
    Object.assign(context, { filter: "none", globalAlpha: 1 });
    const reach = Math.max(1.5, longSide() / 300);
    overlay("copy", shape.canvas);
    for (const [right, down] of AROUND) overlay("source-over", shape.canvas, reach * right, reach * down);
    lines.globalCompositeOperation = "source-in";
    lines.fillStyle = getComputedStyle(box).getPropertyValue("--tl-mask-colour");
    lines.fillRect(0, 0, width, height);
    overlay("destination-out", shape.canvas);
    context.drawImage(lines.canvas, 0, 0);
    overlay("copy", shape.canvas);
    overlay("source-in", view);
    context.drawImage(lines.canvas, 0, 0);
    showRing();
  }

  /** @param {GlobalCompositeOperation} how @param {CanvasImageSource} what */
  function overlay(how, what, x = 0, y = 0) {
    lines.globalCompositeOperation = how;
    lines.drawImage(what, x, y, canvas.width, canvas.height);
  }

  const longSide = () => Math.max(canvas.width, canvas.height);

  function showRing() {
    const share = tool.size / 100;
    ring.dataset.mode = tool.mode;
    ring.style.left = `${(100 * at.x) / canvas.width}%`;
    ring.style.top = `${(100 * at.y) / canvas.height}%`;
    ring.style.width = `${(100 * share * longSide()) / canvas.width}%`;
  }

  /** @param {Mode} mode */
  function begin(mode = tool.mode) {
    stroke = { mode, width: (tool.size / 100) * longSide(), points: [{ ...at }] };
    segment(stroke, at, at);
    draw();
  }

  /** @param {Point} point */
  function go(point) {
    if (stroke) {
      segment(stroke, at, point);
      stroke.points.push({ ...point });
    }
    at = point;
    if (stroke) draw();
    else showRing();
  }

  function end() {
    if (!stroke) return;
    strokes.push(stroke);
    stroke = null;
    done();
  }

  function undo() {
    if (!strokes.length) return;
    strokes.pop();
    replay();
    done();
  }

  /** Restore the detected mask; can be undone like a stroke. */
  function restore() {
    strokes.push({ mode: "none", width: 0, points: [] });
    replay();
    done();
  }

  /** @param {PointerEvent} event @returns {Point} */
  function pointOf(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return { x: ((event.clientX - left) / width) * canvas.width, y: ((event.clientY - top) / height) * canvas.height };
  }

  /** @type {Record<string, (event: PointerEvent) => unknown>} */
  const POINTER = {
    pointerdown: (event) => {
      if (!event.isPrimary || !(event.buttons & (1 | ERASER))) return;
      canvas.setPointerCapture(event.pointerId);
      at = pointOf(event);
      begin(event.buttons & ERASER ? "remove" : tool.mode);
    },
    pointermove: (event) => {
      if (!event.isPrimary) return;
      ring.hidden = false;
      for (const each of event.getCoalescedEvents?.() ?? [event]) go(pointOf(each));
    },
    pointerup: (event) => event.isPrimary && end(),
    // A second finger starts a pinch zoom: the first one's stroke is dropped.
    pointercancel: () => {
      stroke = null;
      replay();
    },
    pointerleave: () => void (ring.hidden = document.activeElement !== canvas),
  };

  /** @type {Record<string, [number, number]>} */
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    const { key } = event;
    if (key in MOVES && !event.altKey) {
      const reach = longSide() * BRUSH_STEP;
      const inside = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(Math.max(value, 0), most);
      const [right, down] = MOVES[key];
      go({ x: inside(at.x + reach * right, canvas.width), y: inside(at.y + reach * down, canvas.height) });
    } else if (key === " ") {
      if (!stroke && !event.repeat) begin();
    } else if (key === "x") turn({ mode: tool.mode === "add" ? "remove" : "add" });
    else if (key === "+" || key === "-") turn({ size: tool.size + (key === "+" ? 1 : -1) });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Partial<Tool>} changes */
  function turn(changes) {
    Object.assign(tool, changes);
    tool.size = Math.min(Math.max(tool.size, BRUSH.smallest), BRUSH.largest);
    if (view) showRing();
    turned(tool);
  }

  for (const [name, listener] of Object.entries(POINTER)) {
    canvas.addEventListener(name, (event) => listener(/** @type {PointerEvent} */ (event)));
  }
  canvas.addEventListener("keydown", pressed);
  canvas.addEventListener("keyup", (event) => event.key === " " && end());
  canvas.addEventListener("focus", () => (ring.hidden = !canvas.matches(":focus-visible")));
  canvas.addEventListener("blur", () => {
    end();
    ring.hidden = true;
  });

  return {
    box,
    load,
    undo,
    restore,
    turn,
    canUndo: () => strokes.length > 0,
    /** All strokes as a picture: green where they add, red where they remove. */
    marked: () => marks.canvas.toDataURL("image/png"),
  };
}

/** Set a canvas's opacity to its brightness. @param {Sheet} drawn */
function withBrightnessAsAlpha(drawn) {
  const { width, height } = drawn.canvas;
  const pixels = drawn.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i];
  drawn.putImageData(pixels, 0, 0);
  return drawn;
}

/** Apply strokes to a mask as the server does: removing wins. @param {Sheet} shape @param {Sheet} strokes */
function mended(shape, strokes) {
  const { width, height } = shape.canvas;
  const pixels = shape.getImageData(0, 0, width, height);
  const marked = strokes.getImageData(0, 0, width, height).data;
  for (let i = 0; i < pixels.data.length; i += 4) {
    const [red, green] = [marked[i], marked[i + 1]].map((colour) => (colour * marked[i + 3]) / 255);
    pixels.data[i + 3] = Math.min(Math.max(pixels.data[i + 3], green), 255 - red);
  }
  return pixels;
}

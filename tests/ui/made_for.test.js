// Settings outside what a model was made for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { guidanceDoubt, sizeDoubt, stepsDoubt } from "../../assets/ui/state/made_for.js";

const settings = { width: 256, height: 256, steps: null, guidance: null, styles: [] };
const miniature = {
  title: "The miniature",
  guidance: 2,
  sizes: [{ width: 256, height: 256 }],
  made_for: { steps: [8, 50], area: [58982, 72090], guidance: [1, 6] },
};
const schnell = {
  title: "Schnell",
  guidance: null,
  sizes: [{ width: 1024, height: 1024 }],
  made_for: { steps: [1, 4], area: [100000, 2100000], guidance: null },
};

test("a model's own settings raise no doubt", () => {
  for (const model of [miniature, undefined, { ...schnell, made_for: null }]) {
    assert.equal(sizeDoubt(model, settings) + stepsDoubt(model, settings) + guidanceDoubt(model, settings), "");
  }
  assert.equal(stepsDoubt(miniature, { ...settings, steps: 50 }) + guidanceDoubt(miniature, { ...settings, guidance: 6 }), "");
});

test("others are marked, with what the model was made for", () => {
  assert.match(sizeDoubt(miniature, { ...settings, width: 512, height: 512 }), /^The miniature was made .* size of 256 \u00d7 256 pixels, not for 512 \u00d7 512\.$/);
  assert.match(sizeDoubt(schnell, { ...settings, width: 2048, height: 2048 }), /0\.1 to 2\.1 megapixels/);
  assert.match(stepsDoubt(miniature, { ...settings, steps: 3 }), /8 to 50 steps; with fewer/);
  assert.match(stepsDoubt(schnell, { ...settings, steps: 50 }), /1 to 4 steps; more take longer/);
  assert.match(guidanceDoubt(miniature, { ...settings, guidance: 8 }), /guidance of 1 to 6/);
  assert.equal(guidanceDoubt(schnell, { ...settings, guidance: 8 }), "");
});

test("a LoRA may be made for other steps and guidance, not for other sizes", () => {
  const styled = { ...settings, width: 512, height: 512, steps: 3, guidance: 9, styles: [{ source: "owner/turbo" }] };
  assert.equal(stepsDoubt(miniature, styled) + guidanceDoubt(miniature, styled), "");
  assert.notEqual(sizeDoubt(miniature, styled), "");
  assert.notEqual(stepsDoubt(miniature, { ...styled, styles: [{ source: " " }] }), "");
});

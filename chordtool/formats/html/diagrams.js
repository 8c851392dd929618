"use strict";
/* Chord diagrams as SVG. A shape is two words from guitar.json: frets and fingers, low E first. */

function svgElement(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

/** A fretboard, seen from the front: nut on top, low E on the left. */
function guitarDiagram(shape) {
  const [frets, fingers] = shape.split(" ").map(word => [...word].map(c => c === "x" ? -1 : parseInt(c, 36)));
  const ROWS = Math.max(4, Math.max(...frets) - Math.min(...frets.filter(f => f > 0), 99) + 1);
  const highest = Math.max(...frets);
  const base = highest <= ROWS ? 1 : Math.min(...frets.filter(f => f > 0));
  const x = string => 22 + string * 14, y = row => 20 + row * 17;
  const svg = svgElement("svg", {
    viewBox: `0 0 104 ${y(ROWS) + 4}`, class: "guitar", role: "img",
    "aria-label": "Guitar, low to high: " + frets.map(f => f < 0 ? "mute" : f || "open").join(" "),
  });
  for (let row = 0; row <= ROWS; row++)
    svgElement("line", {x1: x(0), x2: x(5), y1: y(row), y2: y(row), class: row === 0 && base === 1 ? "nut" : ""}, svg);
  for (let string = 0; string < 6; string++)
    svgElement("line", {x1: x(string), x2: x(string), y1: y(0), y2: y(ROWS)}, svg);
  if (base > 1) svgElement("text", {x: 9, y: y(.5) + 4}, svg, base);

  const stopped = frets.map((fret, string) => ({fret, string, finger: fingers[string]})).filter(s => s.fret > 0);
  for (const finger of new Set(stopped.map(s => s.finger).filter(Boolean))) {
    const held = stopped.filter(s => s.finger === finger);
    if (held.length < 2 || held.some(s => s.fret !== held[0].fret)) continue;
    const left = x(held[0].string) - 5.5, right = x(held[held.length - 1].string) + 5.5;
    svgElement("rect", {
      x: left, width: right - left, y: y(held[0].fret - base + .5) - 5.5, height: 11, rx: 5.5, class: "dot",
    }, svg);
  }
  for (const {fret, string, finger} of stopped) {
    const middle = y(fret - base + .5);
    svgElement("circle", {cx: x(string), cy: middle, r: 5.8, class: "dot"}, svg);
    if (finger) svgElement("text", {x: x(string), y: middle + 3.4, class: "finger"}, svg, finger);
  }
  frets.forEach((fret, string) => {
    if (fret === 0) svgElement("circle", {cx: x(string), cy: 11, r: 3.6, class: "open"}, svg);
    if (fret < 0) svgElement("text", {x: x(string), y: 15}, svg, "×");
  });
  return svg;
}

/** Two octaves from C with the chord in root position; a bass that is not the root is darker. */
function pianoDiagram(root, tones, bass, spoken) {
  const WHITE = [0, 2, 4, 5, 7, 9, 11], KEY = 16, HEIGHT = 62;
  const on = new Set(tones.map(tone => root + tone));
  const low = bass ? (root + bass) % 12 : root;
  const svg = svgElement("svg", {
    viewBox: `-1 -1 ${14 * KEY + 2} ${HEIGHT + 2}`, class: "piano", role: "img", "aria-label": `Piano: ${spoken}`,
  });
  const key = (note, attributes, kind) => {
    const state = note === low && (bass || on.has(note)) ? " bass" : on.has(note) ? " on" : "";
    svgElement("rect", {...attributes, rx: 2, class: kind + state}, svg);
  };
  for (let octave = 0; octave < 2; octave++)
    WHITE.forEach((note, n) => key(12 * octave + note, {x: (7 * octave + n) * KEY, y: 0, width: KEY, height: HEIGHT}, "white"));
  for (let octave = 0; octave < 2; octave++)
    WHITE.forEach((note, n) => {
      if (note === 4 || note === 11) return;
      key(12 * octave + note + 1, {x: (7 * octave + n + 1) * KEY - 5, y: 0, width: 10, height: HEIGHT * .62}, "black");
    });
  return svg;
}

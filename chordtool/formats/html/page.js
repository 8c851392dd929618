/* The page: one clock (the recording, or a silent one without it), one state, drawn from the song. */

const song = JSON.parse(document.getElementById("song").textContent);
const $ = id => document.getElementById(id);
const audio = $("audio");
const UNSURE = 0.5;
/** Wide enough for the names of all but the shortest chords, and so narrow that one sees ahead. */
const PIXELS_PER_SECOND = (() => {
  const wanted = song.segments.map(([start, end, index]) => (14 + 10 * song.chords[index].names[0].length) / (end - start));
  wanted.sort((a, b) => a - b);
  return Math.max(48, Math.min(96, wanted[Math.floor(.9 * wanted.length)] || 0));
})();
const state = {transpose: 0, capo: song.capo, current: -1, bar: -1, shapes: {}, loop: null};
const modulo = (a, n) => ((a % n) + n) % n;
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const percent = share => `${Math.round(100 * share)}%`;

/* ---- The clock ------------------------------------------------------------------------- */

/** Runs in step with the wall where there is no recording to play. */
const silent = {
  position: 0, since: null, rate: 1,
  get time() {
    const run = this.since === null ? 0 : (performance.now() - this.since) / 1000 * this.rate;
    return Math.min(song.seconds, this.position + run);
  },
  set time(seconds) { this.position = seconds; if (this.since !== null) this.since = performance.now(); },
  set speed(rate) { this.time = this.time; this.rate = rate; },
  play() { if (this.time >= song.seconds) this.position = 0; this.since = performance.now(); },
  pause() { this.position = this.time; this.since = null; },
};
let audible = Boolean(audio.getAttribute("src"));
const now = () => audible ? audio.currentTime : silent.time;
const playing = () => audible ? !audio.paused : silent.since !== null;

function seek(seconds) {
  const target = Math.max(0, Math.min(song.seconds, seconds));
  if (audible) audio.currentTime = target; else silent.time = target;
  draw();
}

function toggle() {
  $("problem").hidden = true;
  if (playing()) { if (audible) audio.pause(); else silent.pause(); }
  else if (audible) audio.play().catch(() => lost());
  else silent.play();
  showPlaying();
}

function showPlaying() {
  $("play").setAttribute("aria-label", playing() ? "Pause" : "Play");
  $("play-icon").setAttribute("d", playing() ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4v16l13-8z");
  requestAnimationFrame(frame);
}

function frame() {
  draw();
  if (!audible && silent.since !== null && silent.time >= song.seconds) { silent.pause(); showPlaying(); }
  if (playing()) requestAnimationFrame(frame);
}

/** The recording is not where it was, or of a kind that the browser cannot play. */
function lost() {
  if (!audible) return;
  silent.time = audio.currentTime;
  audible = false;
  $("choose").hidden = false;
  $("problem").textContent = "The recording cannot be played here. Choose it, or practise without sound.";
  $("problem").hidden = false;
  showPlaying();
}

function choose(file) {
  if (!file) return;
  silent.pause();
  const at = now();
  audio.src = URL.createObjectURL(file);
  audible = true;
  audio.playbackRate = Number($("speed").value);
  audio.currentTime = at;
  $("choose").hidden = $("problem").hidden = true;
  showPlaying();
}

/* ---- Chords ---------------------------------------------------------------------------- */

/** How far the names are from those of the song's own chords: what is played, and what sounds. */
const shift = () => ({
  played: modulo(state.transpose + song.capo - state.capo, 12),
  sounding: modulo(state.transpose + song.capo, 12),
});
const nameOf = index => song.chords[index].names[shift().played];

/** Which of some rows that begin with their start, in order, has begun last; -1 for none. */
function last(rows, seconds) {
  let low = -1, high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle][0] <= seconds + 1e-4) low = middle; else high = middle - 1;
  }
  return low;
}

function shapesOf(index) {
  const chord = song.chords[index];
  const rows = chord.root === null ? undefined : song.shapes[chord.quality];
  return rows ? rows[(chord.root + shift().played) % 12] : [];
}

function guitarOf(index) {
  const shapes = shapesOf(index);
  const chosen = state.shapes[nameOf(index)] || 0;
  return shapes.length ? [guitarDiagram(shapes[chosen % shapes.length])] : [];
}

function pianoOf(index) {
  const chord = song.chords[index], tones = song.tones[chord.quality];
  if (chord.root === null || !tones) return [];
  const by = shift().sounding;
  return [pianoDiagram((chord.root + by) % 12, tones, chord.bass, chord.notes[by])];
}

function setName(element, text) {
  element.textContent = text;
  element.classList.toggle("long", text.length > 5);
}

/* ---- Drawing --------------------------------------------------------------------------- */

function draw() {
  let seconds = now();
  if (state.loop && seconds >= state.loop[1] && playing()) { seconds = state.loop[0]; seek(seconds); return; }
  const current = last(song.segments, seconds);
  $("elapsed").textContent = clock(seconds);
  if (document.activeElement !== $("seek") || playing()) $("seek").value = seconds;
  $("seek").setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(song.seconds)}`);
  $("playhead").style.left = `${seconds * PIXELS_PER_SECOND}px`;
  follow(seconds);
  const next = song.segments[current + 1];
  $("next-caption").textContent = next ? `Next, in ${Math.max(0, next[0] - seconds).toFixed(1)} s` : "Next";
  if (current !== state.current) {
    state.current = current;
    drawStage();
    mark(current);
    if (!song.bars.length) keepInSight($("bars").children[current]);
  }
  const bar = last(song.bars, seconds);
  if (bar !== state.bar) {
    document.querySelector(".bar.here")?.classList.remove("here");
    state.bar = bar;
    if (bar >= 0) {
      $("bars").children[bar].classList.add("here");
      keepInSight($("bars").children[bar]);
    }
  }
}

let scrolledByHand = -Infinity;
function follow(seconds) {
  const view = $("timeline");
  if (!view.clientWidth || performance.now() - scrolledByHand < 3000) return;
  const target = Math.max(0, seconds * PIXELS_PER_SECOND - view.clientWidth * .3);
  if (Math.abs(view.scrollLeft - target) > 1) view.scrollLeft = target;
}

/** Turns the page for who reads the chart; not for who sees the stage, nor against a hand. */
let turnedByHand = -Infinity;
function keepInSight(place) {
  const box = selector => document.querySelector(selector).getBoundingClientRect();
  const bottom = box(".player").top;
  if (!place || !playing() || performance.now() - turnedByHand < 3000) return;
  if (box(".stage").bottom > 0 || box(".bars").bottom < bottom / 2) return;
  const at = place.getBoundingClientRect();
  if (at.top >= 0 && at.bottom + at.height <= bottom) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  scrollBy({top: at.top - bottom / 4, behavior: still ? "auto" : "smooth"});
}

function drawStage() {
  const segment = song.segments[state.current], next = song.segments[state.current + 1];
  if (!segment) { setName($("now-name"), "–"); return; }
  const [, , index, sure, others] = segment;
  const {played, sounding} = shift();
  setName($("now-name"), nameOf(index));
  setName($("next-name"), next ? nameOf(next[2]) : "End");
  $("now-notes").textContent = song.chords[index].notes[played];
  $("now-meter").value = sure;
  $("now-sure").textContent = `${percent(sure)} sure`;
  $("now-others").textContent = others.length
    ? "or " + others.map(([other, share]) => `${nameOf(other)} ${percent(share)}`).join(", ") : "";
  $("now-guitar").replaceChildren(...guitarOf(index));
  $("now-piano").replaceChildren(...pianoOf(index));
  $("piano-caption").textContent = played !== sounding ? `sounds ${song.chords[index].names[sounding]}` : "";
  $("next-guitar").replaceChildren(...(next ? guitarOf(next[2]) : []));
  $("shape").hidden = shapesOf(index).length < 2;
}

/** Marks the sounding chord in the timeline and in the chart. */
function mark(current) {
  for (const old of document.querySelectorAll("[aria-current]")) old.removeAttribute("aria-current");
  for (const element of document.querySelectorAll(`[data-segment="${current}"]`)) element.setAttribute("aria-current", "true");
}

function describe(n) {
  const [start, end, index, sure, others] = song.segments[n];
  const rest = others.map(([other, share]) => `${nameOf(other)} ${percent(share)}`).join(", ");
  return `${nameOf(index)}, ${clock(start)} to ${clock(end)}, ${percent(sure)} sure${rest ? `, or ${rest}` : ""}`;
}

function chordButton(n, kind, from = 0) {
  const [start, , index, sure] = song.segments[n], chord = song.chords[index];
  const button = document.createElement("button");
  button.type = "button";
  button.className = kind;
  button.dataset.segment = n;
  button.tabIndex = -1;
  button.classList.toggle("none", chord.root === null);
  button.classList.toggle("unsure", sure < UNSURE);
  button.style.setProperty("--sure", sure);
  // Chords that are near on the circle of fifths are near in colour; the tonic is always blue.
  if (chord.root !== null) button.style.setProperty("--hue", modulo(215 + 30 * modulo((chord.root - song.tonic) * 7, 12), 360));
  button.addEventListener("click", () => seek(Math.max(start, from)));
  return button;
}

/** The whole song once; names are filled in by {@link rename}. */
function build() {
  const track = $("track");
  track.style.width = `${Math.ceil(song.seconds * PIXELS_PER_SECOND)}px`;
  song.segments.forEach(([start, end], n) => {
    const block = chordButton(n, "block");
    block.style.left = `${start * PIXELS_PER_SECOND}px`;
    block.style.width = `${(end - start) * PIXELS_PER_SECOND}px`;
    track.append(block);
  });
  const bars = $("bars");
  bars.classList.toggle("metric", song.bars.length > 0);
  const rows = song.bars.length ? song.bars.map(bar => bar[1]) : song.segments.map((_, n) => [n]);
  let before = -1;
  rows.forEach((beats, row) => {
    const bar = document.createElement("div");
    bar.className = song.bars.length ? "bar" : "";
    for (let place = 0; place < beats.length;) {
      const n = beats[place];
      let stop = place + 1;
      while (beats[stop] === n) stop++;
      const cell = chordButton(n, "cell", song.bars.length ? song.bars[row][0] : 0);
      cell.style.gridColumn = `span ${stop - place}`;
      // A chord that goes on from the bar before is written lightly.
      cell.classList.toggle("held", n === before);
      bar.append(cell);
      before = n;
      place = stop;
    }
    bar.classList.toggle("crowded", bar.children.length > 2);
    bars.append(bar);
  });
  for (const group of [track, bars]) rove(group);
  $("seek").max = song.seconds;
  $("total").textContent = $("length").textContent = clock(song.seconds);
}

/** Writes every name anew: after a transposition, or a capo. */
function rename() {
  for (const button of document.querySelectorAll("[data-segment]")) {
    const n = Number(button.dataset.segment);
    button.replaceChildren(Object.assign(document.createElement("span"), {textContent: nameOf(song.segments[n][2])}));
    button.setAttribute("aria-label", describe(n));
    if (button.classList.contains("cell") && !song.bars.length)
      button.append(Object.assign(document.createElement("small"), {textContent: clock(song.segments[n][0])}));
  }
  const {played, sounding} = shift();
  $("transpose").textContent = state.transpose > 0 ? `+${state.transpose}` : String(state.transpose).replace("-", "−");
  $("capo").textContent = state.capo;
  $("capo-fact").textContent = state.capo ? `fret ${state.capo}` : "none";
  $("key").textContent = !song.keys.length ? "–" : song.keys[sounding] + (played !== sounding ? ` (as ${song.keys[played]})` : "");
  const used = new Map();
  for (const [, , index] of song.segments) if (shapesOf(index).length) used.set(nameOf(index), index);
  $("cards").replaceChildren(...[...used].map(([name, index]) => {
    const card = document.createElement("li");
    card.append(Object.assign(document.createElement("b"), {textContent: name}), ...guitarOf(index));
    return card;
  }));
  drawStage();
}

/* ---- Tools ----------------------------------------------------------------------------- */

function transpose(by) { state.transpose = modulo(state.transpose + by + 11, 23) - 11; rename(); }
function capo(by) { state.capo = modulo(state.capo + by, 12); rename(); }

function nextShape() {
  const segment = song.segments[state.current];
  if (!segment) return;
  const name = nameOf(segment[2]);
  state.shapes[name] = ((state.shapes[name] || 0) + 1) % Math.max(1, shapesOf(segment[2]).length);
  rename();
}

function loop(edge) {
  const [start, end] = song.segments[state.current] || [0, song.seconds];
  const [from, to] = state.loop || [0, song.seconds];
  if (edge === "from") state.loop = [start, to > start ? to : song.seconds];
  else if (edge === "to") state.loop = [from < end ? from : 0, end];
  else state.loop = null;
  $("loop").textContent = state.loop ? state.loop.map(clock).join("–") : "";
  $("loop-clear").disabled = !state.loop;
  document.querySelector(".region")?.remove();
  for (const cell of document.querySelectorAll(".cell")) {
    const [a, b] = song.segments[cell.dataset.segment];
    cell.classList.toggle("looped", Boolean(state.loop) && a >= state.loop[0] && b <= state.loop[1]);
  }
  if (!state.loop) return;
  const region = document.createElement("div");
  region.className = "region";
  region.style.left = `${state.loop[0] * PIXELS_PER_SECOND}px`;
  region.style.width = `${(state.loop[1] - state.loop[0]) * PIXELS_PER_SECOND}px`;
  $("track").append(region);
}

function step(by) {
  const at = state.current;
  if (at < 0) return;
  // A second into a chord, "previous" means its own start, as players have it.
  const restart = by < 0 && now() - song.segments[at][0] > 1;
  const target = restart ? at : Math.max(0, Math.min(song.segments.length - 1, at + by));
  seek(song.segments[target][0]);
}

function speed(by) {
  const select = $("speed");
  select.selectedIndex = Math.max(0, Math.min(select.length - 1, select.selectedIndex + by));
  audio.playbackRate = silent.speed = Number(select.value);
}

/** One Tab stop for many buttons; arrow keys move within. */
function rove(group) {
  const buttons = [...group.querySelectorAll("[data-segment]")];
  if (buttons.length) buttons[0].tabIndex = 0;
  group.addEventListener("focusin", event => {
    for (const button of buttons) button.tabIndex = button === event.target ? 0 : -1;
  });
  group.addEventListener("keydown", event => {
    const at = buttons.indexOf(event.target);
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (at < 0 || !by || event.ctrlKey || event.altKey || event.metaKey) return;
    buttons[Math.max(0, Math.min(buttons.length - 1, at + by))].focus();
    event.preventDefault();
    event.stopPropagation();
  });
  for (const button of buttons) {
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => showTip(button));
    for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, hideTip);
  }
}

function showTip(button) {
  const [start, end, index, sure, others] = song.segments[button.dataset.segment];
  if (song.chords[index].root === null && !others.length) return;
  const table = document.createElement("table");
  for (const [n, [chord, share]] of [[index, sure], ...others].entries()) {
    const row = table.insertRow(), name = row.insertCell();
    if (n === 0) name.append(Object.assign(document.createElement("b"), {textContent: nameOf(chord)}));
    else name.textContent = `or ${nameOf(chord)}`;
    row.insertCell().textContent = percent(share);
  }
  const tip = $("tip");
  tip.replaceChildren(`${clock(start)}–${clock(end)}`, table);
  tip.hidden = false;
  const place = button.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const above = place.top - own.height - 8;
  tip.style.left = `${Math.max(8, Math.min(innerWidth - own.width - 8, place.left))}px`;
  tip.style.top = `${above > 8 ? above : place.bottom + 8}px`;
}
function hideTip() { $("tip").hidden = true; }

/* ---- Keys and buttons ------------------------------------------------------------------ */

const KEYS = {
  " ": toggle, k: toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => seek(0),
  "+": () => transpose(1), "=": () => transpose(1), "-": () => transpose(-1), "−": () => transpose(-1),
  c: () => capo(1), C: () => capo(-1), "[": () => loop("from"), "]": () => loop("to"), "\\": () => loop(null),
  "<": () => speed(-1), ">": () => speed(1), s: nextShape, "?": () => $("keys").showModal(), Escape: hideTip,
};

document.addEventListener("keydown", event => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.altKey || event.metaKey || $("keys").open) return;
  const at = event.target;
  // Fields keep their own keys, and the space bar presses the button that has the focus.
  if (at.matches("input, select") || (event.key === " " && at.matches("button"))) return;
  event.preventDefault();
  act();
});

const CLICKS = {
  play: toggle, back: () => step(-1), forward: () => step(1), down: () => transpose(-1), up: () => transpose(1),
  "capo-down": () => capo(-1), "capo-up": () => capo(1), "loop-from": () => loop("from"), "loop-to": () => loop("to"),
  "loop-clear": () => loop(null), shape: nextShape, print: () => print(), help: () => $("keys").showModal(),
};
for (const [id, act] of Object.entries(CLICKS)) $(id).addEventListener("click", act);
$("seek").addEventListener("input", () => seek(Number($("seek").value)));
$("speed").addEventListener("change", () => speed(0));
$("file").addEventListener("change", () => choose($("file").files[0]));
for (const kind of ["wheel", "pointerdown", "touchmove"])
  $("timeline").addEventListener(kind, () => { scrolledByHand = performance.now(); }, {passive: true});
for (const kind of ["wheel", "touchmove", "keydown"])
  addEventListener(kind, () => { turnedByHand = performance.now(); }, {passive: true});
// Once the pointer has pressed a button, the space bar plays, and does not press it again.
document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (event.detail && button && button === document.activeElement) button.blur();
});
for (const kind of ["play", "pause", "ended"]) audio.addEventListener(kind, showPlaying);
// Frames stop in a tab that is not seen; this event does not, and a loop must go on.
for (const kind of ["timeupdate", "seeked", "loadedmetadata"]) audio.addEventListener(kind, draw);
// A loop goes on too where the recording ends a moment before its last chord does.
audio.addEventListener("ended", () => {
  if (state.loop && state.loop[0] < audio.duration) { seek(state.loop[0]); toggle(); }
});
audio.addEventListener("error", lost);

$("choose").hidden = audible;
if (audible && audio.error) lost();
build();
rename();
draw();

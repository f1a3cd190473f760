// Draws the loudest samples and the spans over them; a drag adds a span, a click in one removes it.
const canvas = element.querySelector("canvas");
let start = null, end = null;

function parsed(text) {
  return (text || "").split(",").map((part) => part.trim().split("-").map(Number))
    .filter((pair) => pair.length === 2 && pair.every(Number.isFinite) && pair[0] < pair[1]);
}

function written(spans) {
  const merged = [];
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    const last = merged[merged.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged.map(([from, to]) => `${+from.toFixed(3)}-${+to.toFixed(3)}`).join(", ");
}

function draw() {
  const { peaks, seconds, spans } = props.value || {};
  canvas.dataset.seconds = seconds || 0;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!seconds) return;
  const x = (second) => second / seconds * canvas.width;
  const marked = parsed(spans);
  canvas.dataset.spans = written(marked);
  if (start !== null && end !== null) marked.push([Math.min(start, end), Math.max(start, end)]);
  context.fillStyle = style.getPropertyValue("--span") || "#f6d5b8";
  for (const [from, to] of marked) context.fillRect(x(from), 0, x(to) - x(from), canvas.height);
  context.fillStyle = style.getPropertyValue("--wave") || "#8a4300";
  for (const edge of marked.flat()) context.fillRect(x(edge) - 1, 0, 2, canvas.height);
  const width = canvas.width / peaks.length, middle = canvas.height / 2;
  peaks.forEach((peak, index) => {
    const height = Math.max(1, peak * (canvas.height - 4));
    context.fillRect(index * width, middle - height / 2, Math.max(1, width - 0.5), height);
  });
}

function second(event) {
  const box = canvas.getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  return share * props.value.seconds;
}

function tell(spans) {
  props.value = { ...props.value, spans };
  draw();
  trigger("input");
}

canvas.addEventListener("pointerdown", (event) => {
  if (!props.value || !props.value.seconds) return;
  canvas.setPointerCapture(event.pointerId);
  start = end = second(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (start === null) return;
  end = second(event);
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  if (start === null) return;
  const [from, to] = [Math.min(start, second(event)), Math.max(start, second(event))];
  const spans = parsed(props.value.spans);
  start = end = null;
  if (to - from < props.value.seconds / 200) {
    tell(written(spans.filter(([a, b]) => !(a <= from && from <= b))));
  } else {
    tell(written([...spans, [from, to]]));
  }
});
watch("value", draw);
// Colours are those of the theme, which may be changed while the page is open.
new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });
draw();

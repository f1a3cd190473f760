// Returns what is read with less than 4.5 to 1 (WCAG 2, 1.4.3): its words, and the contrast.
() => {
  const one = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = one.getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (above, below) =>
    [0, 1, 2].map((i) => above[i] * above[3] + below[i] * (1 - above[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.unshift(rgba(getComputedStyle(at).backgroundColor));
    }
    return layers.reduce((below, above) => over(above, below), [255, 255, 255, 1]);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((v) =>
      v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3);
    const words = (own.map((node) => node.data).join("") || element.value ||
      element.placeholder || "").toString().trim();
    const box = element.getBoundingClientRect();
    if (!words || element.disabled || box.width < 2 || box.height < 2) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const part = element.placeholder && !element.value ? "::placeholder" : null;
    const back = behind(element);
    const text = over(rgba(getComputedStyle(element, part).color), back);
    const [light, dark] = [text, back].map(luminance).sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) found.push([words.slice(0, 40), contrast]);
  }
  return found;
}

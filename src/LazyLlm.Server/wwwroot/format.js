// How the page writes numbers.
const plain = new Intl.NumberFormat("en");

export const count = value => plain.format(value);

export function time(milliseconds) {
  if (milliseconds == null) return "–";
  if (milliseconds >= 99_950) return `${plain.format(Math.round(milliseconds / 1000))} s`;
  if (milliseconds >= 999.5) return `${(milliseconds / 1000).toPrecision(3)} s`;
  if (milliseconds >= 99.95) return `${Math.round(milliseconds)} ms`;
  return milliseconds === 0 ? "0 ms" : `${Math.max(milliseconds, 0.01).toPrecision(milliseconds < 1 ? 2 : 3)} ms`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 || value === 0 ? `${Math.round(value)} ${units[unit]}` : `${value >= 99.95 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}

export const percent = share => share == null ? "–" : share > 0 && share < 0.01 ? "<1%" : `${Math.round(share * 100)}%`;

export const layers = stage => stage.end - stage.first === 1 ? `layer ${stage.first}` : `layers ${stage.first}–${stage.end - 1}`;

export const clock = at => new Date(at).toLocaleTimeString("en-GB");

export function median(values) {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

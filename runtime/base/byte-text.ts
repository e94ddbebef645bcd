// Sizes as people read them.

/** 3328599654 → "3.1 GiB". */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  const names = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes / 1024
  let step = 0
  while (value >= 1023.95 && step < names.length - 1) {
    value /= 1024
    step++
  }
  return `${value.toFixed(1)} ${names[step]}`
}

// "did you mean": the nearest known word, when it is near enough to be a slip of the fingers.

/** Optimal string alignment distance: insert, delete, replace, swap of neighbours cost 1 each. */
export function editDistance(left: string, right: string): number {
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, column) => column)]
  for (let row = 1; row <= left.length; row++) {
    const line = [row]
    for (let column = 1; column <= right.length; column++) {
      const above = at(rows[row - 1], column)
      const replaced = at(rows[row - 1], column - 1) + (left[row - 1] === right[column - 1] ? 0 : 1)
      let best = Math.min(above + 1, at(line, column - 1) + 1, replaced)
      const isSwap = row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      if (isSwap) best = Math.min(best, at(rows[row - 2], column - 2) + 1)
      line.push(best)
    }
    rows.push(line)
  }
  return at(rows[left.length], right.length)
}

function at(line: number[] | undefined, column: number): number {
  return line?.[column] ?? Number.POSITIVE_INFINITY
}

/** The one known word that `word` was probably meant to be, or null. At most a third of it may differ (one letter in short words), never all. */
export function nearestWord(word: string, known: Iterable<string>): string | null {
  const normal = (text: string): string => text.toLowerCase().replaceAll('-', '_')
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 0.5
  for (const candidate of known) {
    const distance = editDistance(normal(word), normal(candidate))
    if (distance < bestDistance && distance < Math.min(word.length, candidate.length)) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

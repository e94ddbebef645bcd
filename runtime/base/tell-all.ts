// Tells everybody who asked to be told, also when one of them throws.

/** `onProgramError`: the first thing that was thrown, when everybody has been told. */
export function tellAll<T>(listeners: Iterable<(value: T) => void>, value: T, onProgramError: (error: unknown) => void): void {
  const failures: unknown[] = []
  for (const listener of listeners) {
    try {
      listener(value)
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) onProgramError(failures[0])
}

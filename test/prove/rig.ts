// What `npm run prove` knows of a rig: a proof that takes longer, or needs more of the machine, than a test may.

export interface Rig {
  readonly name: string
  /** One line: what it proves. */
  readonly proves: string
  /** What it does, needs and takes; with its options. */
  readonly help: string
  /** `args` are what stands behind the name. @returns the exit code: 0 proved, 1 disproved, 2 cannot run */
  run(args: readonly string[]): Promise<number>
}

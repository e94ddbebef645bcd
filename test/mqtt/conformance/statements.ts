// Tests named after the normative statements of the standards. Statements are listed in docs/mqtt-conformance.md; page.test.ts compares.
// The calls are read as text there: id and words are literals.

import { test } from 'node:test'
import type { Version } from './encode.ts'

type Check = (version: Version) => Promise<void>

const waiting: { readonly title: string; readonly run: () => Promise<void> }[] = []
const BESIDE_EACH_OTHER = 12
const TIMEOUT_MS = 20_000

const titleOf = (id: string, words: string, version: Version): string => `[MQTT-${id}] ${words} (${version === 5 ? '5.0' : '3.1.1'})`

/** A statement of 3.1.1. */
export function v4(id: string, words: string, check: Check): void {
  waiting.push({ title: titleOf(id, words, 4), run: () => check(4) })
}

/** A statement of 5.0. */
export function v5(id: string, words: string, check: Check): void {
  waiting.push({ title: titleOf(id, words, 5), run: () => check(5) })
}

/** The same under two ids. */
export function both(id4: string, id5: string, words: string, check: Check): void {
  v4(id4, words, check)
  v5(id5, words, check)
}

/** Runs what was named in this file; with ONLY=5.0 or another part of a title just that. */
export function runStatements(subject: string): void {
  const chosen = waiting.filter(({ title }) => title.includes(process.env.ONLY ?? ''))
  test(subject, { concurrency: BESIDE_EACH_OTHER }, async (t) => {
    await Promise.all(chosen.map(({ title, run }) => t.test(title, { timeout: TIMEOUT_MS }, run)))
  })
}

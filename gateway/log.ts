// What a gateway has to say while it runs, one line per happening. Where it goes is the embedding program's business (bin/log-lines.ts: stderr).
// Not here: the journal, which is storage (runtime/log/journal.ts).

export type LogLevel = 'info' | 'warn' | 'error'

export type Log = (level: LogLevel, message: string, facts?: Readonly<Record<string, unknown>>) => void

// Templates of a route: "{site}/{device}", "{mqtt.client}", "{payload.severity}". Parsed once, filled per event.
// Not for: expressions, defaults, formatting.

import { type FieldPath, fieldText, parseFieldName, readField } from './payload-field.ts'

export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'capture'; readonly index: number }
  | { readonly kind: 'topic' }
  | { readonly kind: 'client' }
  | { readonly kind: 'payload'; readonly path: FieldPath; readonly name: string }

export interface Template {
  readonly parts: readonly TemplatePart[]
  /** Depends on nothing but the MQTT topic: filled once per topic, not per event. */
  readonly isFixed: boolean
  readonly needsPayload: boolean
}

/** What an event offers to a template. */
export interface TemplateValues {
  readonly captures: readonly string[]
  readonly mqttTopic: string
  readonly clientId: string
  /** The decoded payload; undefined when there is none. */
  readonly payload: unknown
}

/** @returns the template, or the problems in words; `names` are the wildcards of the route's filter */
export function parseTemplate(source: string, names: readonly string[]): Template | string {
  const parts: TemplatePart[] = []
  let at = 0
  while (at < source.length) {
    const open = source.indexOf('{', at)
    const close = open < 0 ? -1 : source.indexOf('}', open)
    const text = open < 0 ? source.slice(at) : source.slice(at, open)
    if (text.includes('}')) return `has a "}" without "{" in "${source}"`
    if (text !== '') parts.push({ kind: 'text', text })
    if (open < 0) break
    if (close < 0) return `has a "{" without "}" in "${source}"`
    const part = parseVariable(source.slice(open + 1, close), names)
    if (typeof part === 'string') return part
    parts.push(part)
    at = close + 1
  }
  return {
    parts,
    isFixed: parts.every(({ kind }) => kind !== 'client' && kind !== 'payload'),
    needsPayload: parts.some(({ kind }) => kind === 'payload')
  }
}

function parseVariable(name: string, names: readonly string[]): TemplatePart | string {
  if (name === 'mqtt.topic') return { kind: 'topic' }
  if (name === 'mqtt.client') return { kind: 'client' }
  if (name.startsWith('payload.')) {
    const path = parseFieldName(name.slice('payload.'.length))
    return path === null ? `uses {${name}}, which names no field` : { kind: 'payload', path, name: name.slice('payload.'.length) }
  }
  const index = names.indexOf(name)
  if (index >= 0) return { kind: 'capture', index }
  const has = names.length > 0 ? `has: ${names.join(', ')}` : 'names none'
  return `uses {${name}}, which the filter does not define (it ${has}; always there: mqtt.topic, mqtt.client, payload.FIELD)`
}

/** @returns the text, or the missing field as { missing } */
export function fillTemplate(template: Template, values: TemplateValues): string | { readonly missing: string } {
  let text = ''
  for (const part of template.parts) {
    switch (part.kind) {
      case 'text':
        text += part.text
        break
      case 'capture':
        text += values.captures[part.index] ?? ''
        break
      case 'topic':
        text += values.mqttTopic
        break
      case 'client':
        text += values.clientId
        break
      case 'payload': {
        const value = fieldText(readField(values.payload, part.path))
        if (value === null) return { missing: part.name }
        text += value
      }
    }
  }
  return text
}

/** In words, which capture or client id is empty: a name that is made of it would be that of no device. null = none is. */
export function emptyVariable({ parts }: Template, { captures, clientId }: TemplateValues): string | null {
  for (const part of parts) {
    if (part.kind === 'client' && clientId === '') return 'the client has no id'
    if (part.kind === 'capture' && (captures[part.index] ?? '') === '') return 'a wildcard of the filter is empty here'
  }
  return null
}

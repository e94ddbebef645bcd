// The routes of wadi.yaml in the words of the broker.

import type { RouteConfig, RoutesConfig } from '../../runtime/broker/routes.ts'
import type { Config, RouteSection } from './schema.ts'

export function routesConfigOf(config: Config): RoutesConfig {
  const { action, topic } = config.unmatched
  return {
    routes: config.routes.map(routeConfigOf),
    unmatched: action !== 'topic' ? { action } : topic === null ? { action: 'reject' } : { topic },
    deadLetter: config.dead_letter.topic
  }
}

function routeConfigOf(route: RouteSection): RouteConfig {
  const { name, filter, topic, key, headers, time, value } = route
  return {
    name,
    filter,
    topic,
    key: key === null ? undefined : key === 'none' ? null : key,
    headers,
    time: time && { from: time.from, unit: time.unit, maxSkewMs: time.max_skew, else: time.else },
    value
  }
}

// A client id is connected once (MQTT-3.1.4-2), however close together its connections come and whichever listeners they use.
// aedes closes the connection that is registered and registers the new one when that is done. When two come while a third is being
// closed, the first of them takes its place, is struck off the list by the end of the third, and lives on unseen beside the second.
// Here a place in the list is only given up by the connection that holds it, and whoever takes it closes the one that holds it.

interface Registered {
  readonly id: string
  readonly closed: boolean
  close(): void
}

/** The part of aedes that is changed here. */
export interface Registry {
  readonly clients: Record<string, Registered | undefined>
  connectedClients: number
  _finishRegisterClient(client: Registered): void
  unregisterClient(client: Registered): void
}

/** Changes `registry` in place. */
export function keepOnePerClientId(registry: Registry): void {
  const register = registry._finishRegisterClient.bind(registry)
  const unregister = registry.unregisterClient.bind(registry)
  registry._finishRegisterClient = (client) => {
    if (client.closed) return // it ended while it waited for its place
    const holder = registry.clients[client.id]
    register(client)
    if (holder && holder !== client && !holder.closed) holder.close()
  }
  registry.unregisterClient = (client) => {
    const holder = registry.clients[client.id]
    if (holder === client) return unregister(client)
    registry.connectedClients-- // its place has been taken already
  }
}

// Every cap of MQTT, one constant each: those of one listener, and those of the broker behind all of them. Refusals name the limit
// and are counted (MqttMetrics).

/** Each listener has its own. */
export interface ListenerLimits {
  /** A whole packet, fixed header included. */
  readonly packetBytesMax: number
  /** The CONNECT packet without its will, and the will's payload. Nothing else is read before a CONNECT. */
  readonly connectBytesMax: number
  readonly willBytesMax: number
  readonly mqttTopicBytesMax: number
  /** Of topics and filters. */
  readonly topicLevelsMax: number
  /** Properties of one packet of MQTT 5. */
  readonly propertyBytesMax: number
  readonly userPropertiesMax: number
  readonly connectionsMax: number
  /** Of them, from one address (client-network.ts): who comes from there takes no room from others. */
  readonly connectionsPerAddressMax: number
}

/** Of sessions and of what the broker keeps for them, whichever listener they use. */
export interface BrokerLimits {
  /** Packets of all connections that came in pieces and are not whole. */
  readonly unfinishedBytesMax: number
  readonly clientIdBytesMax: number
  /** From accept to a whole CONNECT, total, not idle. */
  readonly connectTimeoutMs: number
  /** How long a client may leave unread what was sent to it. */
  readonly drainTimeoutMs: number
  /** What a client that is connected has not acknowledged, and what waits for it: bytes of one session, and of all sessions. */
  readonly outboundBytesMax: number
  readonly outboundTotalBytesMax: number
  /** QoS 1 and 2 messages that a client is sent before it acknowledges; it may ask for fewer. */
  readonly inflightPerClientMax: number
  readonly subscriptionsPerClientMax: number
  /** Memory of subscriptions: of one client, and of all. A level of a filter takes 240 bytes. */
  readonly subscriptionBytesPerClientMax: number
  readonly subscriptionBytesMax: number
  /** Clients with a persistent session that subscribe. */
  readonly sessionsMax: number
  /** Places in the log of messages that wait for a session that outlives its connections: of one, and of all. They take 16 bytes each. */
  readonly queuedPlacesPerClientMax: number
  readonly queuedPlacesMax: number
  /** QoS 1 and 2 messages that are not in the log and wait for a subscriber that is away: number and bytes of one client, and bytes of all. */
  readonly offlinePerClientMax: number
  readonly offlinePerClientBytesMax: number
  readonly offlineBytesMax: number
  readonly retainedCountMax: number
  /** They are part of the state, which is written whole with every checkpoint. */
  readonly retainedBytesMax: number
  /** Payload of one; a larger one is delivered and not retained. */
  readonly retainedMessageBytesMax: number
  /** QoS 2 packet ids remembered until PUBREL: per client, and of all clients. */
  readonly qos2PerClientMax: number
  readonly qos2TotalMax: number
}

export type MqttLimits = ListenerLimits & BrokerLimits

export const defaultMqttLimits: MqttLimits = {
  packetBytesMax: 512 * 1024,
  connectBytesMax: 4 * 1024,
  willBytesMax: 4 * 1024,
  mqttTopicBytesMax: 1024,
  topicLevelsMax: 100,
  propertyBytesMax: 4 * 1024,
  userPropertiesMax: 64,
  clientIdBytesMax: 128,
  unfinishedBytesMax: 16 * 1024 * 1024,
  connectionsMax: 1000,
  connectionsPerAddressMax: 500,
  connectTimeoutMs: 10_000,
  drainTimeoutMs: 5_000,
  outboundBytesMax: 4 * 1024 * 1024,
  outboundTotalBytesMax: 64 * 1024 * 1024,
  inflightPerClientMax: 500,
  subscriptionsPerClientMax: 1_000,
  subscriptionBytesPerClientMax: 5 * 1024 * 1024,
  subscriptionBytesMax: 48 * 1024 * 1024,
  sessionsMax: 10_000,
  queuedPlacesPerClientMax: 10_000,
  queuedPlacesMax: 1_000_000,
  offlinePerClientMax: 1_000,
  offlinePerClientBytesMax: 2 * 1024 * 1024,
  offlineBytesMax: 16 * 1024 * 1024,
  retainedCountMax: 10_000,
  retainedBytesMax: 4 * 1024 * 1024,
  retainedMessageBytesMax: 384 * 1024,
  qos2PerClientMax: 500,
  qos2TotalMax: 50_000
}

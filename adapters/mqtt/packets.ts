// MQTT control packets of both versions as the session layer sees them: what wire-read.ts makes of bytes, and wire-write.ts bytes of.
// Types only. MQTT 3.1 and 3.1.1 leave out what only MQTT 5 has: properties are null, reason codes 0.

/** 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5.0. */
export type ProtocolVersion = 3 | 4 | 5
export type Qos = 0 | 1 | 2

/** What MQTT 5 lets a message carry from its publisher to its subscribers. */
export interface MessageProperties {
  /** Properties 1, 3, 8, 9 and 38 as they came, in their order, in memory of their own: forwarding is a copy. */
  readonly forwarded: Uint8Array
  /** Property 2; null = it does not expire. */
  readonly expirySeconds: number | null
}

/** A PUBLISH from a client. */
export interface PublishPacket {
  readonly type: 'publish'
  /** Empty when an alias names it (MQTT 5). */
  readonly topic: string
  /** A view into what was read: to be copied by whoever keeps it. */
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  readonly dup: boolean
  /** 0 of QoS 0. */
  readonly packetId: number
  readonly topicAlias: number | null
  /** null = none. */
  readonly properties: MessageProperties | null
}

export interface WillPacket {
  readonly topic: string
  /** In memory of its own. */
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  readonly delaySeconds: number
  readonly properties: MessageProperties | null
}

export interface ConnectPacket {
  readonly type: 'connect'
  readonly version: ProtocolVersion
  /** It says that it joins another broker to this one. */
  readonly isBridge: boolean
  /** Clean session (3.1.1), clean start (5). */
  readonly isClean: boolean
  /** 0 = none. */
  readonly keepAliveSeconds: number
  /** As sent: may be empty. */
  readonly clientId: string
  readonly will: WillPacket | null
  readonly userName: string | null
  readonly password: Uint8Array | null
  /** After the end of the connection. Of 3.1.1: 0 when clean, SESSION_NEVER_EXPIRES otherwise. */
  readonly sessionExpirySeconds: number
  /** QoS 1 and 2 messages that the client takes before it acknowledges. 65,535 when it does not say. */
  readonly receiveMaximum: number
  /** Largest packet that the client takes; Infinity when it does not say. */
  readonly packetBytesMax: number
  /** Property 23: reason strings and user properties may be sent to it. */
  readonly wantsProblemInformation: boolean
}

export const SESSION_NEVER_EXPIRES = 0xffff_ffff

/** PUBACK, PUBREC, PUBREL, PUBCOMP from a client. */
export interface AckPacket {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
  readonly packetId: number
  readonly reasonCode: number
}

export interface SubscriptionRequest {
  /** Well formed: wildcards stand where they may. */
  readonly filter: string
  readonly qos: Qos
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** 0 = send retained messages, 1 = only when the subscription is new, 2 = never. */
  readonly retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  readonly type: 'subscribe'
  readonly packetId: number
  readonly subscriptions: readonly SubscriptionRequest[]
  /** Property 11. */
  readonly subscriptionId: number | null
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe'
  readonly packetId: number
  readonly filters: readonly string[]
}

export interface DisconnectPacket {
  readonly type: 'disconnect'
  readonly reasonCode: number
  /** Property 17; null = as in CONNECT. */
  readonly sessionExpirySeconds: number | null
}

export type ClientPacket =
  | ConnectPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | UnsubscribePacket
  | DisconnectPacket
  | { readonly type: 'pingreq' }

// --- to clients

/** Session present, code; the properties are sent to MQTT 5 clients only, those that are undefined are left out. */
export interface ConnackOptions {
  readonly isSessionPresent: boolean
  /** Reason code of MQTT 5; wire-write.ts gives older versions the return code that is nearest. */
  readonly reasonCode: number
  readonly sessionExpirySeconds?: number
  readonly receiveMaximum?: number
  readonly packetBytesMax?: number
  readonly assignedClientId?: string
  readonly topicAliasMaximum?: number
  readonly serverKeepAliveSeconds?: number
  /** Why it is refused, in words. */
  readonly reasonText?: string
}

/** A PUBLISH to a client. */
export interface DeliveryOptions {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  readonly dup: boolean
  readonly packetId: number
  readonly properties: MessageProperties | null
  /** What is left of it now; null = it does not expire. */
  readonly expirySeconds: number | null
  /** Of every subscription that matches and has one. */
  readonly subscriptionIds: readonly number[]
}

/** Reason codes of MQTT 5 that we send. */
export const ReasonCode = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noSubscriptionExisted: 0x11,
  unspecified: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  unsupportedVersion: 0x84,
  clientIdNotValid: 0x85,
  badCredentials: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  shuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  administrativeAction: 0x98,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  sharedSubscriptionsNotSupported: 0x9e
} as const

// Which edge topics a world has and where they are delivered: one to one, with other partition counts, several into one.

export interface Mapping {
  readonly edge: readonly (readonly [topicName: string, partitionCount: number])[]
  readonly upstream: readonly (readonly [edgeTopic: string, topicName: string, partitionCount: number])[]
}

export const MAPPINGS: readonly Mapping[] = [
  { edge: [['plant', 1]], upstream: [['plant', 'plant', 1]] },
  { edge: [['plant', 2]], upstream: [['plant', 'site.plant', 2]] },
  { edge: [['plant', 2]], upstream: [['plant', 'plant', 3]] },
  {
    edge: [
      ['plant', 2],
      ['meter', 1]
    ],
    upstream: [
      ['plant', 'all', 2],
      ['meter', 'all', 2]
    ]
  },
  {
    edge: [
      ['plant', 1],
      ['meter', 3]
    ],
    upstream: [
      ['plant', 'plant', 1],
      ['meter', 'meter', 2]
    ]
  }
]

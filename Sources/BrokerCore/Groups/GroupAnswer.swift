package import TopicProtocol

/// What goes back to a client, perhaps long after it asked.
package struct GroupAnswer: Sendable {
    /// By kind of request.
    package enum Body: Sendable {
        case empty
        case join(JoinGroupAnswer)
        case sync(SyncGroupAnswer)
        case errors(ErrorList)
        case offsets(OffsetFetchAnswer)
        case groups(GroupList)
        case description(GroupDescription)
        case heartbeat(ConsumerGroupHeartbeatAnswer)
    }

    package let origin: ProduceOrigin
    package let error: ErrorCode
    /// For a person; empty without an error.
    package let text: String
    /// As ``BrokerError/isTransient``.
    package var isTransient = false
    package let body: Body
}

/// Records for `__consumer_offsets`; the coordinator hears of them again by their token.
struct GroupWrite {
    let token: UInt64
    /// Decides the partition.
    let group: String
    /// Whose transaction decides whether they count; nil: they do.
    var producer: ProducerEpoch?
    let records: [(key: [UInt8], value: [UInt8]?)]
}

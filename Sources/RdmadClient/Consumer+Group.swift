internal import RDMATransport
internal import TopicProtocol

// Offsets that the group keeps.
extension Consumer {
    /// Commits the positions: everything that was handed out counts as processed. Before processing it is
    /// at-most-once, after it at-least-once.
    /// - Throws: ``ClientError``; with the broker's ILLEGAL_GENERATION or UNKNOWN_MEMBER_ID the partitions may belong
    ///   to others by now, with REBALANCE_IN_PROGRESS a rebalance must end first.
    public func commit() async throws(ClientError) { try await commit(agent.positions) }

    /// Commits offsets: of each partition that of the record to be read next.
    public func commit(_ offsets: [TopicPartition: Int64]) async throws(ClientError) {
        _ = try groupID
        guard !offsets.isEmpty else { return }
        try Links.check(offsets.keys)
        if let (name, offset) = offsets.first(where: { $0.value < 0 }) {
            throw ClientError(.limit, "offset \(offset) of \(name)")
        }
        let deadline = monotonicNanoseconds() + LinkPatience.answerNanoseconds
        let error: ClientError? = await withCheckedContinuation { continuation in
            agent.commit(OffsetCommit(offsets: offsets, deadline: deadline) { continuation.resume(returning: $0) })
        }
        if let error { throw error }
    }

    /// What the group has committed; partitions without an offset are left out.
    /// - Parameter partitions: nil: those of ``assignment``.
    public func committed(_ partitions: [TopicPartition]? = nil) async throws(ClientError) -> [TopicPartition: Int64] {
        var names = Set(partitions ?? assignment)
        try Links.check(names)
        var found: [TopicPartition: Int64] = [:]
        while !names.isEmpty {
            let request = OffsetFetch(group: try groupID, partitions: Array(names))
            let answer = try parseBody(try await link.request(.group(.fetch(request)))) { reader throws(FrameError) in
                try OffsetFetchAnswer(from: &reader)
            }
            found.merge(answer.offsets) { $1 }
            names.subtract(answer.offsets.keys)
            if !answer.isCut || answer.topics.isEmpty { break }
        }
        return found.filter { $0.value >= 0 }
    }

    private var groupID: String {
        get throws(ClientError) {
            guard let id = agent.configuration.groupID else {
                throw ClientError(.limit, "the consumer has no groupID: there is nobody to commit for")
            }
            return id
        }
    }
}

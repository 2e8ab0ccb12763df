internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// Offsets on their way to the group.
struct OffsetCommit: Sendable {
    var offsets: [TopicPartition: Int64]
    /// When to give up, and when to try at the earliest; 0: at once.
    var deadline: UInt64
    var notBefore: UInt64 = 0
    /// What the broker said last.
    var refusal: ClientError?
    /// Called with nil once they are committed. On the link's thread.
    var done: @Sendable (ClientError?) -> Void
}

/// Where a consumer is with its commits.
struct OffsetCommitter {
    var nextAutoCommit: UInt64 = 0
    /// Sent and not answered.
    var inFlight = 0
    /// The last ones are being made: the consumer ends.
    var isFinishing = false
}

// Committed offsets. On the link's thread, but for what says otherwise.
extension ConsumerAgent {
    static var commitRetryNanoseconds: UInt64 { 100_000_000 }
    /// How long one of the consumer's own commits may take when partitions go or the consumer ends.
    static var lastCommitNanoseconds: UInt64 { 3_000_000_000 }

    /// Queues a commit. From any thread.
    func commit(_ commit: OffsetCommit) {
        let failure = state.withLock { state -> ClientError? in
            if let failure = state.isClosed ? .closed : state.failure { return failure }
            state.commits.append(commit)
            return nil
        }
        if let failure { commit.done(failure) } else { link.wake() }
    }

    /// Positions of all partitions: behind the last record that was handed out. From any thread.
    var positions: [TopicPartition: Int64] {
        state.withLock { state in
            state.partitions.filter { $0.value.isAssigned }.compactMapValues(\.position)
        }
    }

    /// What was processed and is not known to be committed.
    func uncommitted(_ names: [TopicPartition]? = nil) -> [TopicPartition: Int64] {
        state.withLock { state in
            let partitions = names.map { names in state.partitions.filter { names.contains($0.key) } }
            return (partitions ?? state.partitions).compactMapValues { partition in
                partition.progress.map(\.consumed).flatMap { $0 == partition.committed ? nil : $0 }
            }
        }
    }

    /// Sends what waits, and commits by itself when it is time. Returns when to be called again.
    func commitOffsets(_ link: any LinkPort, now: UInt64) -> UInt64? {
        guard let groupID = configuration.groupID else { return nil }
        if configuration.autoCommit, isOpen, !committer.isFinishing, now >= committer.nextAutoCommit {
            committer.nextAutoCommit = now + UInt64(configuration.autoCommitIntervalMilliseconds) * 1_000_000
            let offsets = membership?.isMember ?? true ? uncommitted() : [:]
            if !offsets.isEmpty {
                let deadline = committer.nextAutoCommit
                // What fails is committed with the next one.
                state.withLock { $0.commits.append(OffsetCommit(offsets: offsets, deadline: deadline, done: { _ in })) }
            }
        }
        // What is sent behind a JOIN comes from a generation that is over.
        let mayCommit = isOpen && membership?.isBetweenGenerations != true
        var expired: [OffsetCommit] = []
        let due = state.withLock { state -> [OffsetCommit] in
            expired = state.commits.filter { now >= $0.deadline }
            let due = mayCommit ? state.commits.filter { now < $0.deadline && now >= $0.notBefore } : []
            state.commits.removeAll { now >= $0.deadline || mayCommit && now >= $0.notBefore }
            return due
        }
        for commit in expired {
            let why = commit.refusal.map { ": \($0)" } ?? ""
            commit.done(ClientError(.timeout, "offsets of group \(groupID) were not committed in time\(why)"))
        }
        for commit in due { send(commit, groupID, link) }
        let waiting = state.withLock { state in state.commits.map { mayCommit ? $0.notBefore : $0.deadline }.min() }
        let auto = configuration.autoCommit && isOpen ? committer.nextAutoCommit : nil
        return min(waiting ?? .max, auto ?? .max)
    }

    private func send(_ commit: OffsetCommit, _ groupID: String, _ link: any LinkPort) {
        if let membership, !membership.isMember {
            let text = "commit offsets: the consumer is not a member of group \(groupID) now"
            return commit.done(ClientError(.broker, text, broker: .unknownMemberID))
        }
        let (names, topics) = TopicOffsets.list(commit.offsets)
        let caller = membership?.caller ?? GroupCaller(group: groupID)
        committer.inFlight += 1
        link.ask(.group(.commit(caller, topics))) { [self] result in
            committer.inFlight -= 1
            do throws(ClientError) {
                let list = try parseBody(try result.get()) { reader throws(FrameError) in
                    try ErrorList(from: &reader)
                }
                try list.check(names)
                state.withLock { state in
                    for (name, offset) in commit.offsets { state.partitions[name]?.committed = offset }
                }
                commit.done(nil)
            } catch {
                guard error.code == .connection || error.broker.isRetriable else { return commit.done(error) }
                var again = commit
                again.refusal = error
                again.notBefore = monotonicNanoseconds() + Self.commitRetryNanoseconds
                self.commit(again)
            }
        }
    }

    /// Commits what was processed for the last time. Returns true when all commits are answered.
    func finishCommits(now: UInt64) -> Bool {
        if !committer.isFinishing {
            committer.isFinishing = true
            let offsets = configuration.autoCommit && membership?.isMember ?? true ? uncommitted() : [:]
            if !offsets.isEmpty {
                commit(OffsetCommit(offsets: offsets, deadline: now + Self.lastCommitNanoseconds, done: { _ in }))
            }
        }
        return committer.inFlight == 0 && state.withLock { $0.commits.isEmpty }
    }

    /// The offset of the first record of at least a time, or −1: the end. Time −2: the log's start.
    func findOffset(
        _ link: any LinkPort, _ address: PartitionAddress, _ time: Int64,
        _ done: @escaping (Result<Int64, ClientError>) -> Void
    ) {
        link.ask(.admin(.listOffsets(address, timestamp: time, configuration.isolationLevel.number))) {
            result in
            done(
                Result { () throws(ClientError) in
                    try parseBody(try result.get()) { reader throws(FrameError) in try ListedOffset(from: &reader) }
                        .offset
                })
        }
    }

    /// What a group has committed for partitions; those without an offset are left out.
    func fetchOffsets(
        _ link: any LinkPort, _ group: String, _ names: [TopicPartition],
        _ found: [TopicPartition: Int64] = [:],
        _ done: @escaping (Result<[TopicPartition: Int64], ClientError>) -> Void
    ) {
        link.ask(.group(.fetch(OffsetFetch(group: group, partitions: names)))) { [self] result in
            do throws(ClientError) {
                let answer = try parseBody(try result.get()) { reader throws(FrameError) in
                    try OffsetFetchAnswer(from: &reader)
                }
                let offsets = found.merging(answer.offsets) { $1 }
                let rest = answer.isCut ? names.filter { offsets[$0] == nil } : []
                guard !rest.isEmpty, rest.count < names.count else {
                    return done(.success(offsets.filter { $0.value >= 0 }))
                }
                fetchOffsets(link, group, rest, offsets, done)
            } catch {
                done(.failure(error))
            }
        }
    }
}

extension OffsetFetch {
    init(group: String, partitions: [TopicPartition]) {
        let topics = Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }
        self.init(
            group: group,
            scope: .partitions(
                topics.map { TopicPartitions(topic: $0.key, partitions: $0.value.map { UInt32($0.partition) }) }))
    }
}

extension OffsetFetchAnswer {
    /// By partition; −1 where there is none.
    var offsets: [TopicPartition: Int64] {
        let pairs = topics.flatMap { topic in
            topic.partitions.map { (TopicPartition(topic.topic, Int($0.partition)), $0.offset) }
        }
        return Dictionary(pairs) { $1 }
    }
}

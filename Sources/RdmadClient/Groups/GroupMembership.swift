internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// A consumer's part in its group: Kafka's classic protocol as its clients do it. All on the link's thread.
///
/// ```
/// unjoined ─► preparing ─► joining ─► syncing ─► stable ─┐
///    ▲           ▲                                       │ a rebalance, partitions to hand on
///    │           └───────────────────────────────────────┘
///    └── refused, or the connection was lost in between
/// ```
/// Preparing gives up partitions: all, or with cooperative assignors none. What the group takes away afterwards is
/// given up while stable, and then the group is joined again, so that its next owner gets it.
final class GroupMembership: @unchecked Sendable {
    // Unchecked: used on the link's thread only; closures that come from elsewhere are run there.
    enum Phase { case unjoined, preparing, joining, syncing, stable, left }

    let topics: [String]
    let start: Consumer.Position
    unowned let agent: ConsumerAgent
    var phase = Phase.unjoined
    /// Given by the coordinator; empty while there is none.
    var memberID = ""
    var generation: Int32 = -1
    /// What the group has given this member, and in which generation.
    var owned: [TopicPartition] = []
    var ownedGeneration: Int32 = -1
    var needsJoin = true
    /// Counts attempts to join: what an earlier one is answered means nothing any more.
    var attempt = 0
    var joinNotBefore: UInt64 = 0
    /// Whether the coordinator knows this member, said on the connection of now. Nothing is fetched before.
    var isConfirmed = false
    var heartbeatAt: UInt64 = 0
    var isHeartbeatPending = false
    /// Given and not read yet: their offsets are being fetched, or the application is being told.
    /// By when they were given, so that what was lost and given again is not taken for the same.
    var unstarted: [TopicPartition: Int] = [:]
    var lastStart = 0
    var isStarting = false
    var startNotBefore: UInt64 = 0
    var revocation: Revocation?
    /// The partition counts that the last plan was made of, when this member leads the group.
    var planned: [String: Int]?
    /// The topics it is about.
    var watched: Set<String> = []
    var metadataAt: UInt64 = 0
    var isLeaving = false

    /// Partitions on their way out.
    struct Revocation {
        enum Stage { case processing, telling, committing }
        let partitions: [TopicPartition]
        /// When to go on without the reader and the application.
        let deadline: UInt64
        var stage = Stage.processing
        let then: @Sendable () -> Void
    }

    static var retryNanoseconds: UInt64 { 100_000_000 }

    init(topics: [String], start: Consumer.Position, agent: ConsumerAgent) {
        self.topics = topics
        self.start = start
        self.agent = agent
    }

    var configuration: Consumer.Configuration { agent.configuration }
    var groupID: String { configuration.groupID! }
    var isCooperative: Bool { configuration.assignors.allSatisfy(\.isCooperative) }
    var isBetweenGenerations: Bool { phase == .joining || phase == .syncing }
    /// Whether offsets can be committed.
    var isMember: Bool { !memberID.isEmpty && generation >= 0 }
    var caller: GroupCaller {
        GroupCaller(
            group: groupID, generation: generation, memberID: memberID, instanceID: configuration.instanceID)
    }
    private func nanoseconds(_ milliseconds: Int) -> UInt64 { UInt64(milliseconds) * 1_000_000 }
    private var heartbeatInterval: UInt64 { nanoseconds(configuration.heartbeatIntervalMilliseconds) }

    // MARK: The connection

    func connected() {
        // What was a member asks whether it still is.
        heartbeatAt = 0
        if !isMember { isConfirmed = true }
    }

    func disconnected() {
        isConfirmed = false
        isHeartbeatPending = false
        isStarting = false
        if phase == .joining || phase == .syncing { rejoin() }
    }

    /// Something was released that a revocation waits for.
    var hasWork: Bool {
        guard !isLeaving, let revocation, revocation.stage == .processing else { return false }
        return agent.isProcessed(revocation.partitions)
    }

    /// Returns when to be called again at the latest.
    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
        guard !isLeaving else { return nil }
        var deadlines: [UInt64] = []
        if let deadline = advanceRevocation(link, now: now) { deadlines.append(deadline) }
        checkReader(link, now: now)
        if !unstarted.isEmpty, !isStarting {
            if now >= startNotBefore { start(link) } else { deadlines.append(startNotBefore) }
        }
        // First the heartbeat of a new connection: it says whether there is anything left to give up.
        if needsJoin, isConfirmed, revocation == nil, phase == .unjoined || phase == .stable, isReaderThere(now) {
            if now >= joinNotBefore { prepare(link) } else { deadlines.append(joinNotBefore) }
        }
        if let deadline = heartbeat(link, now: now) { deadlines.append(deadline) }
        if phase == .stable, planned != nil {
            if now >= metadataAt { checkMetadata(link, now: now) }
            deadlines.append(metadataAt)
        }
        return deadlines.min()
    }

    // MARK: Heartbeats

    private func heartbeat(_ link: any LinkPort, now: UInt64) -> UInt64? {
        guard isMember, phase != .joining, phase != .unjoined || !isConfirmed, !isHeartbeatPending else { return nil }
        guard now >= heartbeatAt else { return heartbeatAt }
        heartbeatAt = now + heartbeatInterval
        isHeartbeatPending = true
        let asked = generation
        link.ask(.group(.heartbeat(caller))) { [self] result in
            isHeartbeatPending = false
            switch result {
            case .success: confirm()
            case .failure(let error):
                // Of a generation that has ended meanwhile.
                guard error.code != .connection, asked == generation, !isLeaving else { return }
                if error.broker == .rebalanceInProgress {
                    needsJoin = needsJoin || phase == .stable || phase == .unjoined
                    return confirm()
                }
                if error.broker.isRetriable {
                    heartbeatAt = min(heartbeatAt, monotonicNanoseconds() + Self.retryNanoseconds)
                } else if error.code == .broker {
                    failed(error, link)
                }
            }
        }
        return heartbeatAt
    }

    /// The coordinator knows this member, or that it is none.
    func confirm() {
        guard !isConfirmed else { return }
        isConfirmed = true
        agent.state.withLock { $0.needsReconciling = true }
    }

    // MARK: The reader's pace

    private func isReaderThere(_ now: UInt64) -> Bool {
        let limit = nanoseconds(configuration.maxPollIntervalMilliseconds)
        return agent.state.withLock { state in
            state.waiter != nil || state.isPolling || now < state.askedAt + limit
        }
    }

    /// Leaves when the reader has not asked for too long: others go on with its partitions.
    private func checkReader(_ link: any LinkPort, now: UInt64) {
        guard phase == .stable, revocation == nil, !isReaderThere(now) else { return }
        leaveGroup(link)
        lose()
        rejoin()
    }

    // MARK: Ends

    /// A request of the group's was refused: what that means for membership.
    func failed(_ error: ClientError, _ link: any LinkPort) {
        guard error.code != .connection else { return rejoin() }
        switch error.broker {
        case .unknownMemberID:
            memberID = ""
            lose()
        case .illegalGeneration: lose()
        case .rebalanceInProgress: break
        // Who never was a member would wait in silence, perhaps for ever: the text says what is full.
        case .limitReached where memberID.isEmpty: return link.fail(error)
        case let code where code.isRetriable || error.code == .timeout:
            joinNotBefore = monotonicNanoseconds() + Self.retryNanoseconds
        default: return link.fail(error)
        }
        confirm()
        rejoin()
    }

    func rejoin() {
        attempt += 1
        phase = .unjoined
        needsJoin = true
    }

    /// Others may have the partitions already: nothing is waited for, nothing committed.
    func lose() {
        let lost = Set(owned).union(revocation?.partitions ?? []).sorted()
        revocation = nil
        unstarted = [:]
        generation = -1
        ownedGeneration = -1
        planned = nil
        owned = []
        agent.remove(lost)
        if !lost.isEmpty { tell(.lost(lost)) {} }
    }

    private func leaveGroup(_ link: any LinkPort, _ done: @escaping () -> Void = {}) {
        // A static member is only away.
        guard !memberID.isEmpty, configuration.instanceID == nil else { return done() }
        link.ask(.group(.leave(group: groupID, members: [LeavingMember(memberID: memberID)]))) { _ in done() }
        memberID = ""
    }

    /// Leaves for good. Returns true when the coordinator knows.
    func leave(_ link: any LinkPort) -> Bool {
        if !isLeaving {
            isLeaving = true
            leaveGroup(link) { [self] in phase = .left }
        }
        return phase == .left
    }

    /// Tells the application, and goes on when it has taken notice.
    func tell(_ event: Consumer.RebalanceEvent, _ then: @escaping @Sendable () -> Void) {
        guard let handler = configuration.onRebalance else { return then() }
        let agent = agent
        Task {
            await handler(event)
            agent.call(then)
        }
    }
}

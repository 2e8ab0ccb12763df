internal import TopicProtocol

/// Consumer groups: Kafka's classic group protocol as a state machine, for every door.
///
/// Synchronous, without a clock or randomness of its own: requests and the time go in, answers (``takeAnswers()``) and
/// records for the log (``takeWrites()``) come out; ``finish(_:error:)`` says that a write is durable. What members say
/// about themselves is opaque. Members go with their session timeout, not with their connection.
/// - Threading: one owner.
final class GroupCoordinator {
    let options: GroupOptions
    unowned let topics: any GroupTopics
    /// What regular expressions of members match.
    let patterns = TopicPatterns()
    /// Makes member ids differ from those of earlier runs.
    private var runID = ""
    private(set) var groups: [String: Group] = [:]
    private var names = SortedNames()
    /// What the groups keep, and bytes of records on their way to the log.
    let usage = GroupUsage()
    var writingBytes = 0
    /// Offsets in the log that count once their producer's transaction is committed, by producer and group.
    var pendingOffsets: [Int64: [String: [OffsetKey: CommittedOffset]]] = [:]
    /// The place of the last commit: see ``CommittedOffset/order``.
    var lastCommit: UInt64 = 0
    /// Committed offsets are being read from the log: nothing is answered yet.
    var isLoading = true
    private(set) var now: UInt64 = 0
    /// What deadlines are compared with.
    private(set) var heardUntil: UInt64 = 0
    private var clock: (monotonic: UInt64, wall: Int64) = (0, 0)
    /// Nothing is due before this.
    private(set) var nextDeadline = UInt64.max
    private var answers: [GroupAnswer] = []
    private var writes: [GroupWrite] = []
    private var completions: [UInt64: (ErrorCode) -> Void] = [:]
    private var lastToken: UInt64 = 0
    private var lastMember: UInt64 = 0

    init(options: GroupOptions, topics: any GroupTopics) {
        self.options = options
        self.topics = topics
    }

    // MARK: Time

    /// Says what time it is, in nanoseconds of a monotonic clock and in milliseconds since 1970.
    func setClock(now: UInt64, nowMilliseconds: Int64) {
        self.now = now
        clock = (now, nowMilliseconds)
        if runID.isEmpty { runID = String(nowMilliseconds, radix: 16) }
    }

    /// Milliseconds since 1970.
    var nowMilliseconds: Int64 { clock.wall + Int64((now - min(now, clock.monotonic)) / 1_000_000) }

    /// Does what is due.
    /// - Parameter heardUntil: Requests of later may be on their way: only what was due by then has been missed.
    func advance(now: UInt64, heardUntil: UInt64 = .max) {
        self.now = now
        self.heardUntil = min(now, heardUntil)
        patterns.advance()
        guard self.heardUntil >= nextDeadline else { return }
        nextDeadline = .max
        let due = groups.values.filter { self.heardUntil >= $0.nextDeadline }.sorted { $0.id < $1.id }
        for group in due { expire(group) }
        nextDeadline = groups.values.reduce(.max) { min($0, $1.nextDeadline) }
    }

    /// Has a group looked at by `deadline`.
    func wake(_ group: Group, at deadline: UInt64) {
        group.nextDeadline = min(group.nextDeadline, deadline)
        nextDeadline = min(nextDeadline, deadline)
    }

    func after(_ nanoseconds: UInt64) -> UInt64 { now + nanoseconds }

    // MARK: Requests

    /// Takes a request. Its answer comes at once or later, exactly one.
    /// - Parameter host: How the door names the peer.
    func handle(_ request: GroupRequest, from origin: ProduceOrigin, host: String, now: UInt64) {
        begin(at: now)
        do throws(BrokerError) {
            try requireLoaded()
            switch request {
            case .join(let join): try self.join(join, origin, host)
            case .sync(let sync): try self.sync(sync, origin)
            case .heartbeat(let caller):
                try heartbeat(caller)
                answer(origin)
            case .leave(let group, let members): try leave(group, members, origin)
            case .commit(let caller, let topics): try commit(caller, topics, origin)
            case .fetch(let fetch): try self.fetch(fetch, origin)
            case .list(let after): list(after: after, origin)
            case .describe(let id): answer(origin, .description(describe(try existing(id))))
            case .delete(let id): try delete(id, origin)
            case .deleteOffsets(let id, let topics): try deleteOffsets(id, topics, origin)
            }
        } catch {
            refuse(origin, error)
        }
    }

    func begin(at now: UInt64) { self.now = now }

    func requireLoaded() throws(BrokerError) {
        guard isLoading else { return }
        throw BrokerError(.coordinatorLoadInProgress, "committed offsets are being read from the log: try again")
    }

    func answer(_ origin: ProduceOrigin, _ body: GroupAnswer.Body = .empty) {
        answers.append(GroupAnswer(origin: origin, error: .none, text: "", body: body))
    }

    func refuse(_ origin: ProduceOrigin, _ error: BrokerError, _ body: GroupAnswer.Body = .empty) {
        answers.append(
            GroupAnswer(
                origin: origin, error: error.code, text: error.description, isTransient: error.isTransient, body: body))
    }

    /// What became due since the last call, in order.
    func takeAnswers() -> [GroupAnswer] {
        guard !answers.isEmpty else { return [] }
        defer { answers = [] }
        return answers
    }

    // MARK: Records

    /// Has records written. `done` is called once, when they are durable by the topic's flush policy, or will not be.
    func write(
        _ group: String, _ records: [GroupRecord], in producer: ProducerEpoch? = nil,
        _ done: @escaping (ErrorCode) -> Void = { _ in }
    ) {
        var parts: [[(key: [UInt8], value: [UInt8]?)]] = [[]]
        var bytes = 0
        for record in records {
            let (key, value) = (record.key, record.value)
            bytes += key.count + (value?.count ?? 0) + Self.recordOverheadBytes
            if bytes > Self.writeBytesMax, !parts[parts.count - 1].isEmpty {
                parts.append([])
                bytes = 0
            }
            parts[parts.count - 1].append((key, value))
        }
        var missing = parts.count
        var failure = ErrorCode.none
        for part in parts {
            lastToken += 1
            let partBytes = part.reduce(0) { $0 + $1.key.count + ($1.value?.count ?? 0) }
            writingBytes += partBytes
            completions[lastToken] = { [self] error in
                writingBytes -= partBytes
                missing -= 1
                if error != .none { failure = error }
                if missing == 0 { done(failure) }
            }
            writes.append(GroupWrite(token: lastToken, group: group, producer: producer, records: part))
        }
    }

    /// Most of a record beside key and value.
    static let recordOverheadBytes = 40
    /// Longer writes are cut into several, but between records only.
    static let writeBytesMax = 512 << 10

    var hasWrites: Bool { !writes.isEmpty }

    /// What is to be written since the last call, in order.
    func takeWrites() -> [GroupWrite] {
        defer { writes = [] }
        return writes
    }

    /// Says what became of a write.
    func finish(_ token: UInt64, error: ErrorCode) { completions.removeValue(forKey: token)?(error) }

    // MARK: Groups

    static func unknownMember(_ member: String, of group: String) -> BrokerError {
        BrokerError(.unknownMemberID, "group \(group) has no member '\(member)': join again")
    }

    private func check(_ id: String) throws(BrokerError) {
        guard !id.isEmpty, id.utf8.count <= options.nameBytesMax else {
            let text = "a group's name has 1 to \(options.nameBytesMax) bytes, not \(id.utf8.count)"
            throw BrokerError(.invalidGroupID, text)
        }
    }

    /// The group, when there is one.
    func find(_ id: String) throws(BrokerError) -> Group? {
        try check(id)
        let group = groups[id]
        if group?.state == .dead {
            throw BrokerError(.coordinatorNotAvailable, "group \(id) is being deleted: try again")
        }
        return group
    }

    /// The group's own name where it has another one that is equal as text: its records have that, and its place.
    func name(of id: String) -> String { groups[id]?.id ?? id }

    func existing(_ id: String) throws(BrokerError) -> Group {
        guard let group = try find(id) else { throw BrokerError(.groupIDNotFound, "there is no group \(id)") }
        return group
    }

    func findOrCreate(_ id: String) throws(BrokerError) -> Group {
        if let group = try find(id) { return group }
        guard groups.count < options.groupsMax else {
            throw BrokerError(
                .limitReached,
                "the broker holds \(groups.count) groups, the limit is \(options.groupsMax) (--groups-max)")
        }
        try requireRoom(for: Group.bytes(ofGroup: id))
        return addGroup(id)
    }

    func addGroup(_ id: String) -> Group {
        let group = Group(id: id, now: nowMilliseconds, usage: usage)
        groups[id] = group
        names.insert(id)
        return group
    }

    /// Drops a group that never had a generation and holds nothing.
    func forgetIfUnused(_ group: Group) {
        if group.isVacant, group.generation == 0, group.consumer == nil { drop(group) }
    }

    func drop(_ group: Group) {
        group.enter(.dead, now: nowMilliseconds)
        group.leaveUsage()
        groups[group.id] = nil
        names.remove(group.id)
    }

    /// Whether groups may keep so much more.
    func requireRoom(for bytes: Int) throws(BrokerError) {
        guard bytes > 0, usage.bytes + bytes > options.totalBytesMax else { return }
        throw BrokerError(
            .limitReached,
            "consumer groups and their offsets would take \(usage.bytes + bytes) bytes of memory, the limit is "
                + "\(options.totalBytesMax) (--groups-bytes-max)")
    }

    func nextMemberNumber() -> UInt64 {
        lastMember += 1
        return lastMember
    }

    func makeMemberID(_ prefix: String) -> String {
        "\(prefix.isEmpty ? "member" : prefix)-\(runID)-\(nextMemberNumber())"
    }

    func partitionExists(_ topic: String, _ partition: UInt32) -> Bool {
        topics.groupTopic(topic).map { Int(partition) < $0.partitions } ?? false
    }

    // MARK: Operators

    private func list(after: String, _ origin: ProduceOrigin) {
        let limit = 1024
        let ids = names.after(after)
        let listed = ids.prefix(limit).map { id in
            let group = groups[id]!
            return GroupList.Group(
                group: id, protocolType: group.consumer == nil ? group.protocolType ?? "" : "consumer",
                state: group.consumer?.state.rawValue ?? group.state.rawValue)
        }
        answer(origin, .groups(GroupList(listed, isCut: ids.count > limit)))
    }
}

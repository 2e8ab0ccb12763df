internal import TopicProtocol

/// One member of a group.
final class GroupMember {
    let id: String
    let instanceID: String?
    let clientID: String
    /// As the door names its peer.
    let host: String
    /// Order of joining.
    let number: UInt64
    private(set) var protocols: [GroupProtocol]
    private(set) var sessionTimeout: UInt64
    private(set) var rebalanceTimeout: UInt64
    var assignment: [UInt8] = []
    /// Where its JOIN_GROUP or SYNC_GROUP waits to be answered.
    var joining: ProduceOrigin?
    var syncing: ProduceOrigin?
    /// It has never been told of a generation.
    var isNew = true
    /// When it is given up, in nanoseconds of the clock.
    var deadline = UInt64.max

    init(_ request: JoinGroup, id: String, host: String, number: UInt64) {
        self.id = id
        instanceID = request.instanceID
        clientID = request.clientID
        self.host = host
        self.number = number
        protocols = request.protocols
        sessionTimeout = Self.nanoseconds(request.sessionTimeoutMilliseconds)
        rebalanceTimeout = Self.nanoseconds(request.rebalanceTimeoutMilliseconds)
    }

    /// The same member under another id: a static one that came back.
    init(_ old: GroupMember, id: String, host: String) {
        self.id = id
        self.host = host
        instanceID = old.instanceID
        clientID = old.clientID
        number = old.number
        protocols = old.protocols
        sessionTimeout = old.sessionTimeout
        rebalanceTimeout = old.rebalanceTimeout
        assignment = old.assignment
        isNew = old.isNew
    }

    /// A member of a generation that was stored.
    init(_ stored: StoredGroup.Member, protocolName: String, number: UInt64) {
        id = stored.id
        instanceID = stored.instanceID
        clientID = stored.clientID
        host = stored.host
        self.number = number
        protocols = [GroupProtocol(name: protocolName, metadata: stored.metadata)]
        sessionTimeout = Self.nanoseconds(UInt32(clamping: stored.sessionTimeoutMilliseconds))
        rebalanceTimeout = Self.nanoseconds(UInt32(clamping: stored.rebalanceTimeoutMilliseconds))
        assignment = stored.assignment
        isNew = false
    }

    func update(_ request: JoinGroup) {
        protocols = request.protocols
        sessionTimeout = Self.nanoseconds(request.sessionTimeoutMilliseconds)
        rebalanceTimeout = Self.nanoseconds(request.rebalanceTimeoutMilliseconds)
    }

    func metadata(for name: String?) -> [UInt8] { protocols.first { $0.name == name }?.metadata ?? [] }

    /// What it takes of ``GroupOptions/groupBytesMax``.
    var byteCount: Int {
        protocols.byteCount + id.utf8.count + (instanceID?.utf8.count ?? 0) + clientID.utf8.count + host.utf8.count
    }

    var sessionTimeoutMilliseconds: Int32 { Int32(clamping: sessionTimeout / 1_000_000) }
    var rebalanceTimeoutMilliseconds: Int32 { Int32(clamping: rebalanceTimeout / 1_000_000) }

    static func nanoseconds(_ milliseconds: UInt32) -> UInt64 { UInt64(milliseconds) * 1_000_000 }
}

extension [GroupProtocol] {
    /// Of names and metadata.
    var byteCount: Int { reduce(0) { $0 + $1.name.utf8.count + $1.metadata.count } }
}

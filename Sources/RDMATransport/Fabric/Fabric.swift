/// A way to move messages and memory between two processes: the seam between the broker and its hardware.
///
/// One object serves one side (a broker's listener or a client) and all of its connections. Everything that happens
/// is an event of ``poll(into:)``; nothing blocks and nothing is called back.
///
/// - Ownership: memory given to a posted transfer must stay untouched until its token has completed. Every token that
///   was posted completes exactly once, and all of a connection's tokens complete before its `.disconnected`.
/// - Threading: one thread at a time, the one that polls.
/// - Hostile peers: nothing a peer sends or writes can make a call trap, block, or touch memory that was not
///   registered for it.
package protocol Fabric: AnyObject {
    /// Sizes and depths, fixed at creation.
    var limits: FabricLimits { get }

    /// A descriptor that becomes readable when ``poll(into:)`` may have something, after ``prepareToSleep()``.
    var pollDescriptor: Int32 { get }

    // MARK: Memory

    /// Makes a block usable in transfers. Off the hot path: the kernel pins pages.
    func register(_ memory: MemoryBlock, access: PeerAccess) throws(FabricError) -> RegionID

    /// What a ``PinnedFile`` needs, so that this fabric can WRITE from it; nil when it needs no device.
    var pinningDomain: ProtectionDomain? { get }

    /// Names a pinned file for WRITEs from it. It must stay until it is unregistered. Quick: the pages are pinned.
    func register(_ file: PinnedFile) throws(FabricError) -> RegionID

    /// Ends a registration. No transfer that names it may be outstanding.
    func unregister(_ region: RegionID)

    /// Lets the peer of one connection address the region, as its access allows.
    /// - Returns: What to tell the peer (in a message of the protocol above).
    func share(_ region: RegionID, on connection: ConnectionID) throws(FabricError) -> RemoteRegion

    // MARK: Connections

    /// Accepts a `.requested` connection. The peer sees `privateData`, at most `limits.privateDataBytesMax` bytes.
    /// On an error the connection is gone and the peer was told.
    func accept(_ connection: ConnectionID, privateData: [UInt8]) throws(FabricError)

    /// Refuses a `.requested` connection.
    func reject(_ connection: ConnectionID, privateData: [UInt8])

    /// What the peer said when it asked, accepted or rejected.
    func privateData(of connection: ConnectionID) -> [UInt8]

    /// Who the peer is, for logs: an address, or a process and user.
    func peerDescription(of connection: ConnectionID) -> String

    /// By which of our listeners the peer came, counted in the order in which they were opened.
    func listener(of connection: ConnectionID) -> Int

    /// Begins an orderly end: outstanding transfers complete (perhaps as `.flushed`), then `.disconnected` follows.
    func disconnect(_ connection: ConnectionID)

    // MARK: Data

    /// Sends one message of at most `limits.messageBytesMax` bytes, which `encode` writes in place.
    /// - Parameter encode: Writes the message and returns its byte count; not called unless the message will be sent.
    func send(on connection: ConnectionID, _ encode: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult

    /// Copies from the peer's memory into ours: RDMA READ.
    /// - Parameter token: Comes back in `.completed`.
    func read(on connection: ConnectionID, from remote: RemoteSlice, into local: LocalSlice, token: UInt64)
        -> PostResult

    /// Gathers one or two pieces of our memory into one run of the peer's: RDMA WRITE, with an immediate value when
    /// given, which the peer sees as `.immediate` once the bytes are there.
    func write(
        on connection: ConnectionID, _ first: LocalSlice, _ second: LocalSlice?, to remote: RemoteSlice,
        immediate: UInt32?, token: UInt64
    ) -> PostResult

    /// Hands everything posted since the last call to the hardware, or to the peer: one doorbell per connection.
    func flush()

    // MARK: Events

    /// Appends what happened to `events`, without blocking. Returns how many were appended.
    func poll(into events: inout [FabricEvent]) -> Int

    /// The bytes of a received message, private to this process, valid until ``release(_:)``.
    func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer

    /// Gives the message's buffer (and with it the peer's credit) back.
    func release(_ message: ReceivedMessage)

    /// Arms the poll descriptor. Returns false when something is already there: poll again instead of sleeping.
    /// - Parameter awaitingWrites: Whether `.completed` of a WRITE is worth waking up for. When not, it comes with
    ///   whatever does.
    func prepareToSleep(awaitingWrites: Bool) -> Bool

    /// What lay behind the last `.rejected` with ``ConnectFailure/localError``.
    var lastError: FabricError? { get }

    /// Ends all connections and frees everything. Nothing may be called afterwards.
    func shutdown()
}

extension Fabric {
    package var lastError: FabricError? { nil }
    /// Most have one.
    package func listener(of connection: ConnectionID) -> Int { 0 }
    /// For who waits for everything.
    package func prepareToSleep() -> Bool { prepareToSleep(awaitingWrites: true) }
}

/// Sizes a fabric was created with.
package struct FabricLimits: Sendable {
    /// Longest message, in bytes.
    package var messageBytesMax: Int
    /// Longest single READ or WRITE, in bytes.
    package var transferBytesMax: Int
    /// Longest private data of connect, accept and reject, in bytes.
    package var privateDataBytesMax: Int
    /// Messages that each side can have on the way before the other must release one.
    package var messagesInFlightMax: Int
    /// Transfers and messages that may be posted and not completed, per connection.
    package var postedMax: Int
}

/// What the peer may do with a registered region.
package enum PeerAccess: Sendable {
    /// Nothing: source and sink of our own transfers only.
    case none
    /// The peer may READ it.
    case read
    /// The peer may WRITE it.
    case write
}

/// A connection of one fabric. Never reused: a late event of an old connection matches nothing.
package struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    package let index: UInt32
    package let generation: UInt32
    package var description: String { "connection \(index).\(generation)" }
    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// A registration of ours.
package struct RegionID: Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// What a peer must know to address a region: the key, the address of its first byte, its length in bytes.
package struct RemoteRegion: Hashable, Sendable {
    package var key: UInt32
    package var address: UInt64
    package var byteCount: UInt64
    package init(key: UInt32, address: UInt64, byteCount: UInt64) {
        self.key = key
        self.address = address
        self.byteCount = byteCount
    }
}

/// A place in the peer's memory.
public struct RemoteSlice: Sendable, Hashable {
    /// The peer's key for the region, or window.
    public var key: UInt32
    /// Address of the first byte, as the peer gives it.
    public var address: UInt64
    /// What the peer told us.
    public init(key: UInt32, address: UInt64) {
        self.key = key
        self.address = address
    }
}

/// A run of our own registered memory. Offset and count in bytes.
package struct LocalSlice: Sendable {
    package var region: RegionID
    package var offset: Int
    package var count: Int
    package init(region: RegionID, offset: Int, count: Int) {
        self.region = region
        self.offset = offset
        self.count = count
    }
}

/// A received message's buffer.
package struct ReceivedMessage: Sendable {
    package let connection: ConnectionID
    let slot: UInt32
    /// Length in bytes.
    package let byteCount: Int
}

/// What came of posting.
package enum PostResult: Sendable {
    case posted
    /// Our queue or the peer's receives are full: `.writable` follows when there is room again.
    case full
    /// The connection is ending or gone.
    case closed
    /// The peer named memory that is not there (shared memory only; verbs reports it as a failed completion).
    case refused
}

/// What happened.
package enum FabricEvent: Sendable {
    /// A peer asks to connect: answer with `accept` or `reject`.
    case requested(ConnectionID)
    /// Both sides agreed; messages may flow.
    case established(ConnectionID)
    /// The peer, or nobody, answered our connect. The connection is gone after this event's poll.
    case rejected(ConnectionID, ConnectFailure)
    case received(ReceivedMessage)
    case immediate(ConnectionID, UInt32)
    case completed(ConnectionID, token: UInt64, TransferStatus)
    /// There is room after a `.full`.
    case writable(ConnectionID)
    /// The connection is gone; every token of it has completed.
    case disconnected(ConnectionID, DisconnectReason)
}

/// Why a connect failed.
package enum ConnectFailure: Sendable {
    /// The peer said no: its private data says why.
    case rejectedByPeer
    /// Nobody listens there.
    case nobodyListens
    /// No route, no device, time-out.
    case unreachable
    /// The peer speaks another version of the transport.
    case versionMismatch
    /// It failed on this side: ``Fabric/lastError`` says how.
    case localError
}

/// How a transfer ended.
package enum TransferStatus: Sendable, Equatable {
    case success
    /// The peer's memory refused the access: wrong key, range or rights.
    case remoteAccessError
    /// The connection ended first.
    case flushed
    /// Anything else; the number is the fabric's own status.
    case failed(UInt32)
}

/// Why a connection ended.
package enum DisconnectReason: Sendable, Equatable {
    /// One side asked for it, or the peer's process ended.
    case closed
    /// A transfer or message failed.
    case transportError
    /// The peer broke the transport's rules.
    case protocolViolation
    /// A region was shared that must not be mapped: not a sealed ordinary memfd, wrong size, too many.
    case memoryRefused
    /// The peer stopped answering.
    case peerDead
}

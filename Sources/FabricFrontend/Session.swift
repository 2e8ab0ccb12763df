internal import BrokerCore
internal import RDMATransport
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

/// One client of a door.
final class Session {
    let connection: ConnectionID
    /// Names the session to the broker core.
    let number: UInt64
    let peer: String
    /// The seat that it came to, where a door has seats: who it is, whatever it says.
    let seat: String?
    /// Of the protocol.
    let version: UInt16
    /// The request that is coming in fragments.
    var fragments = FragmentAssembler()
    /// When it must be whole, in nanoseconds of the monotonic clock.
    var fragmentsDue: UInt64 = 0
    /// Messages that wait for their turn, in order.
    var backlog: [ReceivedMessage] = []
    /// It broke the protocol: what still comes of it is dropped.
    var isEnding = false
    /// Produce requests in the order in which they were announced: batches enter the log in this order, even when an
    /// eager one overtakes a pull.
    var produces: [PendingProduce] = []
    /// How many of them, from the front, its client's quota was charged for.
    var paidProduces = 0
    /// Announced and not acknowledged yet.
    var producesInFlight = 0
    /// Acknowledgements that found the connection full.
    var acks: [ProduceAck] = []
    /// Answers that found the connection full. Bounded: a client that asks without listening is cut off.
    var answers: [[UInt8]] = []
    /// Where the first one's next fragment begins.
    var answerPosition = 0
    var answerBytes = 0
    var ring: Ring?
    var subscriptions: [PartitionAddress: Subscription] = [:]
    /// Those that may have something to read: the others are not looked at. Where the next push starts among them, so
    /// that partitions take turns.
    var ready: [Subscription] = []
    var nextReady = 0
    /// Something changed since the last look for readable partitions.
    var mayPush = false
    /// The account of its client; nil when nothing limits it.
    let quota: ClientQuota?
    /// It waits for its client's quota.
    var isThrottled = false
    /// A window that it needs is being prepared.
    var awaitsWindow = false

    static let answersMax = 256
    static let answerBytesMax = 2 << 20

    /// A subscription may have something to read.
    func makeReady(_ subscription: Subscription) {
        mayPush = true
        guard !subscription.isReady else { return }
        subscription.isReady = true
        ready.append(subscription)
    }

    init(
        connection: ConnectionID, number: UInt64, peer: String, seat: String? = nil, version: UInt16,
        quota: ClientQuota? = nil
    ) {
        self.seat = seat
        self.quota = quota
        self.version = version
        self.connection = connection
        self.number = number
        self.peer = peer
    }
}

/// A batch on its way from announcement to log.
struct PendingProduce {
    @safe enum State {
        /// Waits for memory to land in.
        case announced(RemoteSlice)
        /// The READ is posted.
        case pulling
        /// In the arena, complete.
        case landed
        /// Came with the announcement; its message buffer is held.
        case eager(ReceivedMessage, UnsafeMutableRawBufferPointer)
        case failed(ErrorCode)
    }

    let requestID: UInt32
    let partition: PartitionAddress
    let byteCount: Int
    var state: State
    /// Place in the arena, once it has one.
    var offset = -1
    var token: UInt64 = 0

    var hasFailed: Bool { if case .failed = state { true } else { false } }
}

/// What a consumer wants of one partition.
final class Subscription {
    unowned let session: Session
    let partition: Partition
    /// Nothing of open and aborted transactions is pushed.
    let isReadCommitted: Bool
    var cursor: LogCursor
    /// How far it may read in its turn of now, and whether something was aborted before that.
    var end = Offset.zero
    var mustCut = false
    /// It stands among the session's ready ones.
    var isReady = false

    init(session: Session, partition: Partition, cursor: LogCursor, isReadCommitted: Bool) {
        self.session = session
        self.partition = partition
        self.cursor = cursor
        self.isReadCommitted = isReadCommitted
    }
}

/// A consumer's ring, as the broker sees it. Positions count bytes ever written.
struct Ring {
    let remote: RemoteRegion
    /// Everything before it was written.
    var written: UInt64 = 0
    /// Everything before it was read and given back.
    var released: UInt64 = 0

    var byteCount: Int { Int(remote.byteCount) }
    var free: Int { byteCount - Int(written - released) }
    /// Offset of the next entry.
    var position: Int { Int(written % remote.byteCount) }
    /// Bytes up to the ring's end.
    var contiguous: Int { byteCount - position }
    var target: RemoteSlice { RemoteSlice(key: remote.key, address: remote.address + UInt64(position)) }
    /// The immediate value that says how far the ring has been written.
    var immediate: UInt32 { UInt32(truncatingIfNeeded: written / UInt64(RingEntry.alignment)) }
}

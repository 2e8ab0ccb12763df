internal import BrokerCore
internal import KafkaProtocol
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

/// A connection, as the reactor sees it.
final class DoorConnection {
    let id: UInt64
    let peer: KafkaCommand.Peer
    /// Of the partitions that it fetches from, or did.
    var readers: [PartitionAddress: FetchReader] = [:]
    /// The fetch that waits for records. A client has one at a time.
    var parked: WaitingFetch?
    /// What its next fetch may go on with.
    var session: FetchSession?
    /// Whether the parked fetch is among those that are looked at next.
    var isTouched = false
    /// What is left to do for its requests that take long, in their order.
    var unfinished: [(pieces: Pieces, share: RequestShare?)] = []
    /// The byte rates of the client id that it used last.
    private var account: (clientID: String, quota: ClientQuota?)?

    init(id: UInt64, peer: KafkaCommand.Peer) {
        self.id = id
        self.peer = peer
    }

    /// The byte rates of a client id, if it has any.
    func quota(_ clientID: String, _ quotas: ClientQuotas, now: UInt64) -> ClientQuota? {
        if let account, account.clientID == clientID { return account.quota }
        let quota = quotas.client(clientID, now: now)
        account = (clientID, quota)
        return quota
    }
}

/// Where a connection is in a partition.
final class FetchReader {
    let partition: Partition
    unowned let connection: DoorConnection
    var cursor: FileCursor
    /// The number of the parked fetch that waits for this partition.
    var parkedIn: UInt64 = 0
    /// The number of the parked fetch among whose ``WaitingFetch/grown`` it is.
    var grownIn: UInt64 = 0
    /// The number of the last fetch that named it.
    var askedIn: UInt64 = 0
    /// What that fetch wants of it, and what was found of that last, in bytes.
    var wanted = FetchRequest.FetchPartition()
    var found = 0
    /// Its index in the partition's ``ReaderList``.
    fileprivate(set) var place = 0

    init(_ partition: Partition, _ connection: DoorConnection, at offset: Offset) {
        self.partition = partition
        self.connection = connection
        cursor = FileCursor(offset)
    }
}

/// Who reads a partition, in no order: each knows its place, so that thousands may leave at once.
struct ReaderList {
    private(set) var all: [FetchReader] = []

    mutating func add(_ reader: FetchReader) {
        reader.place = all.count
        all.append(reader)
    }

    /// Takes out one that is here: the last one gets its place.
    mutating func remove(_ reader: FetchReader) {
        let last = all.removeLast()
        guard last !== reader else { return }
        all[reader.place] = last
        last.place = reader.place
    }
}

/// A request, and where its answer goes.
struct KafkaCall {
    let connection: DoorConnection
    let number: UInt32
    let version: Int16
    let clientID: String
}

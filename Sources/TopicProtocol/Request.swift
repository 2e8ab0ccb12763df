/// A partition of a topic by the broker's numbers. Topic ids are given by the broker when it starts or creates the
/// topic, and are never reused while it runs: a client asks again after reconnecting.
package struct PartitionAddress: Hashable, Sendable, CustomStringConvertible {
    package var topicID: UInt32
    package var partition: UInt32
    package init(topicID: UInt32, partition: UInt32) {
        self.topicID = topicID
        self.partition = partition
    }
    package var description: String { "topic #\(topicID) partition \(partition)" }

    init(from reader: inout FrameReader) throws(FrameError) {
        self.init(topicID: try reader.integer(), partition: try reader.integer())
    }

    func encode(into writer: inout FrameWriter) {
        writer.integer(topicID)
        writer.integer(partition)
    }
}

/// What a client says to a broker.
///
/// ```
/// every frame   | type u8 | flags u8 | 0 u16 | request id u32 | body … |      flags: ``Fragments``
/// CREATE_TOPIC    1 | partitions u32 | name string | [ count u16 | count × (name string | value string) ]
/// DELETE_TOPIC    2 | name string |
/// LIST_TOPICS     3 | after string |                       names greater than `after`, in order
/// DESCRIBE_TOPIC  4 | first partition u32 | name string |
/// ALLOCATE_ID     5 |                                      a producer id
/// PRODUCE         6 | topic id u32 | partition u32 | length u32 | key u32 | address u64 |
/// PRODUCE_EAGER   7 | topic id u32 | partition u32 | length u32 | batch … |
/// OPEN_RING       8 | key u32 | 0 u32 | address u64 | length u64 |
/// SUBSCRIBE       9 | topic id u32 | partition u32 | offset i64 | [ isolation level u8 ]
/// UNSUBSCRIBE    10 | topic id u32 | partition u32 |
/// RING_CREDIT    11 | position u64 |                       no answer
/// ```
/// Since version 2: types 12 to 16, ``AdminRequest``, and 20 to 29, ``GroupRequest``. A string is a 16-bit length and
/// UTF-8. Everything is little-endian (docs/protocol.md).
@safe package enum Request {
    /// Configs: Kafka's names, as written.
    case createTopic(name: String, partitions: UInt32, configs: [TopicConfig] = [])
    case deleteTopic(name: String)
    case listTopics(after: String)
    case describeTopic(name: String, firstPartition: UInt32)
    case allocateProducerID
    /// The batch lies in the client's memory: pull it.
    case produce(PartitionAddress, byteCount: UInt32, key: UInt32, address: UInt64)
    /// The batch is here; borrowed from the message.
    case produceEager(PartitionAddress, batch: UnsafeMutableRawBufferPointer)
    case openRing(key: UInt32, address: UInt64, byteCount: UInt64)
    /// Offset −1: the next record produced; −2: the first there is (Kafka's numbers).
    case subscribe(PartitionAddress, offset: Int64, IsolationLevel = .readUncommitted)
    case unsubscribe(PartitionAddress)
    /// Everything below this absolute ring position has been read.
    case ringCredit(position: UInt64)
    /// Consumer groups and committed offsets.
    case group(GroupRequest)
    /// What looks after topics.
    case admin(AdminRequest)

    /// The oldest version of the protocol that has this request.
    package var oldestVersion: UInt16 {
        switch self {
        case .group, .admin, .subscribe(_, _, .readCommitted): 2
        default: 1
        }
    }

    /// Whether a frame of a type announces a batch, or gives back ring: what comes often and costs little.
    package static func isAboutData(type: UInt8) -> Bool { [6, 7, 11].contains(type) }

    /// Parses one message: a frame, or what fragments were put together to.
    package static func parse(_ bytes: UnsafeMutableRawBufferPointer) throws(FrameError) -> (id: UInt32, Request) {
        var reader = unsafe FrameReader(UnsafeRawBufferPointer(bytes))
        let type = try reader.integer(UInt8.self)
        guard try reader.integer(UInt8.self) == 0, try reader.integer(UInt16.self) == 0 else {
            throw FrameError("reserved bytes of the frame's header are not zero")
        }
        let id = try reader.integer(UInt32.self)
        let nameMax = FrameLimits.topicNameBytesMax
        let request: Request
        switch type {
        case 1:
            let partitions = try reader.integer(UInt32.self)
            request = .createTopic(
                name: try reader.string(bytesMax: nameMax), partitions: partitions,
                configs: try TopicConfig.list(&reader))
        case 2: request = .deleteTopic(name: try reader.string(bytesMax: nameMax))
        case 3: request = .listTopics(after: try reader.string(bytesMax: nameMax))
        case 4:
            let first = try reader.integer(UInt32.self)
            request = .describeTopic(name: try reader.string(bytesMax: nameMax), firstPartition: first)
        case 5: request = .allocateProducerID
        case 6:
            request = .produce(
                try PartitionAddress(from: &reader), byteCount: try reader.integer(), key: try reader.integer(),
                address: try reader.integer())
        case 7:
            let partition = try PartitionAddress(from: &reader)
            let count = Int(try reader.integer(UInt32.self))
            guard count == reader.remaining else {
                throw FrameError("an eager batch of \(count) bytes in a frame that carries \(reader.remaining)")
            }
            return unsafe (
                id, .produceEager(partition, batch: .init(rebasing: bytes[FrameLimits.eagerHeaderBytes...]))
            )
        case 8:
            let key = try reader.integer(UInt32.self)
            guard try reader.integer(UInt32.self) == 0 else { throw FrameError("reserved bytes are not zero") }
            request = .openRing(key: key, address: try reader.integer(), byteCount: try reader.integer())
        case 9:
            request = .subscribe(
                try PartitionAddress(from: &reader), offset: try reader.integer(), try IsolationLevel(from: &reader))
        case 10: request = .unsubscribe(try PartitionAddress(from: &reader))
        case 11: request = .ringCredit(position: try reader.integer())
        case GroupRequest.types: request = .group(try GroupRequest(type: type, from: &reader))
        case AdminRequest.types: request = .admin(try AdminRequest(type: type, from: &reader))
        default: throw FrameError("unknown frame type \(type)")
        }
        try reader.end()
        return (id, request)
    }

    /// Writes the frame; returns its length in bytes.
    package func encode(id: UInt32, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        var writer = unsafe FrameWriter(bytes)
        encode(id: id, into: &writer)
        return writer.count
    }

    /// Writes the whole message.
    package func encode(id: UInt32, into writer: inout FrameWriter) {
        func begin(_ type: UInt8) {
            writer.integer(UInt32(type))
            writer.integer(id)
        }
        switch self {
        case .createTopic(let name, let partitions, let configs):
            begin(1)
            writer.integer(partitions)
            writer.string(name)
            if !configs.isEmpty { TopicConfig.encode(configs, into: &writer) }
        case .deleteTopic(let name):
            begin(2)
            writer.string(name)
        case .listTopics(let after):
            begin(3)
            writer.string(after)
        case .describeTopic(let name, let first):
            begin(4)
            writer.integer(first)
            writer.string(name)
        case .allocateProducerID:
            begin(5)
        case .produce(let partition, let byteCount, let key, let address):
            begin(6)
            partition.encode(into: &writer)
            writer.integer(byteCount)
            writer.integer(key)
            writer.integer(address)
        case .produceEager(let partition, let batch):
            begin(7)
            partition.encode(into: &writer)
            writer.integer(UInt32(batch.count))
            unsafe writer.run(UnsafeRawBufferPointer(batch))
        case .openRing(let key, let address, let byteCount):
            begin(8)
            writer.integer(key)
            writer.integer(UInt32(0))
            writer.integer(address)
            writer.integer(byteCount)
        case .subscribe(let partition, let offset, let isolation):
            begin(9)
            partition.encode(into: &writer)
            writer.integer(offset)
            isolation.encode(into: &writer)
        case .unsubscribe(let partition):
            begin(10)
            partition.encode(into: &writer)
        case .ringCredit(let position):
            begin(11)
            writer.integer(position)
        case .group(let request):
            begin(request.type)
            request.encode(into: &writer)
        case .admin(let request):
            begin(request.type)
            request.encode(into: &writer)
        }
    }
}

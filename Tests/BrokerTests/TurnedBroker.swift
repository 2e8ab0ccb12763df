import BrokerCore
import FabricFrontend
import Foundation
import Logging
import RDMATransport
import Reactor
import RecordFormat
import TopicLog
import TopicProtocol
import TransportTestSupport

/// A broker with a shared-memory door whose turns a test takes by hand, on its own thread.
final class TurnedBroker {
    let path = NSTemporaryDirectory() + "turned-broker-\(UInt64.random(in: 0 ... .max))"
    let broker: Broker
    let door: any CountedDoor
    private let directory: LogDirectory
    private let loop: BrokerLoop
    private var clients: [TurnedClient] = []

    init(limits: DoorLimits, quotas: QuotaLimits = QuotaLimits()) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        var options = LogOptions()
        options.flushPolicy = .none
        directory = try LogDirectory.open(path: path + "/data", options: options)
        broker = Broker(directory: directory, flusher: try Flusher(), doors: 1, quotas: quotas)
        var quiet = Logger(label: "broker") { StreamLogHandler.standardError(label: $0) }
        quiet.logLevel = .critical
        door = try Doors.sharedMemory(
            path: path + "/s", number: 0, broker: broker, limits: limits, arenaBytes: Doors.arenaBytesMin, log: quiet)
        loop = BrokerLoop(broker: broker, doors: [door], log: quiet)
    }

    deinit {
        door.shutdown()
        try? FileManager.default.removeItem(atPath: path)
    }

    /// One turn of the broker, then one of each client.
    func turn() {
        _ = loop.turn()
        for client in clients { client.turn() }
    }

    /// Turns until something holds, with a watchdog.
    func turn(until what: String, _ condition: () -> Bool) throws {
        let deadline = Date() + 30
        while !condition() {
            try expect(Date() < deadline, "no \(what) within 30 s")
            turn()
        }
    }

    func connect(clientID: String = "") throws -> TurnedClient {
        let client = try TurnedClient(path: path + "/s", clientID: clientID)
        clients.append(client)
        try turn(until: "connection") { client.isEstablished }
        return client
    }

    /// A topic of one partition with so many batches of about so many bytes.
    func fill(_ topic: String, batches: Int, bytes: Int) throws -> PartitionAddress {
        try broker.perform(.create(TopicCreation(topic, partitions: 1, configs: [])))
        let address = PartitionAddress(
            topicID: try broker.describeTopic(topic, firstPartition: 0).topicID, partition: 0)
        try append(address, batches: batches, bytes: bytes)
        return address
    }

    /// So many batches of about so many bytes.
    func append(_ address: PartitionAddress, batches: Int, bytes: Int) throws {
        var batch = makeBatch(valueBytes: bytes)
        for number in 0..<batches {
            unsafe batch.withUnsafeMutableBytes {
                broker.stage(
                    unsafe ProducedBatch(bytes: $0, origin: .init(door: 0, session: 0, requestID: UInt32(number))),
                    in: broker.partition(address)!)
                broker.commit(now: 1)
            }
        }
    }
}

/// One batch with one record; with a sequence number it is producer 1's.
func makeBatch(valueBytes: Int, sequence: Int32? = nil) -> [UInt8] {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: valueBytes + 200, alignment: 16)
    defer { unsafe memory.deallocate() }
    var builder = unsafe RecordBatchBuilder(buffer: memory)
    precondition(builder.append(key: nil, value: [UInt8](repeating: 7, count: valueBytes), timestampMilliseconds: 1))
    let count = sequence.map { builder.seal(producerID: 1, epoch: 0, baseSequence: $0) } ?? builder.seal()
    return unsafe Array(memory[..<count])
}

/// A client that counts what it is given.
final class TurnedClient {
    let fabric: SharedMemoryFabric
    let connection: ConnectionID
    private(set) var isEstablished = false
    private(set) var isDisconnected = false
    /// Bytes of its ring that were written, less than 2³² of them.
    private(set) var writtenBytes = 0
    private(set) var answers: [ErrorCode] = []
    private(set) var acks: [ErrorCode] = []
    /// Subscriptions that the broker ended.
    private(set) var ended = 0
    /// Takes nothing that comes.
    var isDeaf = false
    private var events: [FabricEvent] = []

    init(path: String, clientID: String) throws {
        fabric = try SharedMemoryFabric(configuration: .client)
        connection = try fabric.connect(path: path, privateData: Handshake.hello(clientID: clientID))
    }

    deinit { fabric.shutdown() }

    func turn() {
        guard !isDeaf else { return }
        fabric.flush()
        events.removeAll(keepingCapacity: true)
        _ = fabric.poll(into: &events)
        for event in events {
            switch event {
            case .established: isEstablished = true
            case .disconnected: isDisconnected = true
            case .immediate(_, let value): writtenBytes = Int(value) * RingEntry.alignment
            case .received(let message):
                switch unsafe try? Response.parse(UnsafeRawBufferPointer(fabric.bytes(of: message))) {
                case .answer(_, let error, _, _): answers.append(error)
                case .produceAcks(let more): acks += more.map(\.error)
                case .subscriptionEnded: ended += 1
                default: break
                }
                fabric.release(message)
            default: break
            }
        }
    }

    func send(_ request: Request) throws {
        let result = unsafe fabric.send(on: connection) { unsafe request.encode(id: 1, into: $0) }
        try expect(result == .posted, "the request was not taken: \(result)")
        fabric.flush()
    }

    /// Sends bytes as one frame.
    func send(_ frame: [UInt8]) throws {
        try expect(TransportTestSupport.send(frame, on: connection, of: fabric) == .posted, "the frame was not taken")
        fabric.flush()
    }

    func share(_ bytes: Int, _ access: PeerAccess, content: [UInt8] = []) throws -> RemoteRegion {
        let memory = try MemoryBlock(byteCount: bytes, name: "turned")
        unsafe memory.bytes.copyBytes(from: content)
        return try fabric.share(try fabric.register(memory, access: access), on: connection)
    }

    /// Opens a ring and reads a partition from its beginning.
    func consume(_ partition: PartitionAddress, ringBytes: Int) throws {
        let ring = try share(ringBytes, .write)
        try send(.openRing(key: ring.key, address: ring.address, byteCount: UInt64(ringBytes)))
        try send(.subscribe(partition, offset: -2))
    }
}

import RDMATransport
import RecordFormat
import TopicProtocol

@testable import RdmadClient

/// A producer's agent on a scripted link.
struct ProducerHarness {
    let port = FakePort()
    let agent: ProducerAgent
    let outcomes = Outcomes()
    /// A time before any batch of the test was opened.
    let start = monotonicNanoseconds()
    static let second: UInt64 = 1_000_000_000
    static let regionAddress: UInt64 = 0x10_0000

    /// What the acknowledgement observer saw.
    final class Outcomes: @unchecked Sendable {
        // Unchecked: called on the test's thread.
        var list: [(partition: Int, base: Int64, count: Int, error: ClientError?)] = []
    }

    /// Headers of the batches that were announced, once asked for.
    let headers = Headers()
    final class Headers: @unchecked Sendable {
        // Unchecked: used on the test's thread.
        var list: [RecordBatchHeader] = []
    }

    /// Looks at each announced batch, and checks it.
    func keepHeaders() {
        unsafe port.onBatch = { [headers] bytes in
            let header = unsafe try? RecordBatch.validate(bytes, bytesMax: 1 << 20)
            if let header { headers.list.append(header) }
        }
        port.batch = { [agent, port] address, count in
            let start = Int(address - Self.regionAddress)
            let bytes = unsafe UnsafeRawBufferPointer(agent.memory.bytes)
            unsafe port.onBatch(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
            return nil
        }
    }

    init(
        partitions: Int = 1, inFlightMax: Int = 64, isOnOneProcessor: Bool = false,
        _ adjust: (inout Producer.Configuration) -> Void = { _ in }
    ) throws {
        var configuration = Producer.Configuration()
        configuration.lingerMilliseconds = 0
        adjust(&configuration)
        agent = try ProducerAgent(topic: "t", configuration: configuration, isOnOneProcessor: isOnOneProcessor) {
            [outcomes] in outcomes.list.append(($0, $1, $2, $3))
        }
        agent.attach(LinkHandle())
        connect(partitions: partitions, inFlightMax: inFlightMax)
    }

    /// The handshake of a connection: welcome, producer id at the first one, topic.
    func connect(partitions: Int = 1, inFlightMax: Int = 64, configs: [TopicConfig] = []) {
        let welcome = Handshake.Welcome(version: 1, batchBytesMax: 1 << 20, producesInFlightMax: inFlightMax)
        agent.connected(port, welcome, [RemoteRegion(key: 9, address: Self.regionAddress, byteCount: 1 << 20)])
        if case .allocateProducerID = port.asked.first?.request {
            port.answer {
                $0.integer(Int64(77))
                $0.integer(Int16(0))
            }
        }
        port.answer {
            TopicDescription(
                topicID: 3, partitionCount: UInt32(partitions), firstPartition: 0, partitions: [],
                configs: configs
            )
            .encode(into: &$0)
        }
    }

    @discardableResult func send(_ text: String, key: String? = nil, partition: Int? = 0) throws -> Bool {
        try agent.append(key.map { Array($0.utf8) }, Array(text.utf8), RecordOptions(partition: partition), waiter: nil)
            != nil
    }

    /// A batch of its own for each record: seals by a turn after each.
    func announce(_ count: Int, partition: Int = 0) throws -> [FakePort.Produce] {
        for number in 0..<count {
            try send("record \(number)", partition: partition)
            turn()
        }
        return port.takeProduces()
    }

    @discardableResult func turn(after seconds: Double = 1) -> UInt64? {
        agent.turn(port, now: start + UInt64(seconds * 1e9))
    }

    func acknowledge(_ produce: FakePort.Produce, _ error: ErrorCode = .none, base: Int64 = 0) {
        agent.received([ProduceAck(requestID: produce.id, error: error, baseOffset: error == .none ? base : -1)])
    }
}

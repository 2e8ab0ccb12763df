import RDMATransport
import Testing
import TopicProtocol

@testable import RdmadClient

/// A consumer's agent on a scripted link, with a broker played by hand: topic `t` is number 1, `u` 2, and so on.
final class ConsumerHarness {
    let port = FakePort()
    let agent: ConsumerAgent
    private var written: UInt64 = 0
    let start = monotonicNanoseconds()

    init(_ interest: ConsumerAgent.Interest, _ adjust: (inout Consumer.Configuration) -> Void = { _ in }) {
        var configuration = Consumer.Configuration()
        configuration.checksCRCs = false
        configuration.ringBytes = 4096
        adjust(&configuration)
        agent = ConsumerAgent(interest, configuration)
        agent.attach(LinkHandle())
    }

    /// A reader of the partitions of `t` with these numbers, from the beginning.
    convenience init(partitions: [Int]) {
        self.init(.partitions(Dictionary(uniqueKeysWithValues: partitions.map { (Self.t($0), .earliest) })))
        connect()
    }

    static func t(_ partition: Int) -> TopicPartition { TopicPartition("t", partition) }
    static func id(_ topic: String) -> UInt32 { UInt32(topic.unicodeScalars.first!.value - 0x73) }

    /// The beginning of a connection, up to what is asked after the topics are known.
    func connect() {
        _ = try! agent.makeRegions()
        written = 0
        let welcome = Handshake.Welcome(version: 2, batchBytesMax: 1 << 20, producesInFlightMax: 64)
        agent.connected(port, welcome, [RemoteRegion(key: 9, address: 0, byteCount: 4096)])
        port.answer()
        describe()
        turn()
    }

    /// Answers what is asked about topics: each has 4 partitions.
    func describe(partitions: Int = 4) {
        while case .describeTopic(let name, _) = port.asked.first?.request {
            port.answer { writer in
                TopicDescription(
                    topicID: Self.id(name), partitionCount: UInt32(partitions), firstPartition: 0, partitions: [],
                    configs: []
                ).encode(into: &writer)
            }
        }
    }

    @discardableResult func turn(after seconds: Double = 0) -> UInt64? {
        agent.turn(port, now: monotonicNanoseconds() + UInt64(seconds * 1e9))
    }

    /// Writes an entry of some records as the broker would.
    /// - Parameter batches: What is in it; few tests look.
    func write(_ name: TopicPartition, _ offsets: Range<Int64>, end: Int64 = 1000, batches: [UInt8] = []) {
        let memory = agent.ring!.memory
        let place = Int(written % UInt64(unsafe memory.bytes.count))
        let entry = RingEntry(
            partition: PartitionAddress(topicID: Self.id(name.topic), partition: UInt32(name.partition)),
            byteCount: batches.count, firstOffset: offsets.lowerBound, nextOffset: offsets.upperBound,
            highWatermark: end)
        unsafe entry.encode(into: .init(rebasing: memory.bytes[place..<place + RingEntry.headerBytes]))
        unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[(place + RingEntry.headerBytes)...])
            .copyBytes(from: batches)
        written += UInt64(RingEntry.footprint(batches.count))
        agent.advanced(UInt32(truncatingIfNeeded: written / 64))
    }

    /// Everything that was written has been given back.
    var isRingFree: Bool {
        turn(after: 1)
        return port.credits.last == written
    }

    func poll() throws -> ConsumedBatches? { try agent.poll(timeoutMilliseconds: 0) }

    /// Takes the subscriptions that were asked for, in order of partitions, and answers them.
    @discardableResult func subscribe() -> [String] {
        var asked: [String] = []
        while let request = port.asked.first?.request {
            guard case .subscribe(let address, let offset, _) = request else { break }
            asked.append("\(address.topicID)-\(address.partition)@\(offset)")
            port.answer { $0.integer(max(offset, 0)) }
        }
        turn()
        return asked.sorted()
    }

    /// The oldest request is to stop one partition; answers it.
    func unsubscribed() -> TopicPartition? {
        guard case .unsubscribe(let address) = port.asked.first?.request else { return nil }
        port.answer()
        turn()
        return TopicPartition(String(UnicodeScalar(0x73 + address.topicID)!), Int(address.partition))
    }
}

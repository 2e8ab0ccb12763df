import ArgumentParser
import Glibc
import RdmadClient
import Synchronization

/// `rdmad consume`: records to standard output.
struct Consume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read a topic's records and write them to standard output.",
        discussion: """
              rdmad consume flights --exit-at-end
              rdmad consume flights --partitions 0,2-3 --format '%p %o %k %s\\n'
              rdmad consume flights --from end

            --format: %t topic, %p partition, %o offset, %k key, %s value, %T milliseconds since 1970, %h headers
            as name=value,…, %% percent, and \\n \\t \\\\. The default is the value and a newline. SIGINT ends it cleanly.
            """)

    @OptionGroup var broker: BrokerOptions
    @Argument var topic: String
    @Option(name: [.long, .short], help: "Which to read, such as 0,2-3. Default: all.") var partitions: String?
    @Option(help: "Where to begin: beginning, end, or an offset.") var from = "beginning"
    @Flag(help: "End when everything that is there has been read.") var exitAtEnd = false
    @Option(name: [.long, .short], help: "End after this many records.") var count: Int?
    @Option(name: [.long, .short], help: "How to write a record.") var format = "%s\\n"
    @Option(help: "Memory that the broker writes into, in bytes.") var ringBytes = 8 << 20
    @Flag(help: "Figures on standard error at the end.") var stats = false
    @Flag(help: "Read, and write nothing.") var discard = false

    func validate() throws {
        _ = try position()
        _ = try chosenPartitions()
        _ = try RecordFormatter(format)
    }

    private func position() throws -> Consumer.Position {
        switch from {
        case "beginning": return .earliest
        case "end": return .latest
        default:
            guard let offset = Int64(from), offset >= 0 else {
                throw ValidationError("--from is beginning, end or an offset, not '\(from)'")
            }
            return .offset(offset)
        }
    }

    private func chosenPartitions() throws -> [Int]? {
        guard let partitions else { return nil }
        var result: [Int] = []
        for part in partitions.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first >= 0,
                first <= last,
                last < 100_000
            else { throw ValidationError("--partitions is a list such as 0,2-3, not '\(partitions)'") }
            result += first...last
        }
        return Array(Set(result)).sorted()
    }

    func run() async throws {
        let isStopping = StopFlag()
        TerminationSignals.onTermination { _ in isStopping.set() }
        var configuration = Consumer.Configuration()
        configuration.ringBytes = ringBytes
        var meter = Meter(showsBar: false)
        let consumer = try await Consumer(
            topic: topic, partitions: try chosenPartitions(), from: try position(), broker: try broker.address,
            configuration: configuration)
        defer { consumer.close() }
        var open = exitAtEnd ? try await unfinished(consumer) : [:]
        var output = Output(discards: discard)
        let formatter = try RecordFormatter(format)
        let limit = count ?? .max
        while !isStopping.isSet, meter.records < limit, !(exitAtEnd && open.isEmpty) {
            guard let batches = try consumer.poll(timeoutMilliseconds: output.isEmpty ? 200 : 0) else {
                guard try output.flush() else { break }
                continue
            }
            try batches.forEachRecord { record in
                guard meter.records < limit else { return }
                meter.count(bytes: unsafe (record.key?.count ?? 0) + (record.value?.count ?? 0))
                formatter.write(record, batches, to: &output)
            }
            if let end = open[batches.partition], batches.nextOffset >= end { open[batches.partition] = nil }
            batches.release()
            guard try output.flushIfLarge() else { break }
        }
        _ = try output.flush()
        if stats { writeToStandardError(meter.summary + "\n") }
    }

    /// Where each partition that has records to read ends now.
    private func unfinished(_ consumer: Consumer) async throws -> [Int: Int64] {
        let admin = Admin(broker: try broker.address)
        defer { admin.close() }
        var open: [Int: Int64] = [:]
        for partition in try await admin.describeTopic(topic) where consumer.partitions.contains(partition.index) {
            let start: Int64 =
                switch try position() {
                case .earliest: partition.startOffset
                case .latest: partition.endOffset
                case .offset(let offset): offset
                }
            if start < partition.endOffset { open[partition.index] = partition.endOffset }
        }
        return open
    }
}

/// Set from the signal thread.
final class StopFlag: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}

/// Standard output with a buffer of its own.
struct Output {
    private var buffer: [UInt8] = []
    private let discards: Bool
    init(discards: Bool) {
        self.discards = discards
        buffer.reserveCapacity(1 << 20)
    }

    var isEmpty: Bool { buffer.isEmpty }
    mutating func put(_ bytes: UnsafeRawBufferPointer) { if !discards { unsafe buffer.append(contentsOf: bytes) } }
    mutating func put(_ text: String) { if !discards { buffer.append(contentsOf: text.utf8) } }

    mutating func flushIfLarge() throws -> Bool { try buffer.count < 256 << 10 || flush() }

    /// Returns false when nobody reads any more, which is not an error.
    mutating func flush() throws -> Bool {
        defer { buffer.removeAll(keepingCapacity: true) }
        var done = 0
        while done < buffer.count {
            let count = unsafe buffer.withUnsafeBytes {
                unsafe write(STDOUT_FILENO, $0.baseAddress! + done, $0.count - done)
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EPIPE { return false }
                throw Failure("cannot write: \(unsafe String(cString: strerror(errno)))")
            }
            done += count
        }
        return true
    }
}

/// A parsed `--format`.
struct RecordFormatter {
    private enum Piece {
        case text(String)
        case topic, partition, offset, key, value, timestamp, headers
    }
    private var pieces: [Piece] = []

    init(_ format: String) throws {
        var characters = format.makeIterator()
        var text = ""
        func unknown(_ what: String) -> ValidationError { ValidationError("--format: unknown '\(what)'") }
        while let character = characters.next() {
            switch character {
            case "%":
                guard let next = characters.next() else { throw unknown("%") }
                if next == "%" {
                    text.append("%")
                    continue
                }
                if !text.isEmpty { pieces.append(.text(text)) }
                text = ""
                switch next {
                case "t": pieces.append(.topic)
                case "p": pieces.append(.partition)
                case "o": pieces.append(.offset)
                case "k": pieces.append(.key)
                case "s", "v": pieces.append(.value)
                case "T": pieces.append(.timestamp)
                case "h": pieces.append(.headers)
                default: throw unknown("%\(next)")
                }
            case "\\":
                switch characters.next() {
                case "n": text.append("\n")
                case "t": text.append("\t")
                case "\\": text.append("\\")
                case let other: throw unknown("\\\(other.map(String.init) ?? "")")
                }
            default: text.append(character)
            }
        }
        if !text.isEmpty { pieces.append(.text(text)) }
    }

    func write(_ record: Record, _ batches: ConsumedBatches, to output: inout Output) {
        for piece in pieces {
            switch piece {
            case .text(let text): output.put(text)
            case .topic: output.put(batches.topic)
            case .partition: output.put("\(batches.partition)")
            case .offset: output.put("\(record.offset)")
            case .key: if let key = unsafe record.key { unsafe output.put(key) }
            case .value: if let value = unsafe record.value { unsafe output.put(value) }
            case .timestamp: output.put("\(record.timestampMilliseconds)")
            case .headers:
                let texts = record.headers.map { header in
                    "\(header.key)=\(header.value.map { String(decoding: $0, as: UTF8.self) } ?? "NULL")"
                }
                output.put(texts.joined(separator: ","))
            }
        }
    }
}

import ArgumentParser
import Glibc
import RdmadClient
import Synchronization

/// `rdmad consume`: records to standard output.
struct Consume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read records of topics and write them to standard output.",
        discussion: """
              rdmad consume flights --exit-at-end
              rdmad consume flights --partitions 0,2-3 --format '%p %o %k %s\\n'
              rdmad consume flights --offset end
              rdmad consume flights --timestamp 2026-01-31T12:00:00Z --json
              rdmad consume flights weather --group reports

            The members of a group share the partitions, and go on where the group left off; --offset or --timestamp is
            where it begins in a partition of which it has committed nothing. What was written is committed.
            --format: %t topic, %p partition, %o offset, %k key, %s value, %T milliseconds since 1970, %h headers
            as name=value,…, %% percent, and \\n \\t \\\\. The default is the value and a newline.
            --json: topic, partition, offset, timestamp, headers (a list of key and value, in order), key and value.
            What is not there is null; bytes that are not UTF-8 are in base 64, as keyBase64 or valueBase64 instead.
            SIGINT ends it cleanly.
            """)

    @OptionGroup var broker: BrokerOptions
    @Argument(help: "One or more.") var topics: [String]
    @Option(name: [.long, .customLong("partition"), .short], help: "Which to read, such as 0,2-3. Default: all.")
    var partitions: String?
    @Option(
        name: [.long, .short, .customLong("from")],
        help: "Where to begin: beginning, end, or an offset. Default: beginning.") var offset: String?
    @Flag(help: "Begin at the beginning.") var fromBeginning = false
    @Option(
        help: "Begin with the first record of this time: milliseconds since 1970, or as in 2026-01-31T12:00:00.000Z.")
    var timestamp: String?
    @OptionGroup var options: ConsumerOptions
    @Flag(help: "End when everything that is there has been read.") var exitAtEnd = false
    @Option(name: [.long, .short, .customLong("max-messages")], help: "End after this many records.") var count: Int?
    @Option(name: [.long, .short], help: "How to write a record.") var format: String?
    @Flag(name: [.long, .customShort("J")], help: "Each record as a JSON object on a line of its own.") var json = false
    @Flag(help: "Figures on standard error at the end.") var stats = false
    @Flag(help: "Read, and write nothing.") var discard = false

    func validate() throws {
        _ = try position()
        _ = try chosenPartitions()
        _ = try RecordFormatter(format ?? "%s\\n")
        guard !topics.isEmpty else { throw ValidationError("which topic?") }
        guard partitions == nil || options.group == nil else {
            throw ValidationError("--group says which partitions are read: no --partitions beside it")
        }
        guard format == nil || !json else { throw ValidationError("--format or --json, not both") }
    }

    private func position() throws -> Consumer.Position {
        guard [offset != nil, fromBeginning, timestamp != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("one of --offset, --from-beginning and --timestamp")
        }
        if let timestamp { return .timestamp(try milliseconds(of: timestamp, option: "--timestamp")) }
        switch offset {
        case nil, "beginning", "earliest": return .earliest
        case "end", "latest": return .latest
        case let text?:
            guard let offset = Int64(text), offset >= 0 else {
                throw ValidationError("--offset is beginning, end or an offset, not '\(text)'")
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

    private func open() async throws -> Consumer {
        let (address, position) = (try broker.address, try position())
        var configuration = try options.configuration()
        configuration.onOffsetReset = { partition, offset in
            writeToStandardError("\(partition): offset \(offset) is not in the log any more, going on elsewhere\n")
        }
        guard let partitions = try chosenPartitions() else {
            return try await Consumer(topics: topics, from: position, broker: address, configuration: configuration)
        }
        let names = topics.flatMap { topic in partitions.map { (TopicPartition(topic, $0), position) } }
        return try await Consumer(
            assignment: Dictionary(names) { $1 }, broker: address, configuration: configuration)
    }

    func run() async throws {
        let isStopping = StopFlag()
        TerminationSignals.onTermination { _ in isStopping.set() }
        var meter = Meter(showsBar: false)
        let ends = exitAtEnd ? try await ends() : [:]
        let consumer = try await open()
        defer { consumer.close() }
        var output = Output(discards: discard)
        let formatter = try json ? RecordFormatter.json : RecordFormatter(format ?? "%s\\n")
        let limit = count ?? .max
        // Released, and so committed, once they were written.
        var unwritten: [ConsumedBatches] = []
        func written() {
            for batches in unwritten { batches.release() }
            unwritten = []
        }
        var mayBeAtEnd = true
        while !isStopping.isSet, meter.records < limit, !(exitAtEnd && mayBeAtEnd && isAtEnd(consumer, ends)) {
            guard let batches = try consumer.poll(timeoutMilliseconds: unwritten.isEmpty ? 200 : 0) else {
                guard try output.flush() else { break }
                written()
                mayBeAtEnd = true
                continue
            }
            var rest: Int64?
            try batches.forEachRecord { record in
                guard meter.records < limit else {
                    rest = rest ?? record.offset
                    return
                }
                meter.count(bytes: unsafe (record.key?.count ?? 0) + (record.value?.count ?? 0))
                formatter.write(record, batches, to: &output)
            }
            if let rest {
                guard try output.flush() else { break }
                written()
                // Not processed: whoever reads on begins here.
                try consumer.seek(TopicPartition(batches.topic, batches.partition), to: .offset(rest))
                break
            }
            unwritten.append(batches)
            mayBeAtEnd = batches.isCaughtUp
            guard !output.isLarge else {
                guard try output.flush() else { break }
                written()
                continue
            }
            if discard { written() }
        }
        if try output.flush() { written() }
        if stats { writeToStandardError(meter.summary + "\n") }
    }

    /// Where each partition ends now.
    private func ends() async throws -> [TopicPartition: Int64] {
        let admin = Admin(broker: try broker.address)
        defer { admin.close() }
        var ends: [TopicPartition: Int64] = [:]
        let level = try options.configuration().isolationLevel
        for topic in topics {
            for end in try await admin.listOffsets(topic, at: .latest, isolationLevel: level) {
                ends[TopicPartition(topic, end.partition)] = end.offset
            }
        }
        return ends
    }

    /// Whether everything of what is read that was there has been read.
    private func isAtEnd(_ consumer: Consumer, _ ends: [TopicPartition: Int64]) -> Bool {
        let assignment = consumer.assignment
        return !assignment.isEmpty
            && assignment.allSatisfy { name in consumer.position(of: name).map { $0 >= ends[name] ?? 0 } ?? false }
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
    /// Nobody reads any more: what was not written never will be.
    private var isBroken = false
    init(discards: Bool) {
        self.discards = discards
        buffer.reserveCapacity(1 << 20)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) { if !discards { unsafe buffer.append(contentsOf: bytes) } }
    mutating func put(_ text: String) { if !discards { buffer.append(contentsOf: text.utf8) } }

    var isLarge: Bool { buffer.count >= 256 << 10 }

    /// Returns false when nobody reads any more, which is not an error; from then on it returns nothing else.
    mutating func flush() throws -> Bool {
        guard !isBroken else { return false }
        defer { buffer.removeAll(keepingCapacity: true) }
        var done = 0
        while done < buffer.count {
            let count = unsafe buffer.withUnsafeBytes {
                unsafe write(STDOUT_FILENO, $0.baseAddress! + done, $0.count - done)
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EPIPE {
                    isBroken = true
                    return false
                }
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
        case jsonHeaders, jsonKey, jsonValue
    }
    private var pieces: [Piece] = []

    /// A JSON object on a line; what is not there is null.
    static var json: RecordFormatter {
        RecordFormatter([
            .text("{\"topic\":\""), .topic, .text("\",\"partition\":"), .partition, .text(",\"offset\":"), .offset,
            .text(",\"timestamp\":"), .timestamp, .text(",\"headers\":"), .jsonHeaders, .text(","), .jsonKey,
            .text(","), .jsonValue, .text("}\n"),
        ])
    }

    private init(_ pieces: [Piece]) { self.pieces = pieces }

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
            case .jsonHeaders:
                let headers = record.headers.map {
                    JSON.object([("key", .text($0.key)), JSON.field("value", $0.value)])
                }
                output.put("\(JSON.list(headers))")
            case .jsonKey: putJSON(unsafe JSON.field("key", record.key), to: &output)
            case .jsonValue: putJSON(unsafe JSON.field("value", record.value), to: &output)
            }
        }
    }

    private func putJSON(_ field: (name: String, value: JSON), to output: inout Output) {
        output.put("\"\(field.name)\":\(field.value)")
    }
}

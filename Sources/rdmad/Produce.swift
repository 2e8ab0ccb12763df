import ArgumentParser
import Glibc
import RdmadClient
import Synchronization

/// `rdmad produce`: a record per line.
struct Produce: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write lines of a file, or of standard input, to a topic.",
        discussion: """
            Each line is a record. Its key decides the partition, as Kafka's default partitioner does:

              rdmad produce flights flights.csv --header-lines 1 --key-column 10 -z zstd
              printf 'a:1\\nb:2\\n' | rdmad produce events -K : -H source=example

            Ends with 0 only when the broker has acknowledged every record (with --acks 0: when it was told of every
            record). On a lost connection it connects again and sends what was not acknowledged; nothing is written
            twice. A record that could not be delivered in time (--delivery-timeout) ends it: no further lines are read.
            """)

    @OptionGroup var broker: BrokerOptions
    @Argument var topic: String
    @Argument(help: "A file; '-' is standard input.") var file = "-"
    @Option(name: [.long, .customShort("k")], help: "The key of every record.") var key: String?
    @Option(help: "The key is this column of a comma-separated line, from 1; the value is the whole line.")
    var keyColumn: Int?
    @Option(
        name: [.long, .customShort("K")],
        help: "The key is what stands before this character, the value what stands behind it.")
    var keyDelimiter: String?
    @Option(
        name: [.long, .customShort("H")],
        help: ArgumentHelp("A header of every record; without '=' its value is null.", valueName: "name=value"))
    var header: [String] = []
    @Flag(name: [.customLong("null"), .customShort("Z")], help: "Empty keys and values are null: tombstones.")
    var emptyIsNull = false
    @Option(name: [.long, .short], help: "Write everything to this partition.") var partition: Int?
    @Option(help: "Lines to leave out at the beginning.") var headerLines = 0
    @OptionGroup var options: ProducerOptions
    @Option(help: "Append a line 'PARTITION OFFSET COUNT' to this file for each acknowledged batch.") var acksLog:
        String?
    @Flag(help: "The figures at the end as JSON, on standard output.") var json = false
    @Flag(help: "No figures at the end.") var quiet = false

    func validate() throws {
        guard [key != nil, keyColumn != nil, keyDelimiter != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("--key, --key-column and --key-delimiter exclude each other")
        }
        if let keyColumn, keyColumn < 1 { throw ValidationError("--key-column counts from 1") }
        if let keyDelimiter, keyDelimiter.utf8.count != 1 { throw ValidationError("--key-delimiter is one character") }
    }

    func run() async throws {
        var lines = try LineReader(path: file)
        let acks = try acksLog.map { try AcksLog(path: $0) }
        let batches = Atomic(0)
        let hasFailed = Atomic(false)
        let producer = try await Producer(
            topic: topic, broker: try broker.address, configuration: try options.configuration(),
            onAcknowledged: { partition, offset, count, error in
                guard error == nil else { return hasFailed.store(true, ordering: .relaxed) }
                batches.add(1, ordering: .relaxed)
                acks?.write("\(partition) \(offset) \(count)\n")
            })
        defer { producer.close() }
        var meter = Meter(showsBar: true)
        let splitter = LineSplitter(
            fixedKey: key.map { Array($0.utf8) }, column: keyColumn, delimiter: keyDelimiter?.utf8.first,
            emptyIsNull: emptyIsNull)
        // Reading an option goes through its wrapper, which costs as much as sending a record does.
        let (headers, partition) = (header.map(Self.recordHeader), partition)
        for _ in 0..<headerLines { _ = unsafe try lines.next { _ in } }
        // A record that found no memory: copied, because waiting cannot happen while the line is looked at.
        var waiting: (key: [UInt8]?, value: [UInt8]?)?
        do {
            while !hasFailed.load(ordering: .relaxed), unsafe try lines.next({ line in
                unsafe try splitter.split(line) { key, value in
                    meter.count(bytes: unsafe (key?.count ?? 0) + (value?.count ?? 0))
                    if unsafe try !producer.trySend(
                        keyBytes: key, valueBytes: value, headers: headers, partition: partition)
                    {
                        waiting = unsafe (key.map { unsafe [UInt8]($0) }, value.map { unsafe [UInt8]($0) })
                    }
                }
            }) {
                if let (key, value) = waiting {
                    try await producer.send(key: key, value: value, headers: headers, partition: partition)
                    waiting = nil
                }
                if meter.records % 1024 == 0 { meter.drawBar(done: lines.byteCount, of: lines.size) }
            }
        } catch let error as ClientError where error.code == .limit {
            // What stands before the line is delivered all the same.
            try await producer.flush()
            throw Failure("line \(headerLines + meter.records): \(error)")
        }
        try await producer.flush()
        meter.clearBar()
        if json {
            print(meter.json(["topic": "\"\(topic)\"", "batches": "\(batches.load(ordering: .relaxed))"]))
        } else if !quiet {
            writeToStandardError(meter.summary + "\n")
        }
    }

    private static func recordHeader(_ text: String) -> RecordHeader {
        guard let equals = text.firstIndex(of: "=") else { return RecordHeader(key: text, value: nil) }
        return RecordHeader(key: String(text[..<equals]), value: Array(text[text.index(after: equals)...].utf8))
    }
}

/// Makes key and value of a line.
struct LineSplitter {
    let fixedKey: [UInt8]?
    let column: Int?
    let delimiter: UInt8?
    let emptyIsNull: Bool

    /// Calls `body` with both, which are valid during the call.
    func split(
        _ line: UnsafeRawBufferPointer,
        _ body: (_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?) throws -> Void
    ) throws {
        func give(_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer) throws {
            let isKeyNull = unsafe emptyIsNull && key?.isEmpty == true
            let isValueNull = emptyIsNull && value.count == 0
            unsafe try body(isKeyNull ? nil : key, isValueNull ? nil : value)
        }
        if let fixedKey { return unsafe try fixedKey.withUnsafeBytes { unsafe try give($0, line) } }
        if let column { return unsafe try give(Self.column(column, of: line), line) }
        if let delimiter, let at = unsafe Self.index(of: delimiter, in: line, from: 0) {
            return unsafe try give(
                UnsafeRawBufferPointer(rebasing: line[..<at]), UnsafeRawBufferPointer(rebasing: line[(at + 1)...]))
        }
        unsafe try give(nil, line)
    }

    /// A comma-separated column, from 1; nil when the line has fewer.
    private static func column(_ number: Int, of line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var start = 0
        for _ in 1..<number {
            guard let comma = unsafe index(of: UInt8(ascii: ","), in: line, from: start) else { return nil }
            start = comma + 1
        }
        let end = unsafe index(of: UInt8(ascii: ","), in: line, from: start) ?? line.count
        return unsafe UnsafeRawBufferPointer(rebasing: line[start..<end])
    }

    private static func index(of byte: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let base = bytes.baseAddress,
            let found = unsafe memchr(base + start, Int32(byte), bytes.count - start)
        else { return nil }
        return unsafe UnsafeRawPointer(found) - base
    }
}

/// A file that acknowledgements are appended to, each with one write.
final class AcksLog: Sendable {
    private let descriptor: Int32
    init(path: String) throws {
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure("cannot write \(path): \(unsafe String(cString: strerror(errno)))") }
    }
    deinit { close(descriptor) }
    func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }
}

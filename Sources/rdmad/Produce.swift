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

              rdmad produce flights flights.csv --header-lines 1 --key-column 10
              printf 'a:1\\nb:2\\n' | rdmad produce events --key-delimiter :

            Ends with 0 only when the broker has acknowledged every record. On a lost connection it connects again and
            sends what was not acknowledged; nothing is written twice.
            """)

    @OptionGroup var broker: BrokerOptions
    @Argument var topic: String
    @Argument(help: "A file; '-' is standard input.") var file = "-"
    @Option(help: "The key is this column of a comma-separated line, from 1; the value is the whole line.")
    var keyColumn: Int?
    @Option(help: "The key is what stands before this character, the value what stands behind it.")
    var keyDelimiter: String?
    @Option(help: "Write everything to this partition.") var partition: Int?
    @Option(help: "Lines to leave out at the beginning.") var headerLines = 0
    @Option(help: "Longest batch, in bytes.") var batchBytes = 65_536
    @Option(help: "Milliseconds that a batch waits for more records.") var lingerMs = 5
    @Option(help: "Batches up to this many bytes travel inside their announcement; larger ones are pulled.")
    var eagerBytes = 4096
    @Option(help: "Seconds after which a batch that could not be delivered fails.") var deliveryTimeout = 120.0
    @Option(help: "Append a line 'PARTITION OFFSET COUNT' to this file for each acknowledged batch.") var acksLog:
        String?
    @Flag(help: "No figures at the end.") var quiet = false

    func validate() throws {
        if keyColumn != nil, keyDelimiter != nil {
            throw ValidationError("--key-column and --key-delimiter exclude each other")
        }
        if let keyColumn, keyColumn < 1 { throw ValidationError("--key-column counts from 1") }
        if let keyDelimiter, keyDelimiter.utf8.count != 1 { throw ValidationError("--key-delimiter is one character") }
    }

    func run() async throws {
        var lines = try LineReader(path: file)
        var configuration = Producer.Configuration()
        configuration.batchBytes = batchBytes
        configuration.lingerMilliseconds = lingerMs
        configuration.eagerBytesMax = eagerBytes
        configuration.deliveryTimeoutSeconds = deliveryTimeout
        let acks = try acksLog.map { try AcksLog(path: $0) }
        var onAcknowledged: Producer.Acknowledgement?
        if let acks {
            onAcknowledged = { partition, offset, count, error in
                if error == nil { acks.write("\(partition) \(offset) \(count)\n") }
            }
        }
        let producer = try await Producer(
            topic: topic, broker: try broker.address, configuration: configuration, onAcknowledged: onAcknowledged)
        defer { producer.close() }
        var meter = Meter(showsBar: true)
        for _ in 0..<headerLines { _ = try lines.next() }
        while let line = try lines.next() {
            let (key, value) = split(line)
            if try !producer.trySend(key: key, value: value, partition: partition) {
                try await producer.send(key: key, value: value, partition: partition)
            }
            meter.count(bytes: (key?.count ?? 0) + value.count)
            if meter.records % 1024 == 0 { meter.drawBar(done: lines.byteCount, of: lines.size) }
        }
        try await producer.flush()
        meter.clearBar()
        if !quiet { writeToStandardError(meter.summary + "\n") }
    }

    private func split(_ line: [UInt8]) -> (key: [UInt8]?, value: [UInt8]) {
        if let keyColumn {
            return (column(keyColumn, of: line), line)
        }
        if let keyDelimiter, let at = line.firstIndex(of: keyDelimiter.utf8.first!) {
            return (Array(line[..<at]), Array(line[(at + 1)...]))
        }
        return (nil, line)
    }
}

/// A comma-separated column, from 1; nil when the line has fewer.
private func column(_ number: Int, of line: [UInt8]) -> [UInt8]? {
    var start = 0
    var seen = 1
    for (index, byte) in line.enumerated() where byte == UInt8(ascii: ",") {
        if seen == number { return Array(line[start..<index]) }
        seen += 1
        start = index + 1
    }
    return seen == number ? Array(line[start...]) : nil
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

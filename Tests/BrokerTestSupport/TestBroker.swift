package import Foundation
package import RdmadClient
internal import TransportTestSupport

/// A real `rdmad serve` in another process, with a data directory of its own.
package final class TestBroker {
    package let directory: URL
    package let url: String
    private let options: [String]
    private let prefix: [String]
    private var child: ChildProcess?
    private var starts = 0

    /// Starts one. `url` nil: a socket in its directory.
    /// - Parameter prefix: A command that runs the broker.
    package init(
        url: String? = nil, data: String? = nil, options: [String] = [], prefix: [String] = []
    ) throws {
        let base = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        directory = URL(fileURLWithPath: "\(base)/rdmad-test-\(getpid())-\(UInt32.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        self.url = url ?? "shm://\(directory.path)/s"
        dataPath = data ?? "\(directory.path)/data"
        self.options = options
        self.prefix = prefix
        try start()
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: directory)
    }

    package let dataPath: String
    package var socketPath: String { String(url.dropFirst("shm://".count)) }
    package var address: BrokerAddress { get throws { try BrokerAddress(url) } }
    package var pid: Int32 { child?.pid ?? -1 }
    private var logPath: String { "\(directory.path)/log.\(starts)" }
    /// What it has said since it was last started.
    package var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

    package func start() throws {
        starts += 1
        let log = unsafe open(logPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        defer { close(log) }
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        child = try ChildProcess(prefix + [program, "serve", "--data", dataPath, "--listen", url] + options, error: log)
        try waitForLog(" ready")
    }

    /// Waits up to 30 s until the log holds a text.
    package func waitForLog(_ text: String) throws {
        let deadline = Date() + 30
        while !log.contains(text) {
            try expect(child?.isRunning == true || log.contains(text), "the broker ended: \(log)")
            try expect(Date() < deadline, "no '\(text)' in the broker's log: \(log)")
            usleep(2000)
        }
    }

    /// SIGKILL.
    package func kill() { child?.kill() }

    /// SIGTERM; the exit status.
    package func stop() -> Int32 {
        child?.signal(SIGTERM)
        return child?.wait() ?? -1
    }

    /// Runs `rdmad` with arguments; what it printed and its status. The broker's address is in the environment.
    package func rdmad(_ arguments: [String], input: String? = nil) throws -> (
        output: String, error: String, status: Int32
    ) {
        try Self.rdmad(arguments, input: input, broker: url)
    }

    package static func rdmad(
        _ arguments: [String], input: String? = nil, broker: String
    ) throws -> (output: String, error: String, status: Int32) {
        let (output, error, stdin) = (try makePipe(), try makePipe(), try makePipe())
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let child = try ChildProcess(
            [program] + arguments, environment: ["RDMAD_BROKER": broker], input: stdin.read, output: output.write,
            error: error.write)
        for end in [output.write, error.write, stdin.read] { close(end) }
        // On a thread of its own: input and output may both fill their pipes.
        let bytes = Array((input ?? "").utf8)
        let writer = Thread {
            var done = 0
            while done < bytes.count {
                let count = unsafe bytes.withUnsafeBytes {
                    unsafe write(stdin.write, $0.baseAddress! + done, bytes.count - done)
                }
                if count <= 0 { break }
                done += count
            }
            close(stdin.write)
        }
        writer.start()
        let text = readToEnd(output.read)
        let complaint = readToEnd(error.read)
        return (text, complaint, child.wait())
    }
}

/// A record as tests remember it.
package struct SeenRecord: Sendable, Hashable {
    package var partition: Int
    package var offset: Int64
    package var key: String
    package var value: [UInt8]
}

/// Reads everything that is in a topic now, with one consumer.
package func readAll(
    _ topic: String, of broker: BrokerAddress, partitions: [Int]? = nil, ringBytes: Int = 8 << 20
) async throws -> [SeenRecord] {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    let described = try await admin.describeTopic(topic)
    var configuration = Consumer.Configuration()
    configuration.ringBytes = ringBytes
    let consumer = try await Consumer(
        topic: topic, partitions: partitions, broker: broker, configuration: configuration)
    defer { consumer.close() }
    var open = Dictionary(
        uniqueKeysWithValues: described.filter {
            consumer.assignment.contains(TopicPartition(topic, $0.index)) && $0.endOffset > $0.startOffset
        }
        .map { ($0.index, $0.endOffset) })
    var seen: [SeenRecord] = []
    while !open.isEmpty {
        guard let batches = try await consumer.next() else { throw ScenarioFailure("closed; still open: \(open)") }
        try batches.forEachRecord { record in
            seen.append(
                SeenRecord(
                    partition: batches.partition, offset: record.offset,
                    key: unsafe String(decoding: record.key ?? .init(start: nil, count: 0), as: UTF8.self),
                    value: unsafe Array(record.value ?? .init(start: nil, count: 0))))
        }
        if let end = open[batches.partition], batches.nextOffset >= end { open[batches.partition] = nil }
        batches.release()
    }
    return seen
}

import BrokerTestSupport
import Foundation
import RdmadClient
import Testing
import TransportTestSupport

/// What goes wrong for those who run a broker: disks, directories, arguments.
@Suite struct OperatorTests {
    @Test func aDataDirectoryInUse() throws {
        let broker = try TestBroker()
        let pipe = try makePipe()
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let second = try ChildProcess(
            [program, "serve", "--data", broker.dataPath, "--listen", "shm://\(broker.directory.path)/other"],
            error: pipe.write)
        close(pipe.write)
        let text = readToEnd(pipe.read)
        #expect(second.wait() == 1)
        #expect(text.contains("already in use by process \(broker.pid)"), "\(text)")
        #expect(broker.stop() == 0)
    }

    @Test func aSocketInUse() throws {
        let broker = try TestBroker()
        let pipe = try makePipe()
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let second = try ChildProcess(
            [program, "serve", "--data", broker.directory.path + "/other", "--listen", broker.url], error: pipe.write)
        close(pipe.write)
        let text = readToEnd(pipe.read)
        #expect(second.wait() == 1)
        #expect(text.contains("in use by another process"), "\(text)")
        #expect(try broker.rdmad(["topic", "list"]).status == 0)
    }

    /// As the first process of a container, where a signal without a handler is lost, and while it recovers.
    @Test func stopsBeforeItIsReady() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("rdmad-pipe-\(getpid())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        // Opening it waits for a writer.
        #expect(unsafe mkfifo(directory.path + "/topics", 0o600) == 0)
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let container = try ChildProcess(
            [
                "unshare", "--map-root-user", "--pid", "--fork", "--kill-child", program, "serve", "--data",
                directory.path,
            ])
        defer { container.kill() }
        let deadline = Date() + 20
        while container.isRunning, Date() < deadline {
            let children = try? String(
                contentsOfFile: "/proc/\(container.pid)/task/\(container.pid)/children", encoding: .utf8)
            if let broker = (children?.split(separator: " ").first).flatMap({ Int32($0) }) {
                Glibc.kill(broker, SIGTERM)
            }
            usleep(20_000)
        }
        try #require(!container.isRunning, "SIGTERM was lost")
        #expect(container.wait() == 128 + SIGTERM)
    }

    /// A file system that fills up: produce fails with a clear error, the broker goes on, and once there is room again
    /// it takes records without a restart. What was acknowledged is there.
    @Test func aFullDisk() async throws {
        let place = "/dev/shm/rdmad-full-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let mounted = try ChildProcess(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place]).wait()
        try #require(mounted == 0, "this test mounts a small tmpfs: run it as root")
        defer {
            _ = try? ChildProcess(["umount", "-l", place]).wait()
            try? FileManager.default.removeItem(atPath: place)
        }
        let broker = try TestBroker(data: "\(place)/data")
        let admin = Admin(broker: try broker.address)
        try await admin.createTopic("full")
        let acknowledged = Counter()
        var configuration = Producer.Configuration()
        configuration.deliveryTimeoutSeconds = 2
        let producer = try await Producer(
            topic: "full", broker: try broker.address, configuration: configuration,
            onAcknowledged: { _, _, count, error in if error == nil { acknowledged.add(count) } })
        var failure: ClientError?
        do {
            for number in 0..<6000 { try await producer.send(value: filler(1000, number)) }
            try await producer.flush()
        } catch let error as ClientError { failure = error }
        producer.close()
        let text = try #require(failure).description
        #expect(text.contains("STORAGE_ERROR"), "\(text)")
        #expect(broker.log.contains("no space left on \(place)"), "\(broker.log.suffix(2000))")
        let before = acknowledged.value
        #expect(before > 500 && before < 2500)
        #expect(try await readAll("full", of: try broker.address).count >= before)

        #expect(try ChildProcess(["mount", "-o", "remount,size=64m", place]).wait() == 0)
        let second = try await Producer(topic: "full", broker: try broker.address)
        _ = try await second.sendAndWait(value: Array("room again".utf8))
        second.close()
        admin.close()
        let records = try await readAll("full", of: try broker.address)
        #expect(records.last?.value == Array("room again".utf8))
        for (index, record) in records.dropLast().enumerated() { #expect(record.value == filler(1000, index)) }
        #expect(broker.stop() == 0)
    }

    /// A batch header below the durable bound is damaged when a broker starts as after a crash: the partition is fenced,
    /// and only that.
    @Test func aDamagedLog() async throws {
        let broker = try TestBroker()
        let address = try broker.address
        #expect(try broker.rdmad(["topic", "create", "damaged", "--partitions", "2"]).status == 0)
        var configuration = Producer.Configuration()
        configuration.batchBytes = 2048
        let producer = try await Producer(topic: "damaged", broker: address, configuration: configuration)
        for number in 0..<200 { try await producer.send(value: filler(500, number), partition: number % 2) }
        try await producer.flush()
        producer.close()
        #expect(broker.stop() == 0)
        let path = "\(broker.dataPath)/damaged-0/00000000000000000000.log"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let second = 12 + bytes[8..<12].reduce(0) { $0 << 8 | Int($1) }
        bytes[second + 16] ^= 0x10  // the magic
        try bytes.write(to: URL(fileURLWithPath: path))
        // After a clean stop nothing is read at all: without this file it was none.
        try FileManager.default.removeItem(atPath: "\(broker.dataPath)/clean-close-checkpoint")
        try broker.start()
        #expect(broker.log.contains("partition fenced"))
        let good = try await readAll("damaged", of: address, partitions: [1])
        #expect(good.count == 100)
        let described = try broker.rdmad(["topic", "describe", "damaged"])
        #expect(described.output.contains("read-only"), "\(described.output)")
        let produced = try broker.rdmad(
            ["produce", "damaged", "--partition", "0", "--delivery-timeout", "1"], input: "refused\n")
        #expect(produced.status == 1 && !produced.error.isEmpty, "\(produced)")
        #expect(try broker.rdmad(["produce", "damaged", "--partition", "1"], input: "taken\n").status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes, "the damaged file was changed")
        #expect(broker.stop() == 0)
    }

    @Test func garbageBehindTheLogIsCut() async throws {
        let broker = try TestBroker()
        #expect(try broker.rdmad(["topic", "create", "torn"]).status == 0)
        #expect(try broker.rdmad(["produce", "torn"], input: "one\ntwo\n").status == 0)
        broker.kill()
        let path = "\(broker.dataPath)/torn-0/00000000000000000000.log"
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(repeating: 0x5a, count: 333))
        try handle.close()
        try broker.start()
        #expect(broker.log.contains("cut a torn tail") && broker.log.contains("bytes=333"), "\(broker.log)")
        #expect(try broker.rdmad(["consume", "torn", "--exit-at-end"]).output == "one\ntwo\n")
        let files = try FileManager.default.contentsOfDirectory(atPath: "\(broker.dataPath)/torn-0")
        #expect(files.contains { $0.contains(".torn") }, "\(files)")
    }

    @Test func wrongUsage() throws {
        for arguments in [
            ["serve", "--flush", "sometimes"], ["serve", "--arena-bytes", "5"], ["produce"], ["topic", "create"],
            ["consume", "t", "-X", "name"],
            ["produce", "t", "-X", "=value"], ["topic", "create", "t", "--config", "=value"],
            ["topic", "create", "t", "--config", "name="], ["consume", "t", "--partitions", "x"],
            ["consume", "t", "--from", "yesterday"],
            ["consume", "t", "--format", "%q"],
            ["topic", "list", "--broker", "http://x"], ["serve", "--listen", "tcp://x"], ["nonsense"],
        ] {
            let (_, error, status) = try TestBroker.rdmad(arguments, broker: "shm:///tmp/none")
            #expect(status == 64 && !error.isEmpty, "\(arguments): \(status) \(error)")
        }
    }

    /// The users of the Kafka door, as text and as JSON.
    @Test func users() throws {
        let file = FileManager.default.temporaryDirectory.path + "/rdmad-users-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: file) }
        func user(_ words: String..., input: String? = nil) throws -> String {
            let (output, error, status) = try TestBroker.rdmad(
                ["user"] + words + ["--users", file], input: input, broker: "shm:///tmp/none")
            #expect(status == 0, "\(words): \(error)")
            return output
        }
        for name in ["berta", "anna"] { _ = try user("add", name, input: "secret\n") }
        #expect(try user("list") == "anna\nberta\n")
        #expect(try user("list", "--json") == #"[{"name":"anna"},{"name":"berta"}]"# + "\n")
        _ = try user("remove", "anna")
        _ = try user("remove", "berta")
        #expect(try user("list", "--json") == "[]\n")
    }

    @Test func nobodyListens() throws {
        let (_, error, status) = try TestBroker.rdmad(["topic", "list"], broker: "shm:///tmp/rdmad-nobody-\(getpid())")
        #expect(status == 1)
        #expect(error.contains("nobody listens") && error.hasPrefix("rdmad: "), "\(error)")
    }

    @Test func anUnwritableDataDirectory() throws {
        let pipe = try makePipe()
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let child = try ChildProcess(
            [program, "serve", "--data", "/proc/rdmad", "--listen", "shm:///tmp/rdmad-unwritable"], error: pipe.write)
        close(pipe.write)
        let text = readToEnd(pipe.read)
        #expect(child.wait() == 1)
        #expect(text.contains("/proc/rdmad"), "\(text)")
    }
}

final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    func add(_ more: Int) { lock.withLock { count += more } }
    var value: Int { lock.withLock { count } }
}

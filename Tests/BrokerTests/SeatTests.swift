import BrokerTestSupport
import Foundation
import RDMATransport
import RdmadClient
import Testing
import TopicProtocol
import TransportTestSupport

/// `rdmad serve --seats`: the socket that a client comes to says who it is.
@Suite struct SeatTests {
    private func start(_ seats: Int, _ options: [String] = []) throws -> (broker: TestBroker, directory: String) {
        let directory = "/dev/shm/rdmad-seats-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let broker = try TestBroker(options: ["--seats", "\(seats)", "--seat-directory", directory] + options)
        return (broker, directory)
    }

    private func url(_ directory: String, _ seat: Int) -> String { "shm://\(directory)/seat-\(seat)/rdmad.sock" }

    private func client(
        _ directory: String, _ seat: Int, id: String = ""
    ) throws -> RawClient<SharedMemoryFabric> {
        let path = "\(directory)/seat-\(seat)/rdmad.sock"
        return try RawClient(
            try SharedMemoryFabric(configuration: .client), connect: { try $0.connect(path: path, privateData: $1) },
            hello: Handshake.hello(clientID: id))
    }

    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? Int)
    }

    /// What is produced at one seat is consumed at another, by name of the seat whatever the client says.
    @Test func identity() async throws {
        let (broker, directory) = try start(3, ["--group-initial-rebalance-delay-ms", "0"])
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(try TestBroker.rdmad(["topic", "create", "t"], broker: url(directory, 0)).status == 0)
        let produced = try TestBroker.rdmad(
            ["produce", "t", "--client-id", "seat-0"], input: "one\n", broker: url(directory, 1))
        #expect(produced.status == 0, "\(produced)")
        let consumed = try TestBroker.rdmad(["consume", "t", "--exit-at-end"], broker: url(directory, 2))
        #expect(consumed.output == "one\n", "\(consumed)")
        let peers = broker.log.split(separator: "\n").filter { $0.contains(" connected") }
        for seat in 0..<3 { #expect(peers.contains { $0.contains("seat-\(seat), pid ") }, "\(peers)") }

        var configuration = Consumer.Configuration()
        configuration.groupID = "g"
        let consumer = try await Consumer(
            topic: "t", broker: BrokerAddress(url(directory, 2)), configuration: configuration)
        let batches = try #require(try await consumer.next())
        batches.release()
        let described = try broker.rdmad(["group", "describe", "g", "--json"])
        #expect(described.output.contains("\"clientId\":\"seat-2\""), "\(described)")
        #expect(described.output.contains("\"host\":\"seat-2, pid "), "\(described)")
        consumer.close()
        #expect(broker.stop() == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory)/seat-1").isEmpty)
    }

    /// Sockets are for everybody who has the directory mounted; the directory of all seats is not.
    @Test func permissions() throws {
        let (broker, directory) = try start(2)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(try mode(directory) == 0o700)
        #expect(try mode("\(directory)/seat-1") == 0o755)
        #expect(try mode("\(directory)/seat-1/rdmad.sock") == 0o666)
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        func listTopics(_ prefix: [String], _ url: String) throws -> Int32 {
            try ChildProcess(prefix + [program, "topic", "list", "--broker", url]).wait()
        }
        // Not to be had past the directory, and to be had where a seat is mounted, though read-only.
        #expect(try listTopics(asNobody, url(directory, 1)) == 1)
        let mounted = """
            mkdir -p "$1" && mount --bind "$0/seat-1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"
            """
        let place = "\(broker.directory.path)/mounted"
        #expect(
            try listTopics(
                ["unshare", "--mount", "sh", "-c", mounted, directory, place] + asNobody, "shm://\(place)/rdmad.sock")
                == 0)
        // A directory that was there is left as it is, and complained about when others may enter it.
        #expect(!broker.log.contains("may come to every seat"))
        #expect(broker.stop() == 0)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory)
        try broker.start()
        #expect(broker.log.contains("may come to every seat") && broker.log.contains("chmod 700 \(directory)"))
        #expect(try mode(directory) == 0o755)
        #expect(broker.stop() == 0)
    }

    /// Each seat has an account, and no client comes to another's by calling itself so.
    @Test func quotas() throws {
        let (broker, directory) = try start(2, ["--quota-produce", "seat-0=2000"])
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(try broker.rdmad(["topic", "create", "t"]).status == 0)
        let filler = String(repeating: "x", count: 20_000) + "\n"
        // No limit for seat 1, whoever it says it is; elsewhere the name is an account of its own.
        for _ in 0..<5 {
            let other = try TestBroker.rdmad(
                ["produce", "t", "--client-id", "seat-0"], input: filler, broker: url(directory, 1))
            #expect(other.status == 0, "\(other)")
        }
        #expect(try broker.rdmad(["produce", "t", "--client-id", "seat-0"], input: filler).status == 0)
        // The seat's own account is untouched: a second's worth goes at once, and the next has to wait.
        let small = String(repeating: "y", count: 1000) + "\n"
        #expect(try TestBroker.rdmad(["produce", "t"], input: small, broker: url(directory, 0)).status == 0)
        #expect(try TestBroker.rdmad(["produce", "t"], input: filler, broker: url(directory, 0)).status == 0)
        let late = try TestBroker.rdmad(
            ["produce", "t", "--client-id", "other", "--delivery-timeout", "1"], input: small,
            broker: url(directory, 0))
        #expect(late.status == 1 && late.error.contains("not"), "\(late)")
        #expect(broker.stop() == 0)
        #expect(try broker.counter("throttles") > 0)
    }

    /// A seat that is full, with clients or with sockets that say nothing, is full for itself alone.
    @Test func connections() throws {
        let (broker, directory) = try start(2, ["--max-connections-per-seat", "2"])
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var clients = try (0..<2).map { _ in try client(directory, 0) }
        let refused = try TestBroker.rdmad(["topic", "list"], broker: url(directory, 0))
        #expect(refused.status == 1 && refused.error.contains("full (--max-connections-per-seat)"), "\(refused)")
        let silent = try (0..<50).map { _ in try silentSocket("\(directory)/seat-0/rdmad.sock") }
        let other = try client(directory, 1)
        #expect(try other.ask(.listTopics(after: "")).error == .none)
        #expect(try TestBroker.rdmad(["topic", "list"], broker: url(directory, 1)).status == 0)
        // Those who were there stay; one that goes makes room.
        #expect(try clients[0].ask(.listTopics(after: "")).error == .none)
        for descriptor in silent { close(descriptor) }
        clients.removeLast().fabric.shutdown()
        #expect(try TestBroker.rdmad(["topic", "list"], broker: url(directory, 0)).status == 0)
        #expect(broker.stop() == 0)
    }

    private func silentSocket(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try expect(result == 0, "cannot connect to \(path): \(errno)")
        return descriptor
    }

    /// A killed broker's sockets are replaced where they are: who has the directory mounted connects again.
    @Test func staleSockets() throws {
        let (broker, directory) = try start(64)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let before = try FileManager.default.attributesOfItem(atPath: "\(directory)/seat-63")
        broker.kill()
        #expect(FileManager.default.fileExists(atPath: "\(directory)/seat-63/rdmad.sock"))
        try broker.start()
        #expect(try TestBroker.rdmad(["topic", "list"], broker: url(directory, 63)).status == 0)
        let after = try FileManager.default.attributesOfItem(atPath: "\(directory)/seat-63")
        #expect(before[.systemFileNumber] as? Int == after[.systemFileNumber] as? Int)
        #expect(broker.stop() == 0)
    }

    /// All listeners are in one poll set: a broker with many seats asks the kernel about as many as one with one.
    @Test func idleSeatsCostNothing() throws {
        var counts: [Int] = []
        for seats in [1, 1024] {
            let (broker, directory) = try start(seats)
            defer { try? FileManager.default.removeItem(atPath: directory) }
            #expect(try TestBroker.rdmad(["topic", "list"], broker: url(directory, seats - 1)).status == 0)
            let descriptors = "/proc/\(broker.pid)/fd"
            counts.append(
                try FileManager.default.contentsOfDirectory(atPath: descriptors).count {
                    (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(descriptors)/\($0)"))
                        == "anon_inode:[eventpoll]"
                })
            #expect(broker.stop() == 0)
        }
        #expect(counts[0] == counts[1] && counts[0] > 0, "\(counts)")
    }

    @Test func directoriesOfOthers() throws {
        let directory = "/dev/shm/rdmad-seats-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createSymbolicLink(atPath: "\(directory)/seat-0", withDestinationPath: "/dev/shm")
        func serve(_ options: [String]) throws -> (error: String, status: Int32) {
            let data = "\(directory)/data"
            let all = ["serve", "--data", data, "--listen", "shm://\(directory)/s"] + options
            let (_, error, status) = try TestBroker.rdmad(all, broker: "shm:///none")
            return (error, status)
        }
        let link = try serve(["--seats", "1", "--seat-directory", directory])
        #expect(link.status == 1 && link.error.contains("seat-0 is no directory"), "\(link)")
        let long = try serve(["--seats", "1", "--seat-directory", directory + "/" + String(repeating: "x", count: 90)])
        #expect(long.status == 1 && long.error.contains("longer than 107 bytes"), "\(long)")
        for options in [
            ["--seats", "-1"], ["--seats", "1025"], ["--max-connections-per-seat", "0"], ["--seat-directory", "x"],
        ] {
            let wrong = try serve(options)
            #expect(wrong.status == 64 && wrong.error.contains(options[0]), "\(options): \(wrong)")
        }
    }
}

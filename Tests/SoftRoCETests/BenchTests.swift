import Foundation
import Testing
import TransportTestSupport

/// `rdmad bench transport` over Soft-RoCE, as it is run by hand: two processes.
@Suite(.serialized) struct BenchTests {
    /// Runs it; standard output, standard error and exit status.
    static func bench(_ words: String...) throws -> (output: String, error: String, status: Int32) {
        try run(words)
    }
    static func run(_ words: [String]) throws -> (output: String, error: String, status: Int32) {
        let (output, error) = (try makePipe(), try makePipe())
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let child = try ChildProcess(
            [program, "bench", "transport"] + words, output: output.write, error: error.write)
        close(output.write)
        close(error.write)
        // What goes to standard error is a line or two: it fits into the pipe.
        let said = readToEnd(output.read)
        return (said, readToEnd(error.read), child.wait())
    }

    /// The objects that `--json` prints.
    static func results(_ text: String) throws -> [[String: Any]] {
        let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
        return try #require(parsed)
    }

    /// A server in a process of its own, which has said that it listens.
    struct Server {
        let child: ChildProcess
        let error: Int32

        init(_ words: [String]) throws {
            let (output, error) = (try makePipe(), try makePipe())
            let program = ChildProcess.programs.appendingPathComponent("rdmad").path
            child = try ChildProcess(
                [program, "bench", "transport"] + words, output: output.write, error: error.write)
            close(output.write)
            close(error.write)
            var byte: UInt8 = 0
            let count = unsafe read(output.read, &byte, 1)
            close(output.read)
            self.error = error.read
            try expect(count == 1, "the server did not start")
        }
    }

    @Test(arguments: ["send-bw", "write-bw", "read-bw", "atomic-bw"], [[], ["-e"], ["-l", "16", "-I", "64"]])
    func bandwidth(test: String, flags: [String]) throws {
        let before = try VerbsPeerTests.counter("rcvd_rnr_err")
        let words = [test, "--loopback", "-s", "64", "-n", "1003", "--json"] + flags
        let (output, error, status) = try Self.run(words)
        #expect(status == 0 && error.isEmpty, "\(error)")
        let result = try #require(try Self.results(output).first)
        #expect(result["test"] as? String == test)
        #expect(result["bytes"] as? Int == (test == "atomic-bw" ? 8 : 64))
        // Whole lists.
        #expect(result["iterations"] as? Int == (flags.contains("-l") ? 1008 : 1003))
        #expect(try #require(result["messages_per_s"] as? Double) > 0)
        // A sender that overran the receives would show here.
        #expect(try VerbsPeerTests.counter("rcvd_rnr_err") == before)
    }

    @Test(arguments: ["send-lat", "write-lat", "read-lat", "atomic-lat"], [[], ["-e"], ["-I", "64"]])
    func latency(test: String, flags: [String]) throws {
        let (output, error, status) = try Self.run([test, "--loopback", "-s", "64", "-n", "300", "--json"] + flags)
        #expect(status == 0 && error.isEmpty, "\(error)")
        let result = try #require(try Self.results(output).first)
        let names = ["min_us", "median_us", "p99_us", "p999_us", "max_us"]
        let times = try names.map { try #require(result[$0] as? Double) }
        #expect(times == times.sorted() && times[0] > 0)
    }

    @Test func text() throws {
        let (output, error, status) = try Self.bench("write", "--loopback", "-s", "4096", "-n", "100")
        #expect(status == 0 && error.isEmpty, "\(error)")
        let lines = output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.count == 4, "\(output)")
        #expect(lines.map(\.first) == ["#bytes", "4096", "#bytes", "4096"])
        #expect(lines[1].count == 4 && lines[3].count == 9)
    }

    /// Small queues wait for each other at every step; the shallowest still come to an end.
    @Test(arguments: [
        ["-t", "1", "-r", "2"], ["-t", "3", "-r", "5", "-Q", "1"], ["-t", "64", "-r", "128", "-l", "64"],
    ])
    func smallQueues(flags: [String]) throws {
        for mode in [[], ["-e"]] {
            let (output, error, status) = try Self.run(
                ["send-bw", "--loopback", "-s", "64", "-n", "500", "--json"] + flags + mode)
            #expect(status == 0 && error.isEmpty, "\(error)")
            #expect(try Self.results(output).count == 1)
        }
    }

    @Test func everySizeAndAPicture() throws {
        let file = NSTemporaryDirectory() + "rdmad-bench-\(getpid()).svg"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let (output, error, status) = try Self.bench(
            "write", "--loopback", "-a", "-n", "5", "--json", "--plot", file)
        #expect(status == 0 && error.isEmpty, "\(error)")
        #expect(try Self.results(output).count == 46)
        let picture = try String(contentsOfFile: file, encoding: .utf8)
        #expect(picture.hasPrefix("<svg") && picture.components(separatedBy: "<circle").count == 47)
    }

    @Test(arguments: ["write-bw", "send-bw"]) func duration(test: String) throws {
        let (output, error, status) = try Self.bench(test, "--loopback", "-D", "1", "--json")
        #expect(status == 0 && error.isEmpty, "\(error)")
        #expect(try #require(try Self.results(output).first?["seconds"] as? Double) >= 1)
    }

    @Test func nobodyThere() throws {
        let (_, error, status) = try Self.bench("write-bw", rxeHost, "-p", "18999")
        #expect(status == 1 && error.contains("nobody serves this test there"), "\(error)")
    }

    @Test func anotherTest() throws {
        let server = try Server(["write-bw", "-p", "18602", "--bind", rxeHost])
        let (_, error, status) = try Self.bench("send-lat", rxeHost, "-p", "18602")
        #expect(status == 1)
        #expect(error.contains("the server says: the client measures send-lat, this server write-bw"), "\(error)")
        #expect(readToEnd(server.error).contains("the client measures send-lat"))
        #expect(server.child.wait() == 1)
    }

    /// A peer that is killed ends the measurement of the other side too.
    @Test(arguments: [["send-bw"], ["send-bw", "-e"], ["send-lat"], ["send-lat", "-e"], ["write-lat"], ["write-bw"]])
    func peerDeath(words: [String]) throws {
        let port = ["-p", "18603", "--bind", rxeHost]
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let server = try Server(words + port)
        let client = try ChildProcess([program, "bench", "transport"] + words + [rxeHost, "-n", "5000000"] + port)
        // It has begun when its first request has been served.
        let before = try VerbsPeerTests.counter("sent_pkts")
        let deadline = Date() + 20
        while try VerbsPeerTests.counter("sent_pkts") < before + 100 {
            try expect(Date() < deadline && client.isRunning, "the measurement did not begin")
            sched_yield()
        }
        server.child.kill()
        #expect(client.wait() == 1)
    }

    @Test func wrongUsage() throws {
        for words in [
            ["write-bw", "--loopback", "10.9.0.1"], ["write-bw", "--plot", "x.svg", "--loopback"],
            ["send-bw", "-l", "300", "-t", "512", "--loopback"], ["nothing-bw", "--loopback"],
            ["read-lat", "-D", "2", "--loopback"], ["write-bw", "-a", "-s", "64", "--loopback"],
        ] {
            let (_, error, status) = try Self.run(words)
            #expect(status == 64 && error.contains("Error:"), "\(words): \(error)")
        }
        let (_, error, status) = try Self.bench("write-bw", "--loopback", "-d", "nothing0")
        #expect(status == 1 && error.contains("no RDMA device named nothing0"), "\(error)")
    }
}

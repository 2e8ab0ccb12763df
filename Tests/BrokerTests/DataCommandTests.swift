import BrokerTestSupport
import Foundation
import RecordFormat
import Testing
import TransportTestSupport

/// `rdmad produce` and `rdmad consume`, as a person types them.
@Suite struct DataCommandTests {
    private func rdmad(
        _ broker: TestBroker, _ line: String, input: String? = nil
    ) throws -> (output: String, error: String, status: Int32) {
        try broker.rdmad(line.split(separator: " ").map(String.init), input: input)
    }

    /// Quotas are by client id: those who give theirs wait, each way to give it.
    @Test func clientIDs() throws {
        let broker = try TestBroker(options: ["--quota-produce", "slow=100000", "--quota-consume", "slow=100000"])
        #expect(try rdmad(broker, "topic create t u").status == 0)
        // Three batches, of which two are more than what an account holds.
        let lines = String(repeating: String(repeating: "x", count: 999) + "\n", count: 140)
        func isThrottled(_ command: String) throws -> Bool {
            let result = try rdmad(broker, command, input: command.hasPrefix("produce") ? lines : nil)
            #expect(result.status == 0 && broker.stop() == 0, "\(command): \(result.error)")
            defer { try? broker.start() }
            return try broker.counter("throttles") > 0
        }
        #expect(try !isThrottled("produce t --client-id fast"))
        #expect(try isThrottled("produce u --client-id slow"))
        #expect(try isThrottled("produce u -X client.id=slow"))
        #expect(try !isThrottled("consume t --exit-at-end --client-id fast"))
        #expect(try isThrottled("consume t --exit-at-end --client-id slow"))
        #expect(try isThrottled("consume t --exit-at-end -X client.id=slow"))
        for command in ["produce", "consume"] {
            let long = try rdmad(broker, "\(command) t --client-id " + String(repeating: "x", count: 33))
            #expect(long.status == 1 && long.error.contains("at most 32 bytes"), "\(long)")
            #expect(try rdmad(broker, "\(command) t -X no.such=1").status == 64)
        }
    }

    /// A broker that goes away for good ends it once its records have waited for long enough, also when there is memory
    /// for four small batches only.
    @Test(.timeLimit(.minutes(2)), arguments: [[], ["-X", "batch.size=1024", "-X", "buffer.memory=4096"]])
    func produceEndsWithoutItsBroker(memory: [String]) throws {
        let broker = try TestBroker()
        #expect(try rdmad(broker, "topic create t").status == 0)
        let (input, complaint) = (try makePipe(), try makePipe())
        defer { for end in [input.read, complaint.read] { close(end) } }
        let acks = "\(broker.directory.path)/acks"
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let child = try ChildProcess(
            [program, "produce", "t", "--delivery-timeout", "1", "--acks-log", acks] + memory,
            environment: ["RDMAD_BROKER": broker.url], input: input.read, error: complaint.write)
        close(complaint.write)
        func send(_ text: String) { _ = unsafe text.withCString { unsafe write(input.write, $0, text.utf8.count) } }
        send("first\n")
        while (try? String(contentsOfFile: acks, encoding: .utf8))?.isEmpty != false {
            try #require(child.isRunning)
            usleep(2000)
        }
        broker.kill()
        send(String(repeating: "a line that nobody takes\n", count: 1000))
        close(input.write)
        let error = readToEnd(complaint.read)
        #expect(child.wait() == 1 && error.contains("nobody listens at"), "\(error)")
    }

    /// `rdmad log dump` looks into compressed batches, in the format of kafka-dump-log, and says what is damaged in
    /// them though their checksums are right.
    @Test(arguments: ["gzip", "snappy", "lz4", "zstd"]) func compressedBatches(_ codec: String) throws {
        let broker = try TestBroker()
        #expect(try rdmad(broker, "topic create t").status == 0)
        let lines = (0..<100).map { "k\($0):value \($0) " + String(repeating: "x", count: 50) + "\n" }.joined()
        #expect(try rdmad(broker, "produce t -K : -H a=b -z \(codec)", input: lines).status == 0)
        #expect(broker.stop() == 0)
        let file = broker.dataPath + "/t-0/00000000000000000000.log"
        let dump = try rdmad(broker, "log dump \(file) --print-data-log")
        #expect(dump.status == 0 && dump.output.contains("compresscodec: \(codec) "), "\(dump)")
        let records = dump.output.split(separator: "\n").filter { $0.hasPrefix("| offset: ") }
        #expect(records.count == 100)
        #expect(records.last?.hasPrefix("| offset: 99 CreateTime: ") == true)
        let end = " keySize: 3 valueSize: 59 sequence: 99 headerKeys: [a] key: k99 payload: value 99 "
        #expect(records.last?.contains(end) == true, "\(records.last ?? "")")
        let deep = try rdmad(broker, "log dump \(file) --deep-iteration").output
        #expect(deep.contains("| offset: 99 ") && !deep.contains("payload"))

        // The first byte of the compressed records, and the checksum that goes with it.
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
        bytes[61] ^= 0xff
        let sum = unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum(.init(rebasing: $0[21...])) }
        for place in 0..<4 { bytes[17 + place] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * place)) }
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        let damaged = try rdmad(broker, "log dump \(file) --records")
        #expect(damaged.status == 1 && damaged.output.contains("DAMAGED at byte 0, though the"), "\(damaged)")
        #expect(try rdmad(broker, "log dump \(file)").status == 0, "what is not looked at")
        let verified = try rdmad(broker, "log verify \(broker.dataPath)")
        #expect(verified.status == 1 && verified.output.contains("t-0: DAMAGED: "), "\(verified)")
    }
}

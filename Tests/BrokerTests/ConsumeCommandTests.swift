import BrokerTestSupport
import Foundation
import RdmadClient
import RecordFormat
import Testing
import TransportTestSupport

/// What `rdmad consume` writes, and what it commits.
@Suite struct ConsumeCommandTests {
    private static let count = 2000

    /// A topic `t` whose records are four times as much as is written at once.
    private func filledBroker() throws -> TestBroker {
        let broker = try TestBroker(options: ["--group-initial-rebalance-delay-ms", "0"])
        #expect(try broker.rdmad(["topic", "create", "t"]).status == 0)
        let lines = (0..<Self.count).map { "\($0) " + String(repeating: "x", count: 500) + "\n" }.joined()
        #expect(try broker.rdmad(["produce", "t"], input: lines).status == 0)
        return broker
    }

    /// Reads `t` as group `g`, into what can take nothing.
    private func consume(
        _ broker: TestBroker, _ options: [String], into output: Int32
    ) throws -> (error: String, status: Int32) {
        let error = try makePipe()
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let child = try ChildProcess(
            [program, "consume", "t", "--group", "g"] + options, environment: ["RDMAD_BROKER": broker.url],
            output: output, error: error.write)
        close(output)
        close(error.write)
        return (readToEnd(error.read), child.wait())
    }

    /// The numbers of the records that group `g` gets now.
    private func rest(_ broker: TestBroker, _ options: [String] = []) throws -> [Int] {
        let read = try broker.rdmad(["consume", "t", "--group", "g"] + (options.isEmpty ? ["--exit-at-end"] : options))
        #expect(read.status == 0, "\(read.error)")
        return read.output.split(separator: "\n").compactMap { $0.split(separator: " ").first.flatMap { Int($0) } }
    }

    /// A record that nobody could see is not committed, whether it was to be the last one or not.
    @Test(arguments: [["--exit-at-end"], ["--count", "10"]]) func nobodyReads(_ options: [String]) throws {
        let broker = try filledBroker()
        let pipe = try makePipe()
        close(pipe.read)
        let (error, status) = try consume(broker, options, into: pipe.write)
        #expect(status == 0 && error.isEmpty, "\(error)")
        #expect(try rest(broker) == Array(0..<Self.count))
        #expect(broker.stop() == 0)
    }

    @Test(arguments: [["--exit-at-end"], ["--count", "10"]]) func aFullDisk(_ options: [String]) throws {
        let broker = try filledBroker()
        let (error, status) = try consume(broker, options, into: unsafe open("/dev/full", O_WRONLY))
        #expect(status == 1 && error == "rdmad: cannot write: No space left on device\n", "\(error)")
        // What was written counts, to the record.
        #expect(try rest(broker, ["--count", "10"]) == Array(0..<10))
        #expect(try rest(broker) == Array(10..<Self.count))
        #expect(broker.stop() == 0)
    }

    /// Nothing of a record is lost: not its headers, their order or null, nor bytes that are not text.
    @Test func asJSON() async throws {
        let broker = try TestBroker()
        #expect(try broker.rdmad(["topic", "create", "t"]).status == 0)
        let producer = try await Producer(topic: "t", broker: try broker.address)
        let headers = [
            RecordHeader(key: "b", value: [0x31]), RecordHeader(key: "a", value: nil),
            RecordHeader(key: "b", value: [0xfb, 0xff, 0xfe, 0]),
        ]
        try await producer.send(key: Array("ä\u{1}".utf8), value: Array("\"v\"".utf8), headers: headers)
        try await producer.send(key: [0xff], value: [0x61, 0xc3])
        try await producer.send(key: nil, value: nil)
        try await producer.flush()
        producer.close()
        let read = try broker.rdmad(["consume", "t", "--exit-at-end", "--json"])
        #expect(read.status == 0, "\(read.error)")
        let expected = [
            #""headers":[{"key":"b","value":"1"},{"key":"a","value":null},{"key":"b","valueBase64":"+//+AA=="}],"#
                + #""key":"ä\u0001","value":"\"v\""}"#,
            #""headers":[],"keyBase64":"/w==","valueBase64":"YcM="}"#, #""headers":[],"key":null,"value":null}"#,
        ]
        let lines = read.output.split(separator: "\n")
        try #require(lines.count == 3, "\(read.output)")
        for (line, end) in zip(lines, expected) {
            #expect(line.hasSuffix(end), "\(line)")
            _ = try JSONSerialization.jsonObject(with: Data(line.utf8))
        }
        #expect(broker.stop() == 0)
    }
}

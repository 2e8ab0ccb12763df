import BrokerTestSupport
import Foundation
import Testing

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
}

import Testing
import TopicProtocol

@testable import BrokerCore

@Suite struct ChangeQueueTests {
    @Test func givesWhatWasAddedInOrder() {
        var queue = ChangeQueue()
        var expected: [UInt64] = []
        var random = SystemRandomNumberGenerator()
        for number in 0..<2_000 as Range<UInt64> {
            queue.append((.delete("t"), ProduceOrigin(door: 0, session: number, requestID: 0)))
            expected.append(number)
            if number % 3 == 0 {
                let removed = Int.random(in: 0...min(5, expected.count), using: &random)
                queue.removeFirst(removed)
                expected.removeFirst(removed)
            }
            #expect(queue.count == expected.count && queue.isEmpty == expected.isEmpty)
            #expect(queue.first?.origin.session == expected.first)
        }
        #expect(queue.waiting.map(\.origin.session) == expected)
        queue.removeFirst(queue.count)
        #expect(queue.isEmpty && queue.first == nil && queue.waiting.isEmpty)
    }
}

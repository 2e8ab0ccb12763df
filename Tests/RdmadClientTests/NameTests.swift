import Testing

@testable import RdmadClient

/// Names and numbers that fit into no frame are refused before anything is asked: nobody listens here.
@Suite struct NameTests {
    private let broker = try! BrokerAddress("shm:///nobody/listens/here.sock")
    private let long = String(repeating: "x", count: 9000)

    private func refuses(_ body: () async throws -> Void) async {
        let error = await #expect(throws: ClientError.self) { try await body() }
        #expect(error?.code == .limit, "\(error as Any)")
    }

    @Test func aTopicThatIsTooLong() async {
        await refuses { _ = try await Producer(topic: long, broker: broker) }
        await refuses { _ = try await Consumer(topic: long, broker: broker) }
        await refuses { _ = try await Consumer(topic: long, partitions: [0], broker: broker) }
        var configuration = Consumer.Configuration()
        configuration.groupID = "g"
        await refuses { _ = try await Consumer(topics: ["t", long], broker: broker, configuration: configuration) }
        #expect(throws: ClientError.self) { try Links.check([TopicPartition(long, 0)]) }
    }

    @Test(arguments: [-1, Int.min, 1 << 32]) func aPartitionThatCannotBe(number: Int) async {
        await refuses { _ = try await Consumer(topic: "t", partitions: [number], broker: broker) }
        #expect(throws: ClientError.self) { try Links.check([TopicPartition("t", number)]) }
    }
}
